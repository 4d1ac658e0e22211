"""Options that both faces share, and the types of their values."""

from __future__ import annotations

import argparse

import pytest

from optsuite import _arguments
from optsuite.runner import RunOptions


@pytest.mark.parametrize("text", ["1", "007", "10000"])
def test_counts_are_whole_numbers(text):
    assert _arguments.count(text) == int(text)


def test_times_are_seconds():
    assert _arguments.time("1h30m") == 5400


@pytest.mark.parametrize(("read", "text"), [(_arguments.count, "0"), (_arguments.time, "soon")])
def test_what_is_bad_is_argparses_error(read, text):
    with pytest.raises(argparse.ArgumentTypeError, match=f"got '{text}'"):
        read(text)


def test_both_faces_have_every_option_of_a_run_with_its_default():
    given = {name: a.default and a.type(a.default) for name, a in _arguments.RUN.items()}
    assert RunOptions(**given | {"report": given["report"] == "on"}) == RunOptions()


def test_help_tells_each_default_once():
    for name, argument in _arguments.RUN.items():
        assert argument.keywords["help"].count("(default: ") == (name != "budget")


def parser(**keywords):
    made = argparse.ArgumentParser(exit_on_error=False)
    made.add_argument("--data", action=_arguments.Once, **keywords)
    return made


def test_an_option_given_once_or_twice_the_same_has_its_value():
    assert parser().parse_args([]).data is None
    assert parser(default="auto").parse_args(["--data", "real"]).data == "real"
    assert parser().parse_args(["--data", "real", "--data=real"]).data == "real"


def test_two_values_of_an_option_that_takes_one_are_refused():
    with pytest.raises(argparse.ArgumentError, match=r"--data: takes one value, and two .*\(real and auto\)"):
        parser().parse_args(["--data", "real", "--data=auto"])
