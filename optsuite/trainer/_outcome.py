"""Outcomes of trials: curves made of their grid's record, or errors."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import NamedTuple

import torch

from optsuite import data
from optsuite.curves import Curve, make_curve
from optsuite.hparam_sets import Trial
from optsuite.trainer._grid import Grid
from optsuite.trainer._programs import Programs
from optsuite.trainer._state import Record


class Outcome(NamedTuple):
    """The outcome of one trial: a curve, or the error that kept it from being trained."""

    trial: Trial
    result: Curve | Exception
    is_new: bool = True
    """False for a curve that was recorded before."""


def outcomes(
    programs: Programs, grid: Grid, result: Record | Exception, source: data.Source
) -> Iterator[Outcome]:
    """Give the outcome of each trial of a grid.

    Args:
        programs: The programs of its group.
        grid: Seeds and configs.
        result: The record of the grid, or why it could not be trained.
        source: Real data or the stand-in.
    """
    trials = grid.trials(programs.task.name, programs.spec)
    for place, trial in zip(_places(grid), trials, strict=True):
        if isinstance(result, Exception):
            yield Outcome(trial, result)
        elif failure := result.failures.get(place):
            yield Outcome(trial, failure)
        else:
            yield Outcome(trial, _curve(programs, trial, place, result, source))


def _places(grid: Grid) -> Iterator[tuple[int, int]]:
    """Give rows and columns in the order of the grid's trials."""
    num_seeds, num_configs = grid.shape
    return itertools.product(range(num_seeds), range(num_configs))


def _curve(
    programs: Programs, trial: Trial, place: tuple[int, int], record: Record, source: data.Source
) -> Curve:
    device = programs.device
    kind = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return make_curve(
        task_name=trial.task_name,
        opt_name=trial.config.label,
        **vars(trial.schedule),
        seed=trial.seed,
        train_loss=record.train_loss_TSH[:, *place],
        eval_metrics={k: v[:, *place] for k, v in record.eval_metrics_ESH.items()},
        data_source=source,
        config_text=_config_text(trial, source, device),
        accelerator_platform=device.type,
        accelerator_kind=kind,
        accelerator_devs=1,
        trial_id=trial.id(source),
        extra={
            "trained_as": record.trained_as,
            **({} if trial.precision == "float32" else {"precision": trial.precision}),
            "seconds_per_step": record.seconds / record.trial_steps,
            "peak_memory_bytes": record.peak_memory_bytes,
            "flops_per_step": programs.task.flops_per_step,
        },
    )


def _config_text(trial: Trial, source: str, device: torch.device) -> str:
    config = {
        "task": trial.task_name,
        "label": trial.config.label,
        "optimizer": trial.config.optimizer,
        "hparams": dict(trial.config.hparams),
        "schedule": vars(trial.schedule),
        "seed": trial.seed,
        "data_source": source,
        "precision": trial.precision,
        "device": device.type,
    }
    return json.dumps(config, indent=1)
