"""Facts about datasets that are known before any file is opened, by kind of data."""

import itertools
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple


class Cuts(NamedTuple):
    """Start and stop of each split in the training examples, in percent."""

    train: tuple[int, int]
    inner_valid: tuple[int, int]
    outer_valid: tuple[int, int]
    test: tuple[int, int] | None = None
    """Bounds of the test split; None if the dataset has test examples of its own."""


_IMAGE_CUTS = Cuts(train=(0, 80), inner_valid=(80, 90), outer_valid=(90, 100))


@dataclass(frozen=True, kw_only=True)
class DatasetInfo(ABC):
    """Facts about one dataset: a row of `DATASETS`. Each kind of data adds some of its own.

    Attributes:
        name: Key in `DATASETS`.
        title: The name that people use.
        num_train: Number of training examples as published, before they are cut into splits.
        num_test: Number of test examples as published.
        cuts: Bounds of the splits in the training examples.
        subfolder: Path of the files in the dataset's folder.
        system_folders: Folders in which operating systems install the same files (with no `subfolder`).
        homepage: Address from which a person can get the dataset.
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
        """Name of the dataset's folder under `data_dir()`."""
        return self.name

    @property
    @abstractmethod
    def shape(self) -> str:
        """Shape of one example in words."""

    @property
    @abstractmethod
    def num_outputs(self) -> int:
        """Number of classes or tokens that there are to predict."""

    @property
    @abstractmethod
    def how_to_get(self) -> str:
        """Instructions to get the dataset, as the second half of a sentence."""

    @abstractmethod
    def first_missing(self, folder: Path) -> str | None:
        """Return the first of the dataset's files that is not in `folder`, or None."""


@dataclass(frozen=True, kw_only=True)
class ImageDataset(DatasetInfo):
    """A dataset of images with a label each.

    Attributes:
        num_classes: Number of classes; labels run from 0 to `num_classes - 1`.
        channels: 1 (grey) or 3 (red, green, blue).
        size: Rows (= columns) of an image in pixels; None if images differ in size.
        files: Paths in `subfolder` that must all exist; a `.gz` of the same name will do.
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
        """Channels, rows and columns of one image."""
        return f"{self.channels}x{self.size}x{self.size}" if self.size else "any size"

    @property
    def num_outputs(self) -> int:
        """Number of classes."""
        return self.num_classes

    @property
    def how_to_get(self) -> str:
        """Command that downloads the dataset, or the page that it is on."""
        if self.torchvision:
            return f"run `optsuite data fetch {self.name}`"
        return (
            f"download its npz batches ({self.files[0]}, ..., {self.files[-1]}) from "
            f"{self.homepage} into its folder (`optsuite data path {self.name}`)"
        )

    def first_missing(self, folder: Path) -> str | None:
        """Return the first of `files` that exists neither plain nor as `.gz`, or None."""
        for name in self.files:
            if not (folder / name).exists() and not (folder / f"{name}.gz").exists():
                return name
        return None


_MODEL_URL = "gs://t5-data/vocabs/cc_all.32000/sentencepiece.model"  # the original's, of T5

_EXTRA_IDS = 100  # T5 adds these to its pieces; no text has them

FIRST_BYTE = 3
"""Token of the byte 0."""

MODEL_VARIABLE = "OPTSUITE_SENTENCEPIECE"
"""Environment variable that holds the path or URL of a SentencePiece model."""

MODEL_FILE = "sentencepiece.model"
"""Name of the SentencePiece model that is used by default, in the folder of the corpus."""


@dataclass(frozen=True, kw_only=True)
class TextDataset(DatasetInfo):
    """A dataset of documents as tokens; token 0 is padding, 1 the end of a text and 2 unknown.

    Attributes:
        corpus: Name of its folder, which datasets that differ in their vocabulary alone share.
        vocab: `bytes`, whose byte b is token b + 3, or the name of a vocabulary of word pieces.
        num_pieces: Number of pieces that its SentencePiece model must have; 0 for bytes.
        train_files: Globs of the files with the documents that splits are cut from. The first glob that finds
            a file is taken, so that two copies of the corpus side by side are not both read.
        test_files: Globs of the files with the test documents; empty if these are cut from `train_files`.
        num_files: Least number of files that must exist, for training and for test.
        has_line_documents: Whether each line of a text file is a document; if not, `read_documents` says what
            is one.
        advice: Instructions to get the files from the homepage; `{}` stands for the folder to put them in.
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
        """Name of the folder of the corpus under `data_dir()`."""
        return self.corpus

    @property
    def num_outputs(self) -> int:
        """Size of the vocabulary: tokens run from 0 to `num_outputs - 1`."""
        return self.num_pieces + _EXTRA_IDS if self.num_pieces else 256 + FIRST_BYTE

    @property
    def shape(self) -> str:
        """The word `text`: the length of an example is chosen by the task."""
        return "text"

    @property
    def how_to_get(self) -> str:
        """Instructions to get the documents and, if the vocabulary needs one, the SentencePiece model."""
        text = self.advice.format(f"its folder (`optsuite data path {self.name}`)")
        if not self.num_pieces:
            return text
        return f"{text}, and {self.how_to_get_model}"

    @property
    def how_to_get_model(self) -> str:
        """Instructions to get the SentencePiece model, as the second half of a sentence."""
        return (
            f"copy {_MODEL_URL} there as {MODEL_FILE}, or set {MODEL_VARIABLE} to the path or URL of "
            "that SentencePiece model"
        )

    def part_files(self, folder: Path, part: str) -> list[Path]:
        """Return the files in `folder` with the documents of `train` or `test`, in order of their names."""
        return sorted(self._found(folder, self.train_files if part == "train" else self.test_files))

    def first_missing(self, folder: Path) -> str | None:
        """Return what is missing, files or a SentencePiece model (unless one is named elsewhere), or None."""
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
