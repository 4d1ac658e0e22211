"""Numbers over tasks agree with rliable's, and with scipy's and scikit-posthocs' tests of ranks."""

import sys

import numpy as np
import pytest
import scikit_posthocs
from rliable import metrics
from scipy import stats

from optsuite.statistics import (
    PROFILE_SCORES,
    RULES,
    aggregate,
    effective_tasks,
    improvement,
    interquartile_mean,
    interval,
    rank_test,
    ranks,
    resample,
)

from .simulated import final_cell, make_cell, noisy, shared_noise, true_curves

SPEEDS = {"Adam": (1.0, 0.6, 0.3), "Mine": (1.3, 1.1, 0.5), "SGD": (0.3, 0.5, 0.2)}


def task(name, seed, speeds=SPEEDS, num_seeds=5, num_resamples=200):
    random = np.random.default_rng(seed)
    shared_SE = shared_noise(random, num_seeds, 0.05)
    cells = {
        optimizer: make_cell(noisy(random, true_curves(each), shared_SE), task=name)
        for optimizer, each in speeds.items()
    }
    return resample(cells, "Adam", RULES["last"], num_resamples=num_resamples)


@pytest.fixture(scope="module")
def tasks():
    return [task(name, seed) for seed, name in enumerate(["T1", "T2", "T3", "T4"])]


def scores_of(tasks, optimizer):
    """(seeds, tasks), as rliable has them."""
    return np.stack([each.score[optimizer][0] for each in tasks], axis=1)


@pytest.mark.parametrize("shape", [(3,), (4,), (5,), (7,), (20,), (6, 9)])
def test_the_interquartile_mean_is_that_of_scipy(shape):
    scores = np.random.default_rng(0).standard_normal(shape)
    np.testing.assert_allclose(interquartile_mean(scores), stats.trim_mean(scores, 0.25, axis=-1))


def test_scores_are_aggregated_as_by_rliable(tasks):
    for optimizer, found in aggregate(tasks).items():
        scores = scores_of(tasks, optimizer)
        assert found.score.value == pytest.approx(metrics.aggregate_iqm(scores))
        above = [np.mean(scores > score) for score in PROFILE_SCORES]  # its run_score_deviation
        np.testing.assert_allclose(found.profile[0], above)
        if optimizer != "Adam":
            expected = metrics.probability_of_improvement(scores, scores_of(tasks, "Adam"))
            assert found.improvement.value == pytest.approx(expected)


def test_the_probability_of_improvement_counts_ties_half():
    assert improvement(np.array([1.0, 2.0]), np.array([1.0, 0.0, 3.0])) == pytest.approx((1.5 + 2) / 6)


def test_the_steps_ratio_is_a_geometric_mean_over_tasks(tasks):
    found = aggregate(tasks)
    ratios = np.array([each.steps_ratio["Mine"] for each in tasks])
    assert found["Mine"].steps_ratio.value == pytest.approx(stats.gmean(ratios[:, 0]))
    count = effective_tasks(np.log(ratios))
    assert 2 < count < 4
    expected = interval(stats.gmean(ratios), 5, log=True, num_tasks=count)
    np.testing.assert_allclose(found["Mine"].steps_ratio, expected)
    assert found["Mine"].steps_ratio.high < 1 < found["SGD"].steps_ratio.low
    assert found["Adam"].steps_ratio is None
    assert found["Adam"].improvement is None


def test_tasks_are_counted_where_an_interval_leaves_one_out(tasks):
    each = [interval(one.steps_ratio["Mine"], 5, log=True) for one in tasks]
    found = aggregate(tasks)
    assert found["Mine"].better_on == sum(one.high < 1 for one in each) > 0
    assert found["Mine"].worse_on == 0
    assert found["SGD"].worse_on == 4
    assert found["Adam"].better_on == found["Adam"].worse_on == 0


def test_more_tasks_make_narrower_intervals(tasks):
    one, four = (aggregate(some)["Mine"].steps_ratio for some in (tasks[:1], tasks))
    assert four.high / four.low < one.high / one.low


def test_bands_of_profiles_hold_the_profile_and_stay_shares(tasks):
    for found in aggregate(tasks).values():
        share, low, high = found.profile
        assert ((low >= 0) & (low <= share) & (share <= high) & (high <= 1)).all()
        assert (np.diff(share) <= 0).all()


def test_an_optimizer_counts_on_the_tasks_that_it_has(tasks):
    some = task("T5", 9, speeds={"Adam": SPEEDS["Adam"], "Mine": SPEEDS["Mine"]})
    found = aggregate([*tasks, some])
    assert {name: one.num_tasks for name, one in found.items()} == {"Adam": 5, "Mine": 5, "SGD": 4}
    assert found["SGD"].steps_ratio == aggregate(tasks)["SGD"].steps_ratio


def test_one_seed_has_no_limits():
    found = aggregate([task("T", 0, num_seeds=1)])["Mine"]
    for one in (found.steps_ratio, found.score, found.improvement):
        assert np.isfinite(one.value)
        assert np.isnan(one[1:3]).all()
    assert np.isnan(found.profile[1:]).all()
    assert found.better_on == found.worse_on == 0


def test_an_optimizer_that_diverged_everywhere_ranks_last():
    cells = {"Adam": final_cell(np.ones((2, 5))), "Lost": final_cell(np.full((2, 5), np.nan))}
    found = aggregate([resample(cells, "Adam", RULES["last"], num_resamples=20)])
    assert (found["Adam"].rank, found["Lost"].rank) == (1, 2)
    assert found["Lost"].worse_on == 1
    assert found["Lost"].steps_ratio[:3] == pytest.approx((100, 100, 100))
    assert found["Lost"].improvement.value == 0


# Ranks


def test_ranks_are_those_of_scipy_and_what_diverged_is_last():
    losses = np.array([[0.3, 0.1, 0.2, 0.1], [np.inf, 1.0, np.inf, 0.5]])
    np.testing.assert_array_equal(ranks(losses), stats.rankdata(losses, axis=1))


def test_tests_of_ranks_agree_with_scipy_and_scikit_posthocs():
    final = np.random.default_rng(0).random((12, 4)) + np.array([0.0, 0.1, 0.8, 0.9])
    found = rank_test(final)
    assert found.p_value == pytest.approx(stats.friedmanchisquare(*final.T).pvalue)
    pairs = scikit_posthocs.posthoc_nemenyi_friedman(final).to_numpy()
    order = np.argsort(found.mean_ranks)
    for group in found.groups:
        assert (pairs[np.ix_(group, group)] >= 0.05).all()
        assert list(group) == [i for i in order if i in group]
    together = {frozenset((i, j)) for group in found.groups for i in group for j in group}
    for i in range(4):
        for j in range(4):
            assert (frozenset((i, j)) in together) == (i == j or pairs[i, j] >= 0.05)
    assert found.why_no_test == ""


def test_clear_ranks_make_groups_of_their_own():
    final = np.tile([3.0, 1.0, 2.0], (30, 1))
    found = rank_test(final)
    assert found.groups == ((1,), (2,), (0,))
    np.testing.assert_array_equal(found.mean_ranks, [3, 1, 2])
    assert found.p_value < 1e-9


def test_equal_losses_are_one_group():
    found = rank_test(np.ones((5, 3)))
    assert (found.p_value, found.groups) == (1.0, ((0, 1, 2),))


@pytest.mark.parametrize(("shape", "got"), [((1, 5), "1 and 5"), ((5, 2), "5 and 2")])
def test_few_tasks_or_optimizers_have_ranks_without_a_test(shape, got):
    found = rank_test(np.arange(np.prod(shape), dtype=float).reshape(shape))
    assert found.p_value is None
    assert got in found.why_no_test
    assert len(found.mean_ranks) == shape[1]


def test_without_the_package_there_is_no_test_and_it_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "scikit_posthocs", None)
    found = rank_test(np.random.default_rng(0).random((5, 3)))
    assert found.p_value is None
    assert "optsuite[stats]" in found.why_no_test
    assert len(found.mean_ranks) == 3
