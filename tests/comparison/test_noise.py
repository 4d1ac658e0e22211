"""The tests behind the gate: agreement with known ones, rate of false alarms, power."""

from __future__ import annotations

import numpy as np
import pytest
from nights import rounding
from scipy import stats

from optsuite.comparison import FALSE_ALARMS
from optsuite.comparison._noise import (
    divergence_p_value,
    loss_p_values,
    real_ones,
    relative_change,
    speed_p_value,
)

SEEDS, SETTINGS = 5, 15


def correlated(rng, shape, share=0.1):
    """Normal noise of which a share of the variance is common to the settings of a seed."""
    common, own = rng.standard_normal((1, shape[1])), rng.standard_normal(shape)
    return 0.01 * (np.sqrt(share) * common + np.sqrt(1 - share) * own)


def normal(rng, shape):
    return correlated(rng, shape, 0)


def edges(rng, shape):
    """Noise as measured, at the edge of the grid of which trials diverge in one night or both."""
    noise = rounding(rng, shape)
    noise[-2:][rng.random((2, shape[1])) < 0.5] = np.nan
    return noise


KINDS = (normal, correlated, rounding, edges)


def alarms(changes):
    """Whether each cell is taken for changed, beside as many tests of curves and of divergence."""
    p_values = [*loss_p_values(changes), *np.ones(2 * len(changes))]
    return real_ones(p_values, FALSE_ALARMS)[: len(changes)]


def sigmas(changes_HS):
    """(H, 1), standard deviations over the pairs of each setting, at least that of rounding."""
    pairs = [row[np.isfinite(row)] for row in changes_HS]
    return np.array([[max(row.std(ddof=1), 1e-5) if len(row) > 1 else 0] for row in pairs])


def rates(kind, num_cells, num_nights, seed=0):
    """Share of nights with a false alarm, and of those in which a cell that shifted by 2 sigma is found.

    Sigma is the standard deviation over seeds of the paired differences of a setting, of the night itself.
    """
    rng = np.random.default_rng(seed)
    false = found = 0
    for _ in range(num_nights):
        changes = [kind(rng, (SETTINGS, SEEDS)) for _ in range(num_cells)]
        false += any(alarms(changes))
        found += alarms([changes[0] + 2 * sigmas(changes[0]), *changes[1:]])[0]
    return false / num_nights, found / num_nights


@pytest.mark.parametrize("kind", KINDS)
def test_noise_trips_no_alarm_and_two_sigma_do(kind):
    false, found = rates(kind, num_cells=6, num_nights=60)
    assert false <= 0.04  # two of 60: more have a probability below 0.003 at a rate of 1 %
    assert found >= 0.9


@pytest.mark.slow
@pytest.mark.parametrize("num_cells", [1, 20])
@pytest.mark.parametrize("kind", KINDS)
def test_over_many_nights_false_alarms_are_one_in_a_hundred_and_power_is_95_percent(kind, num_cells):
    false, found = rates(kind, num_cells, num_nights=2000)
    assert false <= FALSE_ALARMS
    assert found >= 0.95


def test_one_setting_is_a_paired_t_test():
    changes = np.random.default_rng(0).normal(1, 1, (1, 8))
    # Its deviate is read as Student's t, whose limit is above the normal one while few cells are known.
    deviate = stats.norm.isf(stats.ttest_1samp(changes[0], 0).pvalue / 2)
    (p_value,) = loss_p_values([changes])
    assert p_value == pytest.approx(2 * stats.t.sf(deviate, 8 + 7), rel=1e-3)  # less what rounding is


def test_settings_that_differ_alike_count_as_one():
    rng = np.random.default_rng(1)
    (alike,) = loss_p_values([np.tile(rng.normal(0.01, 0.01, (1, SEEDS)), (SETTINGS, 1))])
    (each,) = loss_p_values([rng.normal(0.01, 0.01, (SETTINGS, SEEDS))])
    assert each < 1e-4 < 1e-3 < alike


def test_what_is_far_above_noise_is_found_in_large_families_though_settings_of_a_seed_differ_alike():
    rng = np.random.default_rng(2)
    broken = np.tile(0.5 + 0.01 * rng.standard_normal((1, SEEDS)), (SETTINGS, 1))
    assert alarms([broken, *(rounding(rng, (SETTINGS, SEEDS)) for _ in range(39))]) == [True] + [False] * 39


def test_a_cell_without_pairs_is_no_evidence():
    assert loss_p_values([np.full((3, 5), np.nan), np.zeros((3, 5))]) == [1.0, 1.0]


@pytest.mark.parametrize("change", [1e-7, 9e-6, -9e-6])
@pytest.mark.parametrize("shape", [(15, 5), (200, 5), (15, 50)])
def test_changes_within_rounding_are_none_however_many_agree(change, shape):
    assert loss_p_values([np.full(shape, change)]) == [1.0]


def test_a_small_change_in_all_settings_is_found():
    assert loss_p_values([np.full((15, 5), 1e-4)])[0] < 1e-6


def test_relative_changes_are_bounded_and_have_a_sign():
    a, b = np.array([1.0, 1e30, -1.0, 0.0, np.nan]), np.array([1.01, -1e30, -1.01, 0.0, 1.0])
    assert relative_change(a, b) == pytest.approx([0.00995, -2, -0.00995, 0, np.nan], abs=1e-5, nan_ok=True)


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 0), (3, 3), (0, 10), (12, 2)])
def test_divergence_is_an_exact_sign_test(only_a, only_b):
    count = only_a + only_b
    known = stats.binomtest(only_a, count).pvalue if count else 1
    assert divergence_p_value(only_a, only_b) == pytest.approx(known)


def test_speed_is_a_t_test_over_rounds():
    ratios = np.random.default_rng(0).normal(0.01, 0.02, 10)
    assert speed_p_value(ratios) == pytest.approx(stats.ttest_1samp(ratios, 0).pvalue)


def test_holm_is_that_of_a_hand_made_example():
    assert real_ones([0.01, 0.04, 0.03, 0.005], 0.05) == [True, False, False, True]
    assert real_ones([], 0.01) == []


@pytest.mark.parametrize("num_cells", [1, 10])
def test_twenty_rounds_find_five_percent_at_three_percent_of_noise(num_cells):
    rng = np.random.default_rng(0)
    others = [1.0] * 3 * num_cells
    false = found = 0
    for _ in range(200):
        ratios = 0.03 * rng.standard_t(5, (num_cells, 20)) / np.sqrt(5 / 3)
        p_values = [speed_p_value(row) for row in ratios]
        false += any(real_ones([*p_values, *others], FALSE_ALARMS))
        slower = speed_p_value(ratios[0] + np.log(1.05))
        found += real_ones([slower, *p_values[1:], *others], FALSE_ALARMS)[0]
    assert false <= 5  # of 200: more have a probability of 0.02 at a rate of 1 %
    assert found >= 190
