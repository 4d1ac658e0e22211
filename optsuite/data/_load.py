"""Loading of splits of any kind of data: once per process, as tensors from which batches are gathered."""

import math
import os
import threading
from collections.abc import Hashable, Iterator, Sequence
from functools import lru_cache
from typing import Protocol, final, get_args

import torch
from torch import Tensor

from optsuite._types import Batch
from optsuite.data._corpus import ERRORS_VARIABLE
from optsuite.data._images import load_images
from optsuite.data._kinds import MODEL_VARIABLE
from optsuite.data._location import Source, data_dir
from optsuite.data._specs import DataSpec, ImageSpec, JointSpec, TextSpec
from optsuite.data._stream import IndexStream
from optsuite.data._text import load_text
from optsuite.errors import DataError, UnknownNameError

_LOCK = threading.RLock()  # threads that ask for the same split wait while one of them loads it


class Examples(Protocol):
    """One split of a dataset, in the form that a task asked for."""

    def __len__(self) -> int:
        """Return the number of examples."""

    def gather(self, indices: Tensor) -> Batch:
        """Return the examples at `indices`, on the device that the split was loaded for.

        The host does not wait for the device, unless the split is too large to lie there.

        Args:
            indices: Numbers of examples, int64 (..., B), on any device.

        Returns:
            A tensor (..., B, *shape) for each of the `fields` of the spec.
        """


def load(spec: DataSpec, split: str, *, source: Source, device: torch.device | str) -> Examples:
    """Load one split; the latest 16 are kept, so that asking again returns the same object.

    Args:
        spec: The dataset and the form in which its examples are needed.
        split: One of `SPLITS`.
        source: Whether to use the published data or the stand-in; see `resolve_source`.
        device: The device on which the batches will be used.

    Raises:
        DataError: `source` is `real` and a file is missing, damaged or of another format.
        UnknownNameError: There is no such split or source.
    """
    if source not in get_args(Source):
        raise UnknownNameError("data source", source, get_args(Source))
    with _LOCK:
        return _load(spec, split, source, torch.device(device), _settings())


def _settings() -> Hashable:
    """Return the values of the environment variables that decide what is read."""
    return data_dir(), *map(os.environ.get, (MODEL_VARIABLE, ERRORS_VARIABLE))


@lru_cache(maxsize=16)  # the four splits of four specs
def _load(spec: DataSpec, split: str, source: Source, device: torch.device, settings: Hashable) -> Examples:
    if isinstance(spec, ImageSpec):
        return load_images(spec, split, source, device, settings)
    if isinstance(spec, TextSpec):
        return load_text(spec, split, source, device, settings)
    if isinstance(spec, JointSpec):
        return _Joint([_load(part, split, source, device, settings) for part in spec.parts])
    raise DataError(
        f"`dataset` of a task must be an ImageSpec, TextSpec or JointSpec, got {type(spec).__name__}."
    )


@final
class _Joint:
    """The examples of a `JointSpec`."""

    def __init__(self, parts: Sequence[Examples]) -> None:
        self._parts = parts

    def __len__(self) -> int:
        return max(map(len, self._parts))

    def gather(self, indices: Tensor) -> Batch:
        return {
            f"{number}/{name}": field
            for number, part in enumerate(self._parts)
            for name, field in part.gather(indices % len(part)).items()
        }


def dataloader(
    spec: DataSpec,
    batch_shape: int | tuple[int, ...],
    split: str,
    *,
    seed: int = 0,
    source: Source,
    device: torch.device | str,
) -> Iterator[Batch]:
    """Return an endless iterator of batches, in the order of `IndexStream(..., seed=seed, name=split)`.

    Args:
        spec: The dataset and the form in which its examples are needed.
        batch_shape: Number of examples in a batch, or their axes: (2, 128) gives two batches of 128 in a row.
        split: One of `SPLITS`.
        seed: Decides the order of the examples.
        source: Whether to use the published data or the stand-in; see `resolve_source`.
        device: The device on which the batches will be used.

    Example:
        >>> spec = ImageSpec(dataset="mnist", size=28)
        >>> batches = dataloader(spec, 128, "train", source="synthetic", device="cpu")
        >>> next(batches)["image"].shape
        torch.Size([128, 1, 28, 28])
    """
    examples = load(spec, split, source=source, device=device)
    shape = (batch_shape,) if isinstance(batch_shape, int) else batch_shape
    stream = IndexStream(len(examples), math.prod(shape), seed=seed, name=split)

    def batches() -> Iterator[Batch]:
        number = 0
        while True:
            yield examples.gather(stream.block(number, number + 1).view(shape))
            number += 1

    return batches()
