"""Splits as tensors, of any kind of data: loaded once per process, gathered by index."""

from __future__ import annotations

import os
import threading
from collections.abc import Hashable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol, get_args

import torch
from torch import Tensor

from optsuite.data._corpus import ERRORS_VARIABLE
from optsuite.data._images import load_images
from optsuite.data._kinds import MODEL_VARIABLE
from optsuite.data._location import Source, data_dir
from optsuite.data._specs import DataSpec, ImageSpec, TextSpec
from optsuite.data._stream import IndexStream
from optsuite.data._text import load_text
from optsuite.errors import DataError, UnknownNameError

if TYPE_CHECKING:
    from optsuite._types import Batch

__all__ = ["Examples", "dataloader", "load"]

_LOCK = threading.RLock()  # threads that ask for the same split wait for one load


class Examples(Protocol):
    """One split of a dataset, in the form that a task asked for."""

    def __len__(self) -> int:
        """How many there are."""

    def gather(self, indices: Tensor) -> Batch:
        """The examples at `indices`, on the device that the split was loaded for.

        Nothing waits for the device, unless the split is too large for it.

        Args:
            indices: int64 (..., B), on any device.

        Returns:
            (..., B, *shape) by the `fields` of the spec.
        """


def load(spec: DataSpec, split: str, *, source: Source, device: torch.device | str) -> Examples:
    """One split.

    The latest splits are kept, so that asking again gives the same object.

    Args:
        spec: Which examples.
        split: One of `SPLITS`.
        source: The published data or the stand-in; see `resolve_source`.
        device: Where the batches will be used.

    Raises:
        DataError: `source` is `real` and a file is missing, damaged or of another format.
        UnknownNameError: No such split or source.
    """
    if source not in get_args(Source):
        raise UnknownNameError("data source", source, get_args(Source))
    with _LOCK:
        return _load(spec, split, source, torch.device(device), _settings())


def _settings() -> Hashable:
    """What of the environment decides what is read."""
    return data_dir(), *map(os.environ.get, (MODEL_VARIABLE, ERRORS_VARIABLE))


@lru_cache(maxsize=16)  # the four splits of four specs
def _load(spec: DataSpec, split: str, source: Source, device: torch.device, settings: Hashable) -> Examples:
    if isinstance(spec, ImageSpec):
        return load_images(spec, split, source, device, settings)
    if isinstance(spec, TextSpec):
        return load_text(spec, split, source, device, settings)
    raise DataError(f"`dataset` of a task must be an ImageSpec or a TextSpec, got {type(spec).__name__}.")


def dataloader(
    spec: DataSpec,
    batch_size: int,
    split: str,
    *,
    seed: int = 0,
    source: Source,
    device: torch.device | str,
) -> Iterator[Batch]:
    """Batches without end, in the order of `IndexStream(..., seed=seed, name=split)`.

    Example:
        >>> spec = ImageSpec(dataset="mnist", size=28)
        >>> batches = dataloader(spec, 128, "train", source="synthetic", device="cpu")
        >>> next(batches)["image"].shape
        torch.Size([128, 1, 28, 28])
    """
    examples = load(spec, split, source=source, device=device)
    stream = IndexStream(len(examples), batch_size, seed=seed, name=split)

    def batches() -> Iterator[Batch]:
        number = 0
        while True:
            yield examples.gather(stream.block(number, number + 1)[0])
            number += 1

    return batches()
