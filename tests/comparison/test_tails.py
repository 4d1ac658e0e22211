"""Tail probabilities, against scipy's."""

from __future__ import annotations

import pytest
from scipy import stats

from optsuite.comparison._tails import chi2_tail, normal_score, t_limit, t_tails

COUNTS = (1, 2, 3, 4, 5, 9, 24, 101, 600)


@pytest.mark.parametrize("df", COUNTS)
def test_tails_of_students_t(df):
    for t in (0.0, 0.3, 1.0, -3.0, 10.0, 40.0):
        assert t_tails(t, df) == pytest.approx(2 * stats.t.sf(abs(t), df), rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("df", COUNTS)
def test_the_tail_of_chi_squared(df):
    for x in (0.0, 0.1, 1.0, 5.0, 30.0, 100.0, 700.0, 70_000.0):
        assert chi2_tail(x, df) == pytest.approx(stats.chi2.sf(x, df), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("df", COUNTS)
def test_limits_and_scores_are_inverse_to_tails(df):
    assert t_limit(0.05, df) == pytest.approx(stats.t.ppf(0.975, df))
    assert normal_score(-2.0, df) == pytest.approx(stats.norm.ppf(stats.t.cdf(-2.0, df)))
