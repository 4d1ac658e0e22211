"""Types of command-line arguments."""

from __future__ import annotations

import argparse

import pytest

from optsuite import _arguments


@pytest.mark.parametrize("text", ["1", "007", "10000"])
def test_counts_are_whole_numbers(text):
    assert _arguments.count(text) == int(text)


def test_times_are_seconds():
    assert _arguments.time("1h30m") == 5400


@pytest.mark.parametrize(("read", "text"), [(_arguments.count, "0"), (_arguments.time, "soon")])
def test_what_is_bad_is_argparses_error(read, text):
    with pytest.raises(argparse.ArgumentTypeError, match=f"got '{text}'"):
        read(text)
