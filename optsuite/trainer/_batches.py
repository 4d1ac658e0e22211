"""The batches of a grid: gathered a few at a time, which spares small tasks most of the cost."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from optsuite import data
from optsuite._types import Batch
from optsuite.noise import fold_in, key_from
from optsuite.trainer._grid import Grid
from optsuite.trainer._program import Program
from optsuite.tree import moved, tree_map

# Size of the batches that are gathered at once: more would leave the near caches before they are used.
_GATHER_BYTES = 2**20


class Batches:
    """The batches of one stream for every seed of a grid.

    Args:
        program: A program, for its task and device.
        grid: A grid, for its seeds.
        split: The split of the data.
        name: The name of the stream, which fixes its order together with the seed.
        source: Real data or the stand-in.
    """

    def __init__(self, program: Program, grid: Grid, split: str, name: str, source: data.Source) -> None:
        task, self._device = program.task, program.device
        self._shape = task.batch_shape
        self._examples = data.load(task.dataset, split, source=source, device=self._device)
        self._streams = [
            data.IndexStream(len(self._examples), math.prod(self._shape), seed=seed, name=name)
            for seed in grid.seeds
        ]
        self._keys_S = torch.tensor([key_from(seed, "noise", name) for seed in grid.seeds])
        example = self._examples.gather(torch.zeros(1, dtype=torch.int64))
        self._example_bytes = sum(field.nbytes for field in example.values())

    def block(self, start: int, stop: int) -> Iterator[tuple[Batch, Tensor]]:
        """Give the batches number `start` to `stop - 1`, (S, B, ...) each, with their noise keys (S,)."""
        for batch, key_S1 in self.chunks(start, stop, 1):
            yield tree_map(lambda field: field[:, 0], batch), key_S1[:, 0]

    def chunks(self, start: int, stop: int, size: int) -> Iterator[tuple[Batch, Tensor]]:
        """Give them `size` at a time, which divides their number: (S, size, B, ...), and keys (S, size)."""
        blocks = [stream.block(start, stop) for stream in self._streams]
        index_CSEB = moved(
            torch.stack([block.view(-1, size, block.shape[1]) for block in blocks], 1), self._device
        )
        keys_CSE = moved(
            fold_in(self._keys_S[:, None], torch.arange(start, stop).view(-1, 1, size)), self._device
        )
        at_once = max(1, _GATHER_BYTES // (index_CSEB[:1].numel() * self._example_bytes))
        index_CSE = index_CSEB.view(*index_CSEB.shape[:3], *self._shape)
        for first in range(0, len(keys_CSE), at_once):
            some = slice(first, first + at_once)
            gathered = self._examples.gather(index_CSE[some])
            for number, keys in enumerate(keys_CSE[some]):
                yield tree_map(lambda field: field[number], gathered), keys  # noqa: B023 - used at once
