"""Ranks of optimizers of which some have no results."""

from __future__ import annotations

import math

import pytest

from optsuite import vis


@pytest.mark.parametrize(
    ("ranks", "rows"),
    [({"Mine": 1.0, "Lost": math.nan, "Adam": 2.0}, ["Mine", "Adam"]), ({"Lost": math.nan}, [])],
)
def test_an_optimizer_without_a_rank_has_no_row(ranks, rows):
    ax = vis.draw_ranks(ranks)
    assert [label.get_text() for label in ax.get_yticklabels()] == rows
    assert not any("nan" in text.get_text() for text in ax.texts)
