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
    tasks: str | None
    sets: str | None
    steps: int | None
    reps: int | None
    optimizers: tuple[str, ...]
    checkpoints: tuple[str, ...]
    grids: tuple[str, ...]
    plan: bool
    run: RunOptions
    """The options that do not choose cells."""


_MATRIX = {
    "preset": Argument(
        "full: the published sets; quick: short sets on cheap tasks; auto: full on CUDA, else quick",
        choices=choices.PRESETS,
        default="auto",
    ),
    "tasks": Argument(
        "glob that narrows the tasks; a task given by its name joins whatever it costs", "GLOB"
    ),
    "sets": Argument("glob that narrows the hparam sets, or the name of any set, e.g. AdamLR_500_R2", "GLOB"),
    "steps": Argument("train this many steps instead of the sets' own", "N", type=_arguments.count),
    "reps": Argument("train this many repetitions instead of the sets' own", "N", type=_arguments.count),
}
"""Options that choose cells."""

OPTIONS = _MATRIX | _arguments.RUN

_OPTIMIZER_HELP = (
    "add the learning-rate grid of a torch.optim.Optimizer: torch.optim:NAdam, path/to/my.py:Mine, "
    "'torch.optim:SGD(momentum=0.9)', or NAME=MODULE:CLASS; may be repeated"
)


def add(parser: pytest.Parser) -> None:
    """Declare every option."""
    group = parser.getgroup("optsuite", "optimizer benchmarks")
    for name, argument in OPTIONS.items():
        option = f"--opt-{name.replace('_', '-')}"
        group.addoption(option, **argument.keywords)
        parser.addini(f"optsuite_{name}", f"default of {option}")
    group.addoption("--opt-optimizer", action="append", metavar="MODULE:CLASS", help=_OPTIMIZER_HELP)
    parser.addini("optsuite_optimizer", "defaults of --opt-optimizer, separated by spaces", type="args")
    group.addoption("--opt-lopt", action="append", metavar=_arguments.LOPT_METAVAR, help=_arguments.LOPT_HELP)
    parser.addini("optsuite_lopt", "defaults of --opt-lopt, separated by spaces", type="args")
    group.addoption("--opt-grid", action="append", metavar=_arguments.GRID_METAVAR, help=_arguments.GRID_HELP)
    parser.addini("optsuite_grid", "defaults of --opt-grid, in quotes, separated by spaces", type="args")
    group.addoption("--opt-plan", action="store_true", help="print the plan, cell by cell, and train nothing")


def explained(error: Exception) -> str:
    """Return what an error says, with advice in these options."""
    return in_face(error, "pytest")


def read(config: pytest.Config) -> Options:
    """Return the options of this session: the command line's, else the ini file's, else the defaults.

    Raises:
        pytest.UsageError: An ini value is not a valid one, or two options exclude each other.
    """
    from optsuite.runner import RunOptions

    values: dict[str, Any] = {name: _value(config, name) for name in OPTIONS}
    if values["backend"] != "local" and _uses_xdist(config):
        raise pytest.UsageError("-n and --opt-backend both spread cells over processes: choose one of them")
    if values["budget"] and _uses_xdist(config):
        raise pytest.UsageError("--opt-budget is for one process to keep: pass --opt-backend process, not -n")
    values["report"] = values["report"] == "on"
    matrix = {name: values.pop(name) for name in _MATRIX}
    optimizers = config.getoption("opt_optimizer") or config.getini("optsuite_optimizer")
    checkpoints = config.getoption("opt_lopt") or config.getini("optsuite_lopt")
    grids = config.getoption("opt_grid") or config.getini("optsuite_grid")
    return Options(
        **matrix,
        optimizers=tuple(optimizers),
        checkpoints=tuple(checkpoints),
        grids=tuple(grids),
        plan=config.getoption("opt_plan"),
        run=RunOptions(**values),
    )


def _uses_xdist(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput") or bool(config.getoption("numprocesses", None))


def _value(config: pytest.Config, name: str) -> str | float | None:
    given: str | float | None = config.getoption(f"opt_{name}")
    if given is not None:
        return given
    argument = OPTIONS[name]
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
