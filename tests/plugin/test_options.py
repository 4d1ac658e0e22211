"""Reading the options: the command line, else the ini file, else the default."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from optsuite.plugin import _options
from optsuite.runner import RunOptions

_FLAGS = ("opt_plan", "opt_compare_fail")


class Config:
    """What `read` needs of pytest's."""

    def __init__(self, ini=None, typed=(), **given):
        self._ini, self._given = ini or {}, given
        self.invocation_params = SimpleNamespace(args=typed)

    def getoption(self, name, default=None):
        return self._given.get(name.removeprefix("opt_"), False if name in _FLAGS else None)

    def getini(self, name):
        return self._ini.get(name.removeprefix("optsuite_"), "")


def test_the_defaults_leave_most_to_others():
    options = _options.read(Config())
    unsaid = dict.fromkeys(("steps", "reps", "suite", "compare"))
    said = dict.fromkeys(("tasks", "sets", "optimizers", "checkpoints", "grids"), ())
    said |= {"preset": "auto", "plan": False, "compare_fail": False, "run": RunOptions()}
    assert options._asdict() == unsaid | said


def test_the_command_line_beats_the_ini_file():
    options = _options.read(Config({"steps": "5", "reps": "7", "preset": "full"}, steps=3))
    assert (options.steps, options.reps, options.preset) == (3, 7, "full")


def test_optimizers_of_the_command_line_replace_those_of_the_ini_file():
    ini = {"optimizer": ["torch.optim:ASGD"]}
    assert _options.read(Config(ini)).optimizers == ("torch.optim:ASGD",)
    given = ["torch.optim:NAdam", "torch.optim:Rprop"]
    assert _options.read(Config(ini, optimizer=given)).optimizers == tuple(given)


def test_globs_of_the_command_line_replace_those_of_the_ini_file():
    ini = {"sets": ["Adam*", "SGD*"], "tasks": ["A"]}
    options = _options.read(Config(ini, sets=["Muon*"]))
    assert (options.sets, options.tasks) == (("Muon*",), ("A",))


def test_what_is_typed_twice_must_be_the_same():
    words = [
        "-k",
        "x",
        Path("tests"),
        "--opt-data",
        "real",
        "--opt-sets=A",
        "--opt-sets=B",
        "--opt-data=real",
    ]
    _options.read(Config(typed=words))
    with pytest.raises(pytest.UsageError, match=r"--opt-data: takes one value, and two .*\(real and auto\)"):
        _options.read(Config(typed=[*words, "--opt-data=auto"]))


def test_what_chooses_no_cells_is_of_the_run():
    run = _options.read(Config({"archives": "a", "report": "off"}, storage="s", budget=5.0)).run
    assert run == RunOptions(storage="s", archives="a", report=False, budget=5.0)
    assert run.roots == ("s", "a")


@pytest.mark.parametrize("name", ["preset", "data", "rerun"])
def test_a_bad_choice_of_the_ini_file_lists_the_good_ones(name):
    with pytest.raises(pytest.UsageError, match=rf"optsuite_{name} must be one of .*, .* \(got 'nope'\)"):
        _options.read(Config({name: "nope"}))


@pytest.mark.parametrize("name", ["steps", "reps"])
@pytest.mark.parametrize("text", ["0", "-3", "two", "1.0", "²", " 1"])
def test_a_bad_count_of_the_ini_file_says_what_is_needed(name, text):
    with pytest.raises(pytest.UsageError, match=rf"optsuite_{name}: a whole number of at least 1 is needed"):
        _options.read(Config({name: text}))
