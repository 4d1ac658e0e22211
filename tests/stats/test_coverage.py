"""Intervals hold the truth as often as they say, though the seeds that judge a setting have chosen it."""

import numpy as np
import pytest
from scipy import stats

from optsuite.statistics import RULES, aggregate, improvement, interquartile_mean, interval, resample

from .simulated import final_cell, make_cell, noisy, shared_noise, true_curves

NUM_SETTINGS = 15
LEAST, MOST = 0.93, 0.995  # of intervals at the level of 95 %; they may be wider than they need be

GAPS = {
    "ties": np.zeros(NUM_SETTINGS),
    "near ties": np.linspace(0, 0.3, NUM_SETTINGS),
    "three near": np.r_[0, 0.3, 0.6, np.linspace(3, 20, NUM_SETTINGS - 3)],
    "parabola": ((np.arange(NUM_SETTINGS) - 7) / 2) ** 2,
    "clear": np.r_[0, np.full(NUM_SETTINGS - 1, 10.0)],
}
"""True final losses of settings above the best, in units of the noise of a seed."""


def naive(final_HS):
    """The usual interval: the setting that is best, and Student's t of the seeds that chose it."""
    losses_S = final_HS[final_HS.mean(1).argmin()]
    return stats.t.interval(
        0.95, len(losses_S) - 1, losses_S.mean(), losses_S.std(ddof=1) / np.sqrt(len(losses_S))
    )


def final_coverage(gaps, num_seeds, shared, num_simulations):
    """Shares of intervals that hold the true loss of the best setting: ours, and the naive ones."""
    random, held = np.random.default_rng(0), []
    for key in range(num_simulations):
        noise_HS = random.standard_normal((NUM_SETTINGS, num_seeds))
        final_HS = 100 + gaps[:, None] + shared * random.standard_normal(num_seeds) + noise_HS
        found = resample({"A": final_cell(final_HS)}, "A", RULES["last"], num_resamples=300, key=key)
        ours, usual = interval(found.final["A"], num_seeds), naive(final_HS)
        held.append((ours.low <= 100 <= ours.high, usual[0] <= 100 <= usual[1]))
    return np.mean(held, axis=0)


@pytest.mark.parametrize("gaps", ["ties", "clear"])
def test_the_interval_of_the_final_loss_covers(gaps):
    assert LEAST <= final_coverage(GAPS[gaps], 5, 1.0, 250)[0] <= MOST


def test_an_interval_that_does_not_repeat_the_choice_fails_with_ties():
    ours, usual = final_coverage(GAPS["ties"], 5, 0.0, 250)
    assert usual < 0.87 < LEAST <= ours


@pytest.mark.slow
@pytest.mark.parametrize("shared", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("num_seeds", [3, 5, 10])
@pytest.mark.parametrize("gaps", GAPS)
def test_the_interval_of_the_final_loss_covers_everywhere(gaps, num_seeds, shared):
    covered = final_coverage(GAPS[gaps], num_seeds, shared, 1000)
    print(gaps, num_seeds, shared, covered)
    assert covered[0] >= LEAST - 0.01


# Two optimizers


PEAK = np.exp(-(((np.arange(NUM_SETTINGS) - 8) / 2) ** 2))
"""Speeds of settings by learning rate; the best one is in the grid and in each second of its values."""

SPEEDS = {
    "same, ties": (np.ones(NUM_SETTINGS), np.ones(NUM_SETTINGS)),
    "same, near ties": (np.linspace(1, 0.9, NUM_SETTINGS), np.linspace(1, 0.9, NUM_SETTINGS)),
    "same grid": (PEAK, PEAK),
    "half the grid": (PEAK[::2], PEAK),
    "faster": (1.25 * PEAK, PEAK),
    "half as fast": (0.5 * PEAK, PEAK),
}
"""Speeds of an optimizer and of the reference."""

NOISES = {
    "own": {"shared": 0.0, "lasting": 0.03, "passing": 0.03},
    "shared": {"shared": 0.05, "lasting": 0.03, "passing": 0.03},
    "passing": {"shared": 0.03, "lasting": 0.01, "passing": 0.08},
}


def pairs_of_cells(speeds, noise, num_seeds, num_simulations):
    """Simulated evaluations of an optimizer `A` and a reference `B` on the same seeds."""
    random = np.random.default_rng(0)
    for _ in range(num_simulations):
        shared_SE = shared_noise(random, num_seeds, noise["shared"])
        yield {
            name: make_cell(noisy(random, true_curves(each), shared_SE, noise["lasting"], noise["passing"]))
            for name, each in zip("AB", speeds, strict=True)
        }


def true_ratio(speeds):
    """The ratio without noise, which averaging over the last evaluations brings nearer to 1."""
    cells = {
        name: make_cell(true_curves([each.max()])[:, None]) for name, each in zip("AB", speeds, strict=True)
    }
    return resample(cells, "B", RULES["last"], num_resamples=1).steps_ratio["A"][0]


def ratio_intervals(speeds, noise, num_seeds, num_simulations):
    """(simulations, 2): limits of the steps ratio."""
    cells = pairs_of_cells(SPEEDS[speeds], NOISES[noise], num_seeds, num_simulations)
    found = [resample(each, "B", RULES["last"], num_resamples=300, key=i) for i, each in enumerate(cells)]
    return np.array([interval(each.steps_ratio["A"], num_seeds, log=True)[1:3] for each in found])


def ratio_coverage(speeds, noise, num_seeds, num_simulations):
    """Share of intervals that hold the true ratio, and shares that say better and worse."""
    limits, truth = ratio_intervals(speeds, noise, num_seeds, num_simulations), true_ratio(SPEEDS[speeds])
    held = (limits[:, 0] <= truth) & (truth <= limits[:, 1])
    return held.mean(), (limits[:, 1] < 1).mean(), (limits[:, 0] > 1).mean()


@pytest.mark.parametrize("speeds", ["half the grid", "faster"])
def test_the_interval_of_the_steps_ratio_covers(speeds):
    assert ratio_coverage(speeds, "passing", 5, 200)[0] >= LEAST


def test_an_optimizer_under_another_name_is_seldom_better_or_worse():
    _, better, worse = ratio_coverage("same grid", "shared", 5, 200)
    assert better <= 0.05
    assert worse <= 0.05
    assert better + worse <= 0.07


def test_half_as_fast_is_found_worse():
    assert ratio_coverage("half as fast", "passing", 5, 50)[2] >= 0.95


@pytest.mark.slow
@pytest.mark.parametrize("num_seeds", [3, 5, 10])
@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("speeds", SPEEDS)
def test_the_interval_of_the_steps_ratio_covers_everywhere(speeds, noise, num_seeds):
    covered, better, worse = ratio_coverage(speeds, noise, num_seeds, 400)
    print(speeds, noise, num_seeds, covered, better, worse)
    assert covered >= LEAST - 0.01


# Over tasks


def truth_over_tasks(speeds, noise):
    """The interquartile mean of scores and the probability of improvement, of very many seeds."""
    (cells,) = pairs_of_cells([each.max(keepdims=True) for each in speeds], noise, 2000, 1)
    found = resample(cells, "B", RULES["last"], num_resamples=1)
    scores, others = found.score["A"][0], found.score["B"][0]
    return interquartile_mean(scores), improvement(scores, others)


def coverage_over_tasks(speeds, noise, num_seeds, num_tasks, num_simulations):
    """Shares of intervals that hold the truth: of the steps ratio, of the score, and of the improvement."""
    held, truth = [], (true_ratio(SPEEDS[speeds]), *truth_over_tasks(SPEEDS[speeds], NOISES[noise]))
    cells = pairs_of_cells(SPEEDS[speeds], NOISES[noise], num_seeds, num_simulations * num_tasks)
    tasks = [resample(each, "B", RULES["last"], num_resamples=200, key=i) for i, each in enumerate(cells)]
    for i in range(0, len(tasks), num_tasks):
        found = aggregate(tasks[i : i + num_tasks])["A"]
        intervals = found.steps_ratio, found.score, found.improvement
        held.append([one.low <= true <= one.high for one, true in zip(intervals, truth, strict=True)])
    return np.mean(held, axis=0)


def test_intervals_over_tasks_cover():
    assert (coverage_over_tasks("faster", "shared", 5, 3, 60) >= 0.9).all()


@pytest.mark.slow
@pytest.mark.parametrize("num_tasks", [1, 3, 6])
@pytest.mark.parametrize("num_seeds", [3, 5])
@pytest.mark.parametrize("noise", ["shared", "passing"])
@pytest.mark.parametrize("speeds", ["same grid", "half the grid", "faster", "half as fast"])
def test_intervals_over_tasks_cover_everywhere(speeds, noise, num_seeds, num_tasks):
    covered = coverage_over_tasks(speeds, noise, num_seeds, num_tasks, 200)
    print(speeds, noise, num_seeds, num_tasks, covered)
    # Of three seeds that nearly all beat the reference, little is known about how often others would.
    assert (covered >= [0.9, 0.9, 0.9 if num_seeds > 3 else 0.83]).all()
