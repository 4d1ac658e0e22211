"""Counts and times in words."""

from __future__ import annotations

import pytest

from optsuite.words import counted, duration


def test_counts_agree_in_number():
    assert [counted(n, "cell") for n in (0, 1, 1200)] == ["0 cells", "1 cell", "1,200 cells"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "1 s"),
        (0.2, "1 s"),
        (12.4, "12 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (200, "3 min 20 s"),
        (3599.7, "1 h 0 min"),
        (18_600, "5 h 10 min"),
    ],
)
def test_durations_are_in_words(seconds, words):
    assert duration(seconds) == words
