"""The settings of the training of a learned optimizer, and what is trained under them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from optsuite.choices import META_ESTIMATORS
from optsuite.errors import HParamError, UnknownNameError, UnsupportedError, parameter
from optsuite.hparam_sets import Config, Schedule, Trial
from optsuite.optimizers import (
    CLIPPED_AVERAGED,
    OPTIMIZERS,
    Checkpoint,
    check_architecture,
    content_of,
    default_architecture,
    get_learned_optimizer,
    get_row,
    list_optimizers,
    read_checkpoint,
)
from optsuite.tasks import Task, get_task, meta_task


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of a training."""

    kind: str
    """Key of `optimizers.LEARNED_OPTIMIZERS`."""
    tasks: tuple[str, ...]
    """Names of the tasks that it trains."""
    architecture: Mapping[str, float] = field(default_factory=dict)
    """Arguments of the kind's factory; none for those of `init`."""
    init: str | None = None
    """Checkpoint to start from."""
    estimator: Literal["pes", "unroll"] = "pes"
    """The way in which gradients are estimated, as for `tasks.meta_task`."""
    inner_steps: int | None = None
    """Number of steps of an inner training; None for 1000 with `pes` and 50 with `unroll`."""
    piece: int | None = None
    """Number of inner steps in an outer step; None for 20 with `pes`, and for all with `unroll`."""
    problems: int = 16
    """Number of inner trainings of each task, side by side."""
    std: float | None = None
    """Deviation of the perturbations of `pes`; None for 0.01, and for `unroll`."""
    steps: int = 5000
    """Number of outer steps."""
    optimizer: str = "Adam"
    """Optimizer of theta, one of `list_optimizers()`."""
    hparams: Mapping[str, float | str] = field(default_factory=dict)
    """Its hyperparameters; a learning rate that is left out is 0.001."""
    clip: float = 3.0
    """Largest magnitude of an element of a gradient; the default is the reference's."""
    average: float = 0.0
    """Decay of the average of theta, which is what is written; 0 for the latest theta."""
    seed: int = 0


class Plan(NamedTuple):
    """The thing that is trained, and an account of it."""

    task: Task
    trial: Trial
    architecture: Mapping[str, float]
    """Arguments of the kind's factory that are not its defaults."""
    account: dict[str, Any]
    """Everything that decides theta but the data and the machine, as JSON can hold it."""


def make_plan(settings: Settings) -> Plan:
    """Check settings, and fill in what is left out.

    Raises:
        UnknownNameError: There is no such kind, task or optimizer.
        HParamError: A number is out of range, or the checkpoint is of another kind or architecture.
        StorageError: The checkpoint cannot be read.
        UnsupportedError: A task cannot be trained within another one, or the optimizer is a class.
    """
    _check_values(settings)
    start = None if settings.init is None else _read_start(settings.init, settings)
    architecture = {**(start.architecture if start else {}), **settings.architecture}
    check_architecture(settings.kind, architecture)
    learned = get_learned_optimizer(settings.kind, **architecture)
    if start:
        theta = start.theta
        learned = learned._replace(init=lambda: {name: tensor.clone() for name, tensor in theta.items()})
    inner_steps = settings.inner_steps or (1000 if settings.estimator == "pes" else 50)
    piece = settings.piece or min(20 if settings.estimator == "pes" else inner_steps, inner_steps)
    std = 0.01 if settings.std is None else settings.std
    task = meta_task(
        f"Meta_{settings.kind}",
        [get_task(name) for name in settings.tasks],
        learned,
        estimator=settings.estimator,
        num_problems=settings.problems,
        total_length=inner_steps,
        unroll_length=piece,
        std=std,
    )
    hparams = _hparams(settings)
    own = {"clip": settings.clip, "average": settings.average}
    config = Config(settings.optimizer, f"{settings.optimizer}{CLIPPED_AVERAGED}", {**hparams, **own})
    # All steps count from 0, so the last has the number of steps less one.
    schedule = Schedule(settings.steps - 1, eval_batches=0, last_eval_batches=0)
    account = vars(settings) | {
        "init": start and start.sha256,
        "inner_steps": inner_steps,
        "piece": piece,
        "std": std,
        "tasks": list(settings.tasks),
        # A checkpoint that lies elsewhere is the same.
        "hparams": {name: content_of(value) for name, value in config.hparams.items() if name not in own},
    }
    del account["kind"], account["architecture"]  # which a checkpoint has of its own
    if settings.estimator != "pes":
        del account["std"]
    trial = Trial(task.name, config, schedule, settings.seed)
    return Plan(task, trial, without_defaults(settings.kind, architecture), account)


def without_defaults(kind: str, architecture: Mapping[str, float]) -> dict[str, float]:
    """Leave out the arguments of a kind's factory that are its defaults."""
    defaults = default_architecture(kind)
    return {name: value for name, value in architecture.items() if value != defaults[name]}


def _hparams(settings: Settings) -> dict[str, float | str]:
    name, hparams = settings.optimizer, dict(settings.hparams)
    row = get_row(name)
    if name not in OPTIMIZERS:
        raise UnsupportedError(
            f"`{name}` cannot train a learned optimizer, which takes one of pure functions: choose one of "
            f"{', '.join(list_optimizers())}"
        )
    for setting in ("clip", "average"):
        if setting in hparams:
            raise HParamError(
                f"`{setting}` is no hyperparameter of `{name}` here: give it by `{parameter(setting)}`"
            )
    if "lr" in row.hparams:
        hparams.setdefault("lr", 1e-3)
    return hparams


def _read_start(url: str, settings: Settings) -> Checkpoint:
    start = read_checkpoint(url)
    found = {"kind": start.kind, **default_architecture(start.kind), **start.architecture}
    for name, value in {"kind": settings.kind, **settings.architecture}.items():
        if name in found and found[name] != value:
            raise HParamError(
                f"a training of {name} {value} cannot start from `{url}`, a checkpoint of {name} "
                f"{found[name]}: ask for the same, or start from another checkpoint"
            )
    return start


def _check_values(settings: Settings) -> None:
    if settings.estimator not in META_ESTIMATORS:
        raise UnknownNameError("estimator", settings.estimator, META_ESTIMATORS)
    if not settings.tasks:
        raise HParamError("`tasks` must name at least one task (got none)")
    for name, least in {"problems": 1, "steps": 1, "seed": 0}.items():
        if (value := getattr(settings, name)) < least:
            raise HParamError(f"`{name}` must be at least {least} (got {value})")
    if settings.seed >= 2**63:
        raise HParamError(f"`seed` must be below 2**63 (got {settings.seed})")
    if settings.std is not None:
        if settings.estimator != "pes":
            raise HParamError(
                f"`{parameter('std')}` is of pes alone (got {settings.std} with {settings.estimator}): "
                "leave it out"
            )
        if not 0 < settings.std < math.inf:
            raise HParamError(f"`{parameter('std')}` must be a finite number > 0 (got {settings.std})")
