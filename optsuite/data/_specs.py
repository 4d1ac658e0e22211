"""The form in which a task asks for the examples of a dataset."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import torch

from optsuite._types import Batch
from optsuite.data._datasets import get_dataset
from optsuite.data._kinds import ImageDataset, TextDataset
from optsuite.errors import DataError

Fields: TypeAlias = Mapping[str, tuple[tuple[int, ...], torch.dtype]]
"""Shape and dtype of one example, by field of a batch."""


class DataSpec(Hashable, Protocol):
    """A dataset and the form in which a task asks for its examples."""

    @property
    def dataset(self) -> str:
        """Key of `DATASETS`, or several joined by `+`."""

    @property
    def fields(self) -> Fields:
        """Shape and dtype of each field of one example."""


@dataclass(frozen=True, kw_only=True)
class ImageSpec:
    """A dataset of images, and their size and channels.

    Attributes:
        dataset: Key of `DATASETS`.
        size: Rows (= columns) of an image after resizing, in pixels.
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
        """The dataset's row in `DATASETS`."""
        info = get_dataset(self.dataset)
        if not isinstance(info, ImageDataset):
            raise DataError(f"an ImageSpec needs a dataset of images, got {self.dataset} ({info.title}).")
        return info

    @property
    def fields(self) -> Fields:
        """Shape and dtype of `image`, whose values are in [0, 1], and of `label`."""
        return {"image": (self.shape, torch.float32), "label": ((), torch.int64)}

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of one image, (C, Y, X)."""
        channels = 1 if self.grayscale else self.info.channels
        return channels, self.size, self.size

    @property
    def num_classes(self) -> int:
        """Number of classes; labels run from 0 to `num_classes - 1`."""
        return self.info.num_classes


@dataclass(frozen=True, kw_only=True)
class TextSpec:
    """A dataset of text, and how many tokens are taken from the start of each document.

    Attributes:
        dataset: Key of `DATASETS`.
        length: Number of tokens that are observed, and of those to predict: each is the one after.
    """

    dataset: str
    length: int

    def __post_init__(self) -> None:
        if min(self.vocab_size, self.length) < 1:
            raise DataError(f"`length` of {self.dataset} must be at least 1 token, got {self.length}.")

    @property
    def info(self) -> TextDataset:
        """The dataset's row in `DATASETS`."""
        info = get_dataset(self.dataset)
        if not isinstance(info, TextDataset):
            raise DataError(f"a TextSpec needs a dataset of text, got {self.dataset} ({info.title}).")
        return info

    @property
    def fields(self) -> Fields:
        """Shape and dtype of `obs` and of `target`, which is `obs` moved by one; 0 is padding."""
        tokens = (self.length,), torch.int64
        return {"obs": tokens, "target": tokens}

    @property
    def vocab_size(self) -> int:
        """Size of the vocabulary, 259 for bytes and 32,100 for pieces; tokens run from 0."""
        return self.info.num_outputs


@dataclass(frozen=True, kw_only=True)
class JointSpec:
    """Several datasets side by side: an example has one of each, the shorter ones from their beginning again.

    Attributes:
        parts: The datasets and their forms.
    """

    parts: tuple[DataSpec, ...]

    def __post_init__(self) -> None:
        if not self.parts:
            raise DataError("a JointSpec needs at least one dataset, got none.")

    @property
    def dataset(self) -> str:
        """Keys of `DATASETS`, joined by `+`."""
        return "+".join(part.dataset for part in self.parts)

    @property
    def fields(self) -> Fields:
        """Fields of every part, after its number: `0/image`, `1/obs`."""
        return {
            f"{number}/{name}": field
            for number, part in enumerate(self.parts)
            for name, field in part.fields.items()
        }

    def batch_of(self, number: int, batch: Batch) -> Batch:
        """Return the fields of one part, under their own names."""
        return {name: batch[f"{number}/{name}"] for name in self.parts[number].fields}
