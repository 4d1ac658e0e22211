import numpy as np
import pytest
from scipy import stats

from optsuite.statistics import Interval, effective_tasks, interval
from optsuite.statistics._interval import share_limits, t_quantile


@pytest.mark.parametrize("degrees", [1, 2, 4, 9, 29, 1000])
@pytest.mark.parametrize("probability", [0.5, 0.75, 0.9, 0.975, 0.995])
def test_the_quantile_of_t_agrees_with_scipy(probability, degrees):
    expected = stats.t.ppf(probability, degrees)
    assert t_quantile(probability, degrees) == pytest.approx(expected, rel=1e-5, abs=1e-9)


def means_of_draws(values_S, num_resamples=200_000):
    random = np.random.default_rng(0)
    drawn = values_S[random.integers(len(values_S), size=(num_resamples, len(values_S)))].mean(1)
    return np.concatenate([[values_S.mean()], drawn])


@pytest.mark.parametrize("num_seeds", [2, 5, 20])
def test_the_interval_of_a_mean_is_that_of_student(num_seeds):
    values_S = np.random.default_rng(1).normal(3, 2, num_seeds)
    found = interval(means_of_draws(values_S), num_seeds)
    expected = stats.t.interval(0.95, num_seeds - 1, values_S.mean(), stats.sem(values_S))
    assert found.value == values_S.mean()
    np.testing.assert_allclose(found[1:3], expected, atol=0.02 * (expected[1] - expected[0]))


def test_other_levels_are_as_wide_as_they_say():
    values = means_of_draws(np.array([1.0, 2.0, 4.0, 5.0]))
    wide, narrow = interval(values, 4, 0.99), interval(values, 4, 0.5)
    assert (wide.level, narrow.level) == (0.99, 0.5)
    ratio = (wide.high - wide.low) / (narrow.high - narrow.low)
    assert ratio == pytest.approx(stats.t.ppf(0.995, 3) / stats.t.ppf(0.75, 3), rel=1e-4)


def test_a_ratio_is_treated_as_its_logarithm():
    values = np.exp([0.0, -1.0, 1.0, -1.0, 1.0])
    value, low, high, _ = interval(values, 5, log=True)
    assert value == 1
    assert low * high == pytest.approx(1)
    plain = interval(np.log(values), 5)
    assert np.log(high) == pytest.approx(plain.high)


def test_more_tasks_have_more_degrees_of_freedom():
    values = np.array([0.0, -1.0, 1.0])
    one, four = interval(values, 5), interval(values, 5, num_tasks=4)
    assert one.high / four.high == pytest.approx(stats.t.ppf(0.975, 4) / stats.t.ppf(0.975, 16), rel=1e-5)


def test_the_mean_of_draws_tells_the_bias():
    biased = interval(np.array([1.0, 0.0, 1.2]), 5)
    assert (biased.low + biased.high) / 2 == pytest.approx(1.4)


def test_the_number_lies_in_its_interval():
    found = interval(np.array([1.0, 0.5, 0.5]), 5)
    assert found[:3] == (1.0, 1.0, 1.5)


def test_without_spread_the_interval_is_the_number():
    assert interval(np.ones(11), 5, log=True) == Interval(1, 1, 1)


@pytest.mark.parametrize("values", [[1.0, 2.0, 3.0], [np.inf, np.inf, np.inf], [1.0, np.inf, 2.0]])
def test_there_are_no_limits_with_one_seed_or_infinite_numbers(values):
    found = interval(np.array(values), 1 if np.isfinite(values).all() else 5)
    assert found.value == values[0]
    assert np.isnan(found[1:3]).all()


# Shares


def draws_of_a_share(wins, num_seeds):
    won_S = np.arange(num_seeds) < wins
    return means_of_draws(won_S.astype(float), 20_000)[:, None]


@pytest.mark.parametrize("wins", [0, 1, 30, 99, 100])
def test_a_share_of_many_seeds_has_the_interval_of_wilson(wins):
    low, high = share_limits(draws_of_a_share(wins, 100), 100)
    expected = stats.binomtest(wins, 100).proportion_ci(method="wilson")
    np.testing.assert_allclose([low[0], high[0]], expected, atol=0.01)


def test_a_share_of_all_seeds_is_in_doubt():
    low, high = share_limits(np.ones((11, 1)), 5)
    assert 0.3 < low[0] < 0.5
    assert high[0] == 1


def test_runs_that_hang_together_count_as_fewer():
    """Here each draw says all or nothing."""
    alike = share_limits(np.array([[0.5], *[[0.0], [1.0]] * 50]), 10)
    apart = share_limits(draws_of_a_share(5, 10), 10)
    assert alike[0][0] < apart[0][0] < 0.5 < apart[1][0] < alike[1][0]


def test_a_share_of_one_seed_has_no_limits():
    assert np.isnan(share_limits(np.ones((11, 2)), 1)).all()


# Tasks


def test_equally_uncertain_tasks_all_count_and_certain_ones_do_not():
    spread = np.array([0.0, -1.0, 1.0, -1.0, 1.0])
    assert effective_tasks(np.stack([spread, spread, spread])) == pytest.approx(3)
    assert effective_tasks(np.stack([spread, 0 * spread, 1e-9 * spread])) == pytest.approx(1)
    assert 1 < effective_tasks(np.stack([spread, 2 * spread])) < 2
    assert effective_tasks(0 * np.stack([spread, spread])) == 2
