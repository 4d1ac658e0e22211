"""Counts and times in words."""

from __future__ import annotations

import pytest

from optsuite.words import aligned, counted, duration, seconds_in


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


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("45m", 2700), ("2h", 7200), ("1h30m", 5400), ("0.5h", 1800), ("1h 1m 1s", 3661)],
)
def test_times_are_read(text, seconds):
    assert seconds_in(text) == seconds


@pytest.mark.parametrize("text", ["", "2", "h", "0s", "-2h", "2d", "1m2h", "1.2.3h", "٢h", "nanh"])
def test_what_is_no_time_says_what_is(text):
    with pytest.raises(ValueError, match=r"90s, 45m, 2h or 1h30m"):
        seconds_in(text)


def test_columns_are_aligned():
    assert aligned([("a", "bb", "c"), ("aaa", "b", "cc")]) == ["a    bb  c", "aaa  b   cc"]
