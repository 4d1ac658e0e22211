"""The identity of a run: all that must be equal where its state is loaded again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch

from optsuite import data, storage
from optsuite.curves import package_version
from optsuite.errors import StorageError
from optsuite.tasks import Task
from optsuite.trainer._grid import Grid, ProgramSpec


def identity(
    task: Task, spec: ProgramSpec, grid: Grid, device: torch.device, source: data.Source
) -> dict[str, str]:
    """Return what decides the state of a grid at a step, in words.

    The content is that of the trials' ids: what their names do not tell, such as the text of an own class.
    """
    ids = " ".join(trial.id(source) for trial in grid.trials(task.name, spec))
    return {
        "task": task.name,
        "data": source,
        "program": str(spec),
        "trials": str(grid),
        "content": hashlib.sha256(ids.encode()).hexdigest()[:10],
        "device": device.type,
        "versions": ", ".join(f"{name} {package_version(name)}" for name in ("optsuite", "torch", "numpy")),
    }


def check_identity(needed: Mapping[str, str], text: str) -> None:
    """Check that a state is of the run that is to go on from it.

    Args:
        needed: The identity of that run.
        text: The identity of the state, as JSON of whatever content.

    Raises:
        StorageError: It is of another run; says in what they differ.
    """
    got = storage.parse_json(text, "identity of a run's state")
    if not isinstance(got, dict):
        raise StorageError(f"`identity` of a run's state must be a dict, got a {type(got).__name__}")
    for name in {**needed, **got}:
        if needed.get(name) != got.get(name):
            raise StorageError(
                f"the state is of another run: needed one of {name} {needed.get(name)}, got one of "
                f"{name} {got.get(name)}"
            )
