"""What is known of a dataset, by kind of data."""

from __future__ import annotations

import itertools
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

__all__ = [
    "FIRST_BYTE",
    "MODEL_FILE",
    "MODEL_VARIABLE",
    "Cuts",
    "DatasetInfo",
    "ImageDataset",
    "TextDataset",
]


class Cuts(NamedTuple):
    """Where each split starts and stops in the training examples, in percent."""

    train: tuple[int, int]
    inner_valid: tuple[int, int]
    outer_valid: tuple[int, int]
    test: tuple[int, int] | None = None
    """None: the dataset has test examples of its own."""


_IMAGE_CUTS = Cuts(train=(0, 80), inner_valid=(80, 90), outer_valid=(90, 100))


@dataclass(frozen=True, kw_only=True)
class DatasetInfo(ABC):
    """What is known of a dataset before any file is opened; each kind of data adds to it.

    Attributes:
        name: Key in `DATASETS`.
        title: The name people use.
        num_train: Training examples as published, before they are cut into splits.
        num_test: Test examples, likewise.
        cuts: How the training examples are cut.
        subfolder: Where in the dataset's folder its files lie.
        system_folders: Where operating systems install the same files (with no `subfolder`).
        homepage: Where a person can get it.
    """

    name: str
    title: str
    num_train: int
    num_test: int
    cuts: Cuts
    subfolder: str = "."
    system_folders: tuple[Path, ...] = ()
    homepage: str

    @property
    def folder(self) -> str:
        """Name of its folder under `data_dir()`."""
        return self.name

    @property
    @abstractmethod
    def shape(self) -> str:
        """What one example is, for people."""

    @property
    @abstractmethod
    def num_outputs(self) -> int:
        """Classes or tokens that there are to predict."""

    @property
    @abstractmethod
    def how_to_get(self) -> str:
        """What to do to have the dataset, as the second half of a sentence."""

    @abstractmethod
    def first_missing(self, folder: Path) -> str | None:
        """The first of its files that is not in `folder`."""


@dataclass(frozen=True, kw_only=True)
class ImageDataset(DatasetInfo):
    """Images with a label each.

    Attributes:
        num_classes: Labels run from 0 to `num_classes - 1`.
        channels: 1 (grey) or 3 (red, green, blue).
        size: Rows (= columns) of an image in pixels; None where images differ in size.
        files: Paths in `subfolder` that must all be there; a `.gz` of the same name will do.
        torchvision: Class of `torchvision.datasets` that downloads it; None if a person has to.
        splits_by_name: Whether that class takes `split="train"` in place of `train=True`.
    """

    num_classes: int
    channels: int
    size: int | None
    cuts: Cuts = _IMAGE_CUTS
    files: tuple[str, ...]
    torchvision: str | None = None
    splits_by_name: bool = False

    @property
    def shape(self) -> str:
        """Channels, rows and columns."""
        return f"{self.channels}x{self.size}x{self.size}" if self.size else "any size"

    @property
    def num_outputs(self) -> int:
        """The classes."""
        return self.num_classes

    @property
    def how_to_get(self) -> str:
        """The command that downloads it, or the page that it is on."""
        if self.torchvision:
            return f"run `optsuite data fetch {self.name}`"
        return (
            f"download its npz batches ({self.files[0]}, ..., {self.files[-1]}) from "
            f"{self.homepage} into its folder (`optsuite data path {self.name}`)"
        )

    def first_missing(self, folder: Path) -> str | None:
        """The first of `files` that is there neither plain nor as `.gz`."""
        for name in self.files:
            if not (folder / name).exists() and not (folder / f"{name}.gz").exists():
                return name
        return None


_MODEL_URL = "gs://t5-data/vocabs/cc_all.32000/sentencepiece.model"  # the original's, of T5

_EXTRA_IDS = 100  # that T5 adds to its pieces, and no text has

FIRST_BYTE = 3
"""Token of the byte 0."""

MODEL_VARIABLE = "OPTSUITE_SENTENCEPIECE"
"""Environment variable: path or URL of a SentencePiece model."""

MODEL_FILE = "sentencepiece.model"
"""Where it lies by default, in the folder of the corpus."""


@dataclass(frozen=True, kw_only=True)
class TextDataset(DatasetInfo):
    """Documents as tokens, of which 0 is padding, 1 the end and 2 unknown.

    Attributes:
        corpus: Its folder; datasets that differ in their vocabulary alone share it.
        vocab: `bytes`, whose byte b is token b + 3, or the name of a vocabulary of word pieces.
        num_pieces: Pieces that its SentencePiece model must have; 0 for bytes.
        train_files: Globs of the files with the documents that splits are cut from; the first that finds any
            is taken, so that one copy of the corpus beside another is not read twice.
        test_files: Likewise of those with the test documents; none if these are cut from the others.
        num_files: Files of either part that must be there at least.
        has_line_documents: Whether each line is a document, or else what `read_documents` says.
        advice: What to do with what is at the homepage; `{}` is where to.
    """

    corpus: str
    vocab: str
    num_pieces: int
    train_files: tuple[str, ...]
    test_files: tuple[str, ...] = ()
    num_files: tuple[int, int] = (1, 0)
    has_line_documents: bool = False
    advice: str

    @property
    def folder(self) -> str:
        """The corpus."""
        return self.corpus

    @property
    def num_outputs(self) -> int:
        """The vocabulary: tokens run from 0 to `num_outputs - 1`."""
        return self.num_pieces + _EXTRA_IDS if self.num_pieces else 256 + FIRST_BYTE

    @property
    def shape(self) -> str:
        """Its kind alone: a task chooses the length."""
        return "text"

    @property
    def how_to_get(self) -> str:
        """What a person has to put where."""
        text = self.advice.format(f"its folder (`optsuite data path {self.name}`)")
        if not self.num_pieces:
            return text
        return f"{text}, and {self.how_to_get_model}"

    @property
    def how_to_get_model(self) -> str:
        """The same for its SentencePiece model."""
        return (
            f"copy {_MODEL_URL} there as {MODEL_FILE}, or set {MODEL_VARIABLE} to the path or URL of "
            "that SentencePiece model"
        )

    def part_files(self, folder: Path, part: str) -> list[Path]:
        """The files in `folder` with the documents of `train` or `test`, in order of their names."""
        return sorted(self._found(folder, self.train_files if part == "train" else self.test_files))

    def first_missing(self, folder: Path) -> str | None:
        """Files of either part, or the SentencePiece model where no other is named."""
        for globs, needed in zip((self.train_files, self.test_files), self.num_files, strict=True):
            found = sum(1 for _ in itertools.islice(self._found(folder, globs), needed))
            if found < needed:
                wanted = " or ".join(globs)
                return wanted if needed == 1 else f"{needed} files {wanted}, found {found}"
        if self.num_pieces and not os.environ.get(MODEL_VARIABLE) and not (folder / MODEL_FILE).exists():
            return MODEL_FILE
        return None

    @staticmethod
    def _found(folder: Path, globs: tuple[str, ...]) -> Iterator[Path]:
        for glob in globs:
            files = (path for path in folder.glob(glob) if path.is_file())
            if first := next(files, None):
                return itertools.chain([first], files)
        return iter(())
