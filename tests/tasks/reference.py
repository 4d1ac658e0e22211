"""The reference's tasks as goldens, and the parameters and batches that its losses belong to."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from optsuite.tasks import Task, get_task

_GOLDENS = Path(__file__).parents[1] / "goldens"
_FACTS = json.loads((_GOLDENS / "tasks.json").read_text())

TASKS = {row["name"]: row for row in _FACTS["tasks"]}
LOSSES = json.loads((_GOLDENS / "task_losses.json").read_text())
_SMALL = ("b", "bias", "offset", "pos_embedding", "cls")
PROBES = [float(value) for value in _FACTS["normalizer_probe_inputs"]]


def brief(task_name: str, **changes: Any) -> Task:
    """The task, of two steps of a small batch if it trains another one."""
    task = get_task(task_name)
    if task.batch_dims:
        changes = {"batch_dims": (2, *task.batch_dims[1:]), "batch_size": 4, **changes}
    return replace(task, **changes)


def hashed_parameters(task_name: str) -> dict[str, Tensor]:
    """The parameters that the golden losses belong to, in the reference's names and layout."""
    params = {}
    for k, (name, shape, _) in enumerate(TASKS[task_name]["params"]):
        v = 2 * hashed(math.prod(shape), k) - 1
        leaf = name.rsplit("/", 1)[1]
        if leaf == "scale":
            v = 1 + 0.1 * v
        elif leaf in _SMALL or leaf.startswith("initial_state"):
            v = 0.1 * v
        elif leaf != "embeddings":
            v = v * math.sqrt(3 / math.prod(shape[:-1]))
        params[name] = torch.from_numpy(v.astype(np.float32)).view(shape)
    return params


def hashed_batch(task_name: str, batch_size: int = 4) -> dict[str, Tensor]:
    """The batch that the golden losses belong to, as our tasks take it."""
    facts = TASKS[task_name]
    (name, (_, *shape), _), _ = facts["batch"]
    if name == "obs":
        obs, target = (_hashed_integers(batch_size * shape[0], k, facts["vocab_size"]) for k in (1002, 1003))
        obs[np.arange(len(obs)) % 11 == 3] = 0
        return {
            "obs": torch.from_numpy(obs).view(-1, *shape),
            "target": torch.from_numpy(target).view(-1, *shape),
        }
    image = hashed(batch_size * math.prod(shape), 1000).astype(np.float32)
    return {
        "image": torch.from_numpy(image).view(batch_size, *shape).permute(0, 3, 1, 2).contiguous(),
        "label": torch.from_numpy(_hashed_integers(batch_size, 1001, facts["num_classes"])),
    }


def _hashed_integers(count: int, k: int, stop: int) -> np.ndarray:
    return np.floor(hashed(count, k) * stop).astype(np.int64)


def hashed(count: int, k: int) -> np.ndarray:
    """float64 (count,) in [0, 1): the reference's integer hash."""
    h = np.arange(1, count + 1, dtype=np.uint32) * np.uint32(2654435761)
    h += np.uint32((k + 1) * 2246822519 % 2**32)
    h = (h ^ (h >> np.uint32(15))) * np.uint32(2246822519)
    h = (h ^ (h >> np.uint32(13))) * np.uint32(3266489917)
    return (h ^ (h >> np.uint32(16))) / 2.0**32
