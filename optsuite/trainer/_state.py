"""The values that training a grid hands on: its state between two steps, and its record in the end."""

from __future__ import annotations

from typing import NamedTuple

from optsuite._types import Array
from optsuite.trainer._program import Trained


class RunState(NamedTuple):
    """The state of a run before a step: all that the training of a grid holds."""

    step: int
    """Number of the next step."""
    trained: Trained
    """Parameters, optimizer states and carries, (S, kept, ...) each."""
    kept: Array
    """Numbers of the configs that are still trained, ascending."""
    is_alive_SH: Array
    """(S, kept), whether all losses so far are finite."""
    losses_TSH: Array
    """(num_steps + 1, S, H), NaN where nothing was trained."""
    metrics_ESH: Array
    """(E, splits, metrics, S, H), likewise."""
    trial_steps: int = 0
    """Number of trial-steps trained so far."""
    seconds: float = 0.0
    """Wall-clock time of these."""


class Record(NamedTuple):
    """The record of a grid, on the host."""

    train_loss_TSH: Array
    """(num_steps + 1, S, H)."""
    eval_metrics_ESH: dict[str, Array]
    """(E, S, H) by `<split>/<metric>`; empty without evaluations."""
    trial_steps: int
    """Number of trial-steps trained; fewer than asked for if trials diverged."""
    failures: dict[tuple[int, int], Exception]
    """Errors that kept single trials (s, h) from being trained, while the others were."""
    seconds: float
    """Wall-clock time of these steps and their evaluations, compilation included, loading of data not."""
    trained_as: str
    """The layout, in words."""
    peak_memory_bytes: int = -1
    """Peak of the memory on a GPU; -1 elsewhere."""
