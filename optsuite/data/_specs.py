"""What a task asks for: which dataset, and in which form."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import torch

from optsuite.data._datasets import ImageDataset, get_dataset
from optsuite.errors import DataError

__all__ = ["DataSpec", "Fields", "ImageSpec"]

Fields: TypeAlias = Mapping[str, tuple[tuple[int, ...], torch.dtype]]
"""Shape and dtype of one example, by field of a batch."""


class DataSpec(Hashable, Protocol):
    """The examples that a task asks for."""

    @property
    def dataset(self) -> str:
        """Key of `DATASETS`."""

    @property
    def fields(self) -> Fields:
        """What one example is made of."""


@dataclass(frozen=True, kw_only=True)
class ImageSpec:
    """The images that a task asks for.

    Attributes:
        dataset: Key of `DATASETS`.
        size: Rows (= columns) after resizing, in pixels.
        grayscale: Whether to replace the channels by their mean.
    """

    dataset: str
    size: int
    grayscale: bool = False

    def __post_init__(self) -> None:
        if min(self.shape) < 1:
            raise DataError(f"`size` of {self.dataset} must be at least 1 pixel, got {self.size}.")

    @property
    def info(self) -> ImageDataset:
        """The dataset's row."""
        info = get_dataset(self.dataset)
        if not isinstance(info, ImageDataset):
            raise DataError(f"an ImageSpec needs a dataset of images, got {self.dataset} ({info.shape}).")
        return info

    @property
    def fields(self) -> Fields:
        """`image` in [0, 1] and `label`."""
        return {"image": (self.shape, torch.float32), "label": ((), torch.int64)}

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, Y, X) of one image."""
        channels = 1 if self.grayscale else self.info.channels
        return channels, self.size, self.size

    @property
    def num_classes(self) -> int:
        """Labels run from 0 to `num_classes - 1`."""
        return self.info.num_classes
