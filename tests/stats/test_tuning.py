import itertools

import numpy as np
import pytest

from optsuite.statistics import RULES, best_of_k, edge, plateau

from .simulated import final_cell, make_cell

LAST, NAN = RULES["last"], np.nan


# Best of k


def test_the_best_of_k_is_the_mean_over_all_choices_of_k():
    final_HS = np.random.default_rng(0).random((6, 3)) * 5
    found = best_of_k(final_cell(final_HS), LAST, range(1, 7))
    means_H = final_HS.mean(1)
    for k, one in enumerate(found, 1):
        expected = np.mean([min(some) for some in itertools.combinations(means_H, k)])
        assert one.value == pytest.approx(expected)
        assert one.low < one.value < one.high


def test_the_best_of_k_is_judged_by_the_rule():
    losses = {
        split: np.stack([np.full((3, 2), 9.0), np.array(final)[:, None].repeat(2, 1)], -1)
        for split, final in (("train", [1.0, 1, 1]), ("outer_valid", [1.0, 2, 3]), ("test", [5.0, 4, 6]))
    }
    cell = make_cell(losses["train"], losses=losses, xs=np.array([0, 1]))
    one, two, three = best_of_k(cell, RULES["validation"], [1, 2, 3])
    assert (one.value, two.value, three.value) == pytest.approx((5, (5 + 5 + 4) / 3, 5))


def test_a_setting_that_diverged_counts_as_untrained():
    final_HS = np.array([[NAN, 1.0], [2.0, 2.0], [50.0, 50.0]])  # all begin at 10
    found = best_of_k(final_cell(final_HS), LAST, [1, 2, 3])
    assert [one.value for one in found] == pytest.approx([(5.5 + 2 + 10) / 3, (2 + 2 + 10) / 3, 2])


def test_a_diverged_setting_is_the_last_to_be_chosen():
    """With one seed lost, its mean over both counts as untrained."""
    found = best_of_k(final_cell(np.array([[NAN, NAN], [3.0, 3.0]])), LAST, [1, 2])
    assert [one.value for one in found] == pytest.approx([6.5, 3])


# Plateaus


def bowl(lrs, best=1e-3, width=1.0):
    """Final losses: the squared distance to the best learning rate in decades, up to 10."""
    return np.minimum(10, width * np.log10(np.asarray(lrs) / best) ** 2)[:, None].repeat(2, 1)


LRS = 10.0 ** np.arange(-6, 1)


def test_the_plateau_is_where_a_twentieth_of_the_gain_is_lost():
    low, high = plateau(final_cell(bowl(LRS), lrs=LRS), LAST)
    assert (low, high) == pytest.approx((10**-3.5, 10**-2.5))  # 0.5 of 10, on the line from 0 to 1


def test_a_steeper_bowl_has_a_narrower_plateau():
    wide, narrow = (plateau(final_cell(bowl(LRS, width=w), lrs=LRS), LAST) for w in (0.1, 2))
    assert wide[0] < narrow[0] < 1e-3 < narrow[1] < wide[1]


def test_a_plateau_ends_where_the_next_setting_diverges():
    final_HS = bowl(LRS, width=0.01)
    final_HS[LRS > 2e-3] = NAN
    low, high = plateau(final_cell(final_HS, lrs=LRS), LAST)
    assert high == pytest.approx(1e-3)
    assert low == pytest.approx(1e-6)


def test_of_settings_that_share_a_learning_rate_the_best_counts():
    lrs = np.repeat(LRS, 2)
    final_HS = np.repeat(bowl(LRS), 2, axis=0)
    final_HS[1::2] = 9
    found = plateau(final_cell(final_HS, lrs=lrs), LAST)
    assert found == pytest.approx(plateau(final_cell(bowl(LRS), lrs=LRS), LAST))


@pytest.mark.parametrize(
    "cell",
    [
        final_cell(np.ones((2, 2)), lrs=[1e-3, 1e-2]),
        final_cell(np.full((7, 2), NAN), lrs=LRS),
        final_cell(np.ones((3, 2)), hparams=[{}] * 3),
        final_cell(np.ones((3, 2)), hparams=[{"lr": "fast"}, {"lr": 1.0}, {"lr": 2.0}]),
    ],
)
def test_there_is_no_plateau_without_three_learning_rates_and_a_best(cell):
    assert plateau(cell, LAST) is None


# Edges


def noisy_bowl(lrs, best):
    random = np.random.default_rng(0)
    return bowl(lrs, best) + 0.01 * random.standard_normal((len(lrs), 2))


@pytest.mark.parametrize(
    ("best", "side", "try_next"),
    [(10.0, "high", (10.0, 100.0, 1000.0)), (1e-8, "low", (1e-7, 1e-8, 1e-9))],
)
def test_the_edge_of_a_grid_says_where_to_go_on(best, side, try_next):
    found = edge(final_cell(noisy_bowl(LRS, best), lrs=LRS), LAST)
    assert (found.hparam, found.side) == ("lr", side)
    assert found.value == (1.0 if side == "high" else 1e-6)
    assert found.try_next == pytest.approx(try_next)


def test_a_best_setting_inside_has_no_edge():
    assert edge(final_cell(noisy_bowl(LRS, 1e-3), lrs=LRS), LAST) is None


def test_the_edge_of_a_random_search_is_its_outermost_value():
    lrs = 10 ** np.random.default_rng(0).uniform(-4, -1, 20)
    found = edge(final_cell(noisy_bowl(lrs, 1.0), lrs=lrs), LAST)
    assert (found.value, found.side) == (lrs.max(), "high")
    assert lrs.max() < found.try_next[0] < found.try_next[1]


def grid_of(lrs, name, values):
    return [{"lr": lr, name: value} for lr in lrs for value in values]


def test_values_near_one_go_on_towards_one():
    hparams = grid_of([0.01, 0.1, 1.0], "beta2", [0.9, 0.99, 0.999])
    final_HS = np.array([[3.0, 2, 1], [2.0, 1, 0], [3.0, 2, 1]]).reshape(9, 1).repeat(3, 1)
    found = edge(final_cell(final_HS, hparams=hparams), LAST)
    assert (found.hparam, found.value, found.side) == ("beta2", 0.999, "high")
    assert found.try_next == pytest.approx((0.9999, 0.99999, 0.999999), rel=1e-3)


def test_the_learning_rate_comes_first():
    hparams = [{"beta": b, "lr": lr} for lr in (1.0, 2.0, 4.0) for b in (0.1, 0.2, 0.4)]
    final_HS = np.arange(9.0)[::-1, None].repeat(2, 1)
    found = edge(final_cell(final_HS, hparams=hparams), LAST)
    assert (found.hparam, found.try_next) == ("lr", (8.0, 16.0, 32.0))


def test_a_hyperparameter_without_an_effect_has_no_edge():
    hparams = grid_of([0.01, 0.1, 1.0], "weight_decay", [1e-5, 1e-4, 1e-3])
    random = np.random.default_rng(0)
    final_HS = np.repeat([[2.0], [1.0], [2.0]], 3, axis=0) + 0.01 * random.standard_normal((9, 5))
    final_HS[3] -= 0.002
    assert edge(final_cell(final_HS, hparams=hparams), LAST) is None


def test_zero_is_no_edge():
    hparams = grid_of([0.01, 0.1, 1.0], "weight_decay", [0.0, 1e-4, 1e-3])
    final_HS = np.array([[3.0, 4, 5], [1.0, 2, 3], [3.0, 4, 5]]).reshape(9, 1).repeat(2, 1)
    assert edge(final_cell(final_HS, hparams=hparams), LAST) is None


def test_a_grid_of_two_values_or_of_words_has_no_edge():
    final_HS = np.arange(4.0)[:, None].repeat(2, 1)
    hparams = [{"lr": lr, "kind": kind, "nesterov": kind == "a"} for lr in (0.1, 1.0) for kind in "ab"]
    assert edge(final_cell(final_HS, hparams=hparams), LAST) is None


def test_all_diverged_has_no_edge():
    assert edge(final_cell(np.full((7, 2), NAN), lrs=LRS), LAST) is None


def test_one_seed_is_enough_for_an_edge():
    assert edge(final_cell(bowl(LRS, 1.0)[:, :1], lrs=LRS), LAST).value == 1.0
