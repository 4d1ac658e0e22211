"""The reference's tasks as goldens, and the way from its parameters to ours and back."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from optsuite.tasks import get_task

_GOLDENS = Path(__file__).parents[1] / "goldens"
_FACTS = json.loads((_GOLDENS / "tasks.json").read_text())

TASKS = {row["name"]: row for row in _FACTS["tasks"]}
LOSSES = json.loads((_GOLDENS / "task_losses.json").read_text())
PROBES = [float(value) for value in _FACTS["normalizer_probe_inputs"]]

_LEAVES = {"w": "weight", "scale": "weight", "b": "bias", "offset": "bias"}


class Counterpart(NamedTuple):
    """A parameter of the reference, seen from our side."""

    ours: str
    to_ours: Callable[[Tensor], Tensor]
    to_reference: Callable[[Tensor], Tensor]


def counterpart(task_name: str, name: str) -> Counterpart:
    """The same parameter in our module.

    The reference stores Linear as [in, out], Conv as [kh, kw, in, out] and BatchNorm as [1, .., C], and
    flattens images with the channels last, so that rows of the first Linear (and columns of an
    auto-encoder's last one) come in another order.
    """
    layer, leaf = name.rsplit("/", 1)
    kind = next(k for k in ("conv2_d", "linear", "batch_norm", "layer_norm") if k in layer)
    number = re.search(r"_(\d+)$", layer)
    index = int(number[1]) if number else 0
    if "norm" in kind:
        return _reshaped(task_name, name, f"norms.{index}.{_LEAVES[leaf]}")
    if kind == "conv2_d":
        ours = f"convs.{index}.{_LEAVES[leaf]}"
        return _permuted(ours, (3, 2, 0, 1), (2, 3, 1, 0)) if leaf == "w" else _same(ours)
    if TASKS[task_name]["family"] == "conv":
        ours = f"head.{_LEAVES[leaf]}"
        return _permuted(ours, (1, 0), (1, 0)) if leaf == "w" else _same(ours)
    return _linear(task_name, f"linears.{index}.{_LEAVES[leaf]}")


def load_parameters(task_name: str, params: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our parameters by name, from the reference's."""
    ours = {}
    for name, value in params.items():
        match = counterpart(task_name, name)
        ours[match.ours] = match.to_ours(value).contiguous()
    return ours


def hashed_parameters(task_name: str) -> dict[str, Tensor]:
    """The parameters that the golden losses belong to, in the reference's names and layout."""
    params = {}
    for k, (name, shape, _) in enumerate(TASKS[task_name]["params"]):
        v = 2 * hashed(math.prod(shape), k) - 1
        leaf = name.rsplit("/", 1)[1]
        if leaf == "scale":
            v = 1 + 0.1 * v
        elif leaf in ("b", "offset"):
            v = 0.1 * v
        else:
            v = v * math.sqrt(3 / math.prod(shape[:-1]))
        params[name] = torch.from_numpy(v.astype(np.float32)).view(shape)
    return params


def hashed_batch(task_name: str, batch_size: int = 4) -> dict[str, Tensor]:
    """The batch that the golden losses belong to, as our tasks take it."""
    (_, (_, *shape), _), _ = TASKS[task_name]["batch"]
    image = hashed(batch_size * math.prod(shape), 1000).astype(np.float32)
    label = np.floor(hashed(batch_size, 1001) * TASKS[task_name]["num_classes"]).astype(np.int64)
    return {
        "image": torch.from_numpy(image).view(batch_size, *shape).permute(0, 3, 1, 2).contiguous(),
        "label": torch.from_numpy(label),
    }


def hashed(count: int, k: int) -> np.ndarray:
    """float64 (count,) in [0, 1): the reference's integer hash."""
    h = np.arange(1, count + 1, dtype=np.uint32) * np.uint32(2654435761)
    h += np.uint32((k + 1) * 2246822519 % 2**32)
    h = (h ^ (h >> np.uint32(15))) * np.uint32(2246822519)
    h = (h ^ (h >> np.uint32(13))) * np.uint32(3266489917)
    return (h ^ (h >> np.uint32(16))) / 2.0**32


def _same(ours: str) -> Counterpart:
    return Counterpart(ours, lambda value: value, lambda value: value)


def _permuted(ours: str, to_ours: tuple[int, ...], to_reference: tuple[int, ...]) -> Counterpart:
    return Counterpart(ours, lambda v: v.permute(to_ours), lambda v: v.permute(to_reference))


def _reshaped(task_name: str, name: str, ours: str) -> Counterpart:
    shape = next(shape for row, shape, _ in TASKS[task_name]["params"] if row == name)
    return Counterpart(ours, torch.Tensor.flatten, lambda value: value.view(shape))


def _linear(task_name: str, ours: str) -> Counterpart:
    """The features of the first inputs and of an auto-encoder's last outputs are pixels."""
    task = get_task(task_name)
    last = len(task.meta_module().linears) - 1
    _, index, leaf = ours.split(".")
    pixels_first = torch.arange(math.prod(task.dataset.shape)).view(task.dataset.shape)
    order = pixels_first.permute(1, 2, 0).flatten()  # our number of each pixel of the reference
    rank = order.argsort()
    puts_out_pixels = task.family == "image_mlp_ae" and int(index) == last

    def to_reference(value: Tensor) -> Tensor:
        if int(index) == 0 and leaf == "weight":
            value = value[:, order]
        if puts_out_pixels:
            value = value[order]
        return value.mT if leaf == "weight" else value

    def to_ours(value: Tensor) -> Tensor:
        value = value.mT if leaf == "weight" else value
        if int(index) == 0 and leaf == "weight":
            value = value[:, rank]
        if puts_out_pixels:
            value = value[rank]
        return value

    return Counterpart(ours, to_ours, to_reference)
