"""--opt-checkpoint, its ini name, and --checkpoint of the command."""

from __future__ import annotations

import math

import pytest

import optsuite.runner  # noqa: F401 - pytester forgets what is imported in a test
from optsuite.cli._commands import make_parser
from optsuite.plugin import _options

TIMES = [("90s", 90.0), ("10m", 600.0), ("1h30m", 5400.0), ("off", math.inf)]


@pytest.mark.parametrize(("text", "seconds"), TIMES)
def test_both_faces_read_a_time_or_off(text, seconds, pytester):
    config = pytester.parseconfig(f"--opt-checkpoint={text}")
    assert _options.read(config).run.checkpoint == seconds
    assert make_parser().parse_args(["run", "T", "S", "--checkpoint", text]).checkpoint == seconds
    pytester.makeini(f"[pytest]\noptsuite_checkpoint = {text}\n")
    assert _options.read(pytester.parseconfig()).run.checkpoint == seconds


def test_without_it_a_state_is_saved_every_ten_minutes(pytester):
    assert _options.read(pytester.parseconfig()).run.checkpoint == 600.0


def test_a_bad_time_is_an_error(pytester):
    pytester.makeini("[pytest]\noptsuite_checkpoint = soon\n")
    with pytest.raises(pytest.UsageError, match="optsuite_checkpoint"):
        _options.read(pytester.parseconfig())
