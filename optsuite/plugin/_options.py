"""The options: `--opt-...` on the command line, `optsuite_...` in the ini file."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from optsuite import _arguments, choices
from optsuite._arguments import Argument
from optsuite.errors import in_face

if TYPE_CHECKING:
    from optsuite.runner import RunOptions


class Options(NamedTuple):
    """The options of a session; None where the default is decided elsewhere."""

    preset: str
    tasks: tuple[str, ...]
    sets: tuple[str, ...]
    steps: int | None
    reps: int | None
    suite: str | None
    optimizers: tuple[str, ...]
    checkpoints: tuple[str, ...]
    grids: tuple[str, ...]
    plan: bool
    compare: str | None
    """Root of the archives to compare with."""
    compare_fail: bool
    run: RunOptions
    """The options that do not choose cells."""


_MATRIX = {
    "preset": Argument(
        "full: the published sets; quick: short sets on cheap tasks; auto: full on CUDA, else quick",
        choices=choices.PRESETS,
        default="auto",
    ),
    "steps": Argument("train this many steps instead of the sets' own", "N", type=_arguments.count),
    "reps": Argument("train this many repetitions instead of the sets' own", "N", type=_arguments.count),
    "suite": Argument(
        "take tasks, steps and repetitions of a suite, such as cpu-quick or a .toml file, and the sets "
        "of the optimizers that options add, and of --opt-sets; without either, the suite's own sets",
        "NAME",
    ),
}
"""Options that choose cells and take one value."""

_COMPARE = {
    "compare": Argument(
        "compare this session's archives with others, e.g. last night's: path or URL of their root, as for "
        "--opt-archives",
        "URL",
    )
}

_ONCE = _MATRIX | _COMPARE | _arguments.RUN

_REPEATED = {
    "tasks": Argument(
        "glob that narrows the tasks; a task given by its name joins whatever it costs; may be repeated",
        "GLOB",
    ),
    "sets": Argument(
        "glob that narrows the hparam sets, or the name of any set, e.g. AdamLR_500_R2; may be repeated",
        "GLOB",
    ),
    "optimizer": Argument(
        "add the learning-rate grid of a torch.optim.Optimizer: torch.optim:NAdam, path/to/my.py:Mine, "
        "'torch.optim:SGD(momentum=0.9)', or NAME=MODULE:CLASS; may be repeated",
        "MODULE:CLASS",
    ),
    "lopt": Argument(_arguments.LOPT_HELP, _arguments.LOPT_METAVAR),
    "grid": Argument(_arguments.GRID_HELP, _arguments.GRID_METAVAR),
}
"""Options that choose cells, of which all that are given count."""

OPTIONS = _ONCE | _REPEATED


def add(parser: pytest.Parser) -> None:
    """Declare every option."""
    group = parser.getgroup("optsuite", "optimizer benchmarks")
    for name, argument in _ONCE.items():
        group.addoption(_flag(name), **argument.keywords)
        parser.addini(f"optsuite_{name}", f"default of {_flag(name)}")
    for name, argument in _REPEATED.items():
        group.addoption(_flag(name), action="append", **argument.keywords)
        words = f"defaults of {_flag(name)}, separated by spaces, in quotes where one holds spaces"
        parser.addini(f"optsuite_{name}", words, type="args")
    group.addoption(
        "--opt-compare-fail",
        action="store_true",
        help="fail after a real change of loss, or if nothing compares, with the archives of --opt-compare",
    )
    group.addoption("--opt-plan", action="store_true", help="print the plan, cell by cell, and train nothing")


def _flag(name: str) -> str:
    return f"--opt-{name.replace('_', '-')}"


def explained(error: Exception) -> str:
    """Return what an error says, with advice in these options."""
    return in_face(error, "pytest")


def read(config: pytest.Config) -> Options:
    """Return the options of this session: the command line's, else the ini file's, else the defaults.

    Raises:
        pytest.UsageError: An ini value is not a valid one, an option that takes one value was given two, or
            two options exclude each other.
    """
    from optsuite.runner import RunOptions

    _check_given_once(config)
    _check_suite(config)
    values: dict[str, Any] = {name: _value(config, name) for name in _ONCE}
    if values["backend"] != "local" and _uses_xdist(config):
        raise pytest.UsageError("-n and --opt-backend both spread cells over processes: choose one of them")
    if values["budget"] and _uses_xdist(config):
        raise pytest.UsageError("--opt-budget is for one process to keep: pass --opt-backend process, not -n")
    is_gate = bool(config.getoption("opt_compare_fail"))
    if is_gate and not values["compare"]:
        raise pytest.UsageError("--opt-compare-fail needs --opt-compare URL, the archives to compare with")
    values["report"] = values["report"] == "on"
    matrix = {name: values.pop(name) for name in (*_MATRIX, *_COMPARE)}
    repeated = {
        name: tuple(config.getoption(f"opt_{name}") or config.getini(f"optsuite_{name}"))
        for name in _REPEATED
    }
    return Options(
        **matrix,
        tasks=repeated["tasks"],
        sets=repeated["sets"],
        optimizers=repeated["optimizer"],
        checkpoints=repeated["lopt"],
        grids=repeated["grid"],
        plan=config.getoption("opt_plan"),
        compare_fail=is_gate,
        run=RunOptions(**values),
    )


def _check_given_once(config: pytest.Config) -> None:
    """Raise UsageError if the command line gives two values for an option that takes one.

    It may give another value than `addopts` does, which pytest puts before it.
    """
    typed = argparse.ArgumentParser(
        add_help=False, allow_abbrev=False, exit_on_error=False, fromfile_prefix_chars="@"
    )
    for name in _ONCE:
        typed.add_argument(_flag(name), action=_arguments.Once)
    try:
        typed.parse_known_args([str(word) for word in config.invocation_params.args])
    except argparse.ArgumentError as error:
        raise pytest.UsageError(str(error)) from None


def _check_suite(config: pytest.Config) -> None:
    """Raise UsageError if a suite is asked for, and also what it decides."""
    if not _given(config, "suite"):
        return
    if also := [name for name in ("preset", "tasks", "steps", "reps") if _given(config, name)]:
        flags, lines = ", ".join(map(_flag, also)), ", ".join(f"optsuite_{name}" for name in also)
        raise pytest.UsageError(
            f"--opt-suite decides tasks, steps and repetitions: leave out {flags} (in the ini file: {lines})"
        )


def _given(config: pytest.Config, name: str) -> bool:
    return bool(config.getoption(f"opt_{name}") or config.getini(f"optsuite_{name}"))


def _uses_xdist(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput") or bool(config.getoption("numprocesses", None))


def _value(config: pytest.Config, name: str) -> str | float | None:
    given: str | float | None = config.getoption(f"opt_{name}")
    if given is not None:
        return given
    argument = _ONCE[name]
    text = config.getini(f"optsuite_{name}") or argument.default
    if not text:
        return None
    if argument.choices and text not in argument.choices:
        raise pytest.UsageError(
            f"optsuite_{name} must be one of {', '.join(argument.choices)} (got {text!r})"
        )
    try:
        parsed: str | float = argument.type(text)
    except argparse.ArgumentTypeError as error:
        raise pytest.UsageError(f"optsuite_{name}: {error}") from None
    return parsed
