"""All that the training of a grid holds between two steps, as one value, and that value as arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

from optsuite._types import Array
from optsuite.errors import StorageError
from optsuite.trainer._dump import Arrays
from optsuite.trainer._grid import Grid
from optsuite.trainer._program import Program, Trained

_NUMBERS = ("step", "trial_steps", "seconds")
_ARRAYS = ("kept", "is_alive_SH", "losses_TSH", "metrics_ESH")


class RunState(NamedTuple):
    """The state of a run before a step."""

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


def dump(state: RunState, program: Program, identity: str) -> Arrays:
    """Copy a state to the host: arrays of numbers and text by name, from which `load` rebuilds it.

    Args:
        state: The state; it stays valid.
        program: The program of its shape.
        identity: What is trained and how, in words; `load` is to be given the same.

    Raises:
        UnsupportedError: An optimizer class keeps something that cannot be put into arrays.
    """
    arrays = {name: np.array(getattr(state, name)) for name in (*_NUMBERS, *_ARRAYS)}
    return {"identity": np.array(identity), **arrays, **program.dump(state.trained)}


@torch.no_grad()
def load(
    arrays: Arrays, program_of: Callable[[tuple[int, int]], Program], grid: Grid, identity: str
) -> RunState:
    """Rebuild a state that was dumped, in fresh objects.

    Args:
        arrays: From `dump`.
        program_of: Gives the program for a shape.
        grid: The whole grid, configs that are no longer kept included.
        identity: As given to `dump`.

    Raises:
        StorageError: The arrays are of another run, incomplete, or do not lead to the same state again.
    """
    if missing := {"identity", *_NUMBERS, *_ARRAYS} - arrays.keys():
        raise StorageError(f"a run's state needs `{min(missing)}`, got {sorted(arrays)}")
    if (got := str(arrays["identity"])) != identity:
        raise StorageError(f"the state is of another run: needed one of {identity}, got one of {got}")
    kept = np.array(arrays["kept"])
    program, is_kept = program_of(grid.shape), np.isin(np.arange(len(grid.configs)), kept)
    fresh = program.start(grid)
    if not is_kept.all():
        fresh, program = program.keep(fresh, is_kept), program_of((len(grid.seeds), len(kept)))
    values: dict[str, Any] = {name: np.array(arrays[name]) for name in _ARRAYS}
    values |= {name: arrays[name].item() for name in _NUMBERS}
    state = RunState(trained=program.load(fresh, arrays), **values)
    again = dump(state, program, identity)
    if different := {k for k in again.keys() | arrays.keys() if not _is_same(again.get(k), arrays.get(k))}:
        raise StorageError(f"a run's state is not the same after it was loaded: `{min(different)}` differs")
    return state


def _is_same(one: Array | None, other: Array | None) -> bool:
    if one is None or other is None:
        return False
    return (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())
