"""The options: `--opt-...` on the command line, `optsuite_...` in the ini file."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from optsuite import _arguments, choices
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
    plan: bool
    run: RunOptions
    """The options that do not choose cells."""


_CHOICES = {
    "preset": choices.PRESETS,
    "data": choices.MODES,
    "precision": choices.PRECISIONS,
    "rerun": choices.RERUNS,
    "report": ("on", "off"),
    "backend": choices.BACKENDS,
}

_DEFAULTS = {"preset": "auto", "precision": "float32", "rerun": "missing", "report": "on", "backend": "local"}

_HELP = {
    "preset": "full: the published sets; quick: short sets on cheap tasks; auto: full on CUDA, else quick",
    "tasks": "glob that narrows the tasks; a task given by its name joins whatever it costs",
    "sets": "glob that narrows the hparam sets, or the name of any set, e.g. AdamLR_500_R2",
    "data": "auto: real data where present, else stand-ins; real; synthetic (default: $OPTSUITE_DATA)",
    "steps": "train this many steps instead of the sets' own",
    "reps": "train this many repetitions instead of the sets' own",
    "storage": "path or URL of the curves (default: $LOPT_BASELINE_DIR or ~/lopt_baselines)",
    "archives": "path or URL of the archives (default: <storage>_archives, $LOPT_BASELINE_ARCHIVES_DIR or "
    "~/lopt_baselines_archives)",
    "device": "where to train, e.g. cpu or cuda:1 (default: cuda if there is one; with xdist one a worker)",
    "precision": "of products and convolutions: float32; tf32, on CUDA; bf16, by autocast; results of the "
    "latter two lie under <storage>_<precision>",
    "rerun": "missing: train what is not recorded; failed: also what cannot be read; all: everything",
    "report": "on: draw the plots and write the report after the session, in <storage>_reports; off",
    "budget": "train the cheapest cells that fit a time such as 45m, 2h or 1h30m, and say what is left out",
    "backend": "where cells train: local: here, one after the other; process: in processes beside this one, "
    "each with a GPU or its share of the cores; dask: on the workers of a Dask cluster",
    "workers": "processes, or workers of the cluster that dask starts (default: one a GPU, else one a core)",
    "dask_address": "scheduler of a Dask cluster, e.g. tcp://host:8786 (default: starts a cluster here)",
}

_OPTIMIZER_HELP = (
    "add the learning-rate grid of a torch.optim.Optimizer: torch.optim:NAdam, path/to/my.py:Mine, "
    "'torch.optim:SGD(momentum=0.9)', or NAME=MODULE:CLASS; may be repeated"
)

_METAVARS = {
    **dict.fromkeys(("steps", "reps", "workers"), "N"),
    **dict.fromkeys(("tasks", "sets"), "GLOB"),
    **dict.fromkeys(("storage", "archives"), "URL"),
    "dask_address": "ADDRESS",
    "budget": "TIME",
}


def add(parser: pytest.Parser) -> None:
    """Declare every option."""
    group = parser.getgroup("optsuite", "optimizer benchmarks")
    for name, words in _HELP.items():
        group.addoption(
            f"--opt-{name.replace('_', '-')}",
            choices=_CHOICES.get(name),
            type=_TYPES.get(name, str),
            metavar=_METAVARS.get(name),
            help=words,
        )
        parser.addini(f"optsuite_{name}", f"default of --opt-{name.replace('_', '-')}")
    group.addoption("--opt-optimizer", action="append", metavar="MODULE:CLASS", help=_OPTIMIZER_HELP)
    parser.addini("optsuite_optimizer", "defaults of --opt-optimizer, separated by spaces", type="args")
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

    values: dict[str, Any] = {name: _value(config, name) for name in _HELP}
    if values["backend"] != "local" and _uses_xdist(config):
        raise pytest.UsageError("-n and --opt-backend both spread cells over processes: choose one of them")
    if values["budget"] and _uses_xdist(config):
        raise pytest.UsageError("--opt-budget is for one process to keep: pass --opt-backend process, not -n")
    values["report"] = values["report"] == "on"
    matrix = {name: values.pop(name) for name in ("preset", "tasks", "sets", "steps", "reps")}
    optimizers = config.getoption("opt_optimizer") or config.getini("optsuite_optimizer")
    return Options(
        **matrix, optimizers=tuple(optimizers), plan=config.getoption("opt_plan"), run=RunOptions(**values)
    )


def _uses_xdist(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput") or bool(config.getoption("numprocesses", None))


def _value(config: pytest.Config, name: str) -> str | float | None:
    given: str | float | None = config.getoption(f"opt_{name}")
    if given is not None:
        return given
    text: str = config.getini(f"optsuite_{name}")
    if not text:
        return _DEFAULTS.get(name)
    choices = _CHOICES.get(name)
    if choices and text not in choices:
        raise pytest.UsageError(f"optsuite_{name} must be one of {', '.join(choices)} (got {text!r})")
    try:
        return _TYPES.get(name, str)(text)
    except argparse.ArgumentTypeError as error:
        raise pytest.UsageError(f"optsuite_{name}: {error}") from None


_TYPES: dict[str, Callable[[str], str | float]] = {
    **dict.fromkeys(("steps", "reps", "workers"), _arguments.count),
    "budget": _arguments.time,
}
