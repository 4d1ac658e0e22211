"""What a task asks for: which dataset, and in which form."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import torch

from optsuite.data._datasets import get_dataset
from optsuite.data._kinds import ImageDataset, TextDataset
from optsuite.errors import DataError

__all__ = ["DataSpec", "Fields", "ImageSpec", "TextSpec"]

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
            raise DataError(f"an ImageSpec needs a dataset of images, got {self.dataset} ({info.title}).")
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


@dataclass(frozen=True, kw_only=True)
class TextSpec:
    """The tokens that a task asks for, from the start of each document.

    Attributes:
        dataset: Key of `DATASETS`.
        length: Tokens observed, and as many to predict: each the one after.
    """

    dataset: str
    length: int

    def __post_init__(self) -> None:
        if min(self.vocab_size, self.length) < 1:
            raise DataError(f"`length` of {self.dataset} must be at least 1 token, got {self.length}.")

    @property
    def info(self) -> TextDataset:
        """The dataset's row."""
        info = get_dataset(self.dataset)
        if not isinstance(info, TextDataset):
            raise DataError(f"a TextSpec needs a dataset of text, got {self.dataset} ({info.title}).")
        return info

    @property
    def fields(self) -> Fields:
        """`obs` and `target`, which is `obs` moved by one; 0 is padding."""
        tokens = (self.length,), torch.int64
        return {"obs": tokens, "target": tokens}

    @property
    def vocab_size(self) -> int:
        """Tokens run from 0 to `vocab_size - 1`: 259 for bytes, 32,100 for pieces."""
        return self.info.num_outputs
