"""Which datasets there are, and how each is cut into splits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from optsuite.errors import UnknownNameError

__all__ = ["DATASETS", "SPLITS", "DatasetInfo", "ImageDataset", "cut", "get_dataset"]

SPLITS = ("train", "inner_valid", "outer_valid", "test")
"""The first three are cut from a dataset's training examples, and so is `test` where there are no others."""


class Cuts(NamedTuple):
    """Where each split starts and stops in the training examples, in percent."""

    train: tuple[int, int]
    inner_valid: tuple[int, int]
    outer_valid: tuple[int, int]
    test: tuple[int, int] | None = None
    """None: the dataset has test examples of its own."""


_IMAGE_CUTS = Cuts(train=(0, 80), inner_valid=(80, 90), outer_valid=(90, 100))


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """What is known of a dataset before any file is opened; each kind of data adds to it.

    Attributes:
        name: Key in `DATASETS`.
        title: The name people use.
        num_classes: Labels (of text: tokens) run from 0 to `num_classes - 1`.
        num_train: Training examples as published, before they are cut into splits.
        num_test: Test examples, likewise.
        cuts: How the training examples are cut.
        subfolder: Where in the dataset's folder its files lie.
        system_folders: Where operating systems install the same files (with no `subfolder`).
        homepage: Where a person can get it.
    """

    name: str
    title: str
    num_classes: int
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
    def shape(self) -> str:
        """What one example is, for people."""
        raise NotImplementedError

    @property
    def how_to_get(self) -> str:
        """What to do to have the dataset, as the second half of a sentence."""
        raise NotImplementedError

    def first_missing(self, folder: Path) -> str | None:
        """The first of its files that is not in `folder`."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class ImageDataset(DatasetInfo):
    """Images with a label each.

    Attributes:
        channels: 1 (grey) or 3 (red, green, blue).
        size: Rows (= columns) of an image in pixels; None where images differ in size.
        files: Paths in `subfolder` that must all be there; a `.gz` of the same name will do.
        torchvision: Class of `torchvision.datasets` that downloads it; None if a person has to.
        splits_by_name: Whether that class takes `split="train"` in place of `train=True`.
    """

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


_IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def _imagenet(size: int) -> ImageDataset:
    return ImageDataset(
        name=f"imagenet{size}",
        title=f"ImageNet {size}x{size}",
        num_classes=1000,
        channels=3,
        size=size,
        num_train=1_281_167,
        num_test=50_000,
        subfolder=".",
        files=(*(f"train_data_batch_{number}.npz" for number in range(1, 11)), "val_data.npz"),
        homepage="https://image-net.org/download-images.php",
    )


_ROWS = (
    ImageDataset(
        name="mnist",
        title="MNIST",
        num_classes=10,
        channels=1,
        size=28,
        num_train=60_000,
        num_test=10_000,
        subfolder="MNIST/raw",
        files=_IDX_FILES,
        torchvision="MNIST",
        homepage="http://yann.lecun.com/exdb/mnist",
    ),
    ImageDataset(
        name="fashion_mnist",
        title="Fashion-MNIST",
        num_classes=10,
        channels=1,
        size=28,
        num_train=60_000,
        num_test=10_000,
        subfolder="FashionMNIST/raw",
        files=_IDX_FILES,
        system_folders=(Path("/usr/share/datasets/fashion-mnist"),),  # Debian: dataset-fashion-mnist
        torchvision="FashionMNIST",
        homepage="https://github.com/zalandoresearch/fashion-mnist",
    ),
    ImageDataset(
        name="cifar10",
        title="CIFAR-10",
        num_classes=10,
        channels=3,
        size=32,
        num_train=50_000,
        num_test=10_000,
        subfolder="cifar-10-batches-py",
        files=(*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"),
        torchvision="CIFAR10",
        homepage="https://www.cs.toronto.edu/~kriz/cifar.html",
    ),
    ImageDataset(
        name="cifar100",
        title="CIFAR-100",
        num_classes=100,
        channels=3,
        size=32,
        num_train=50_000,
        num_test=10_000,
        subfolder="cifar-100-python",
        files=("train", "test"),
        torchvision="CIFAR100",
        homepage="https://www.cs.toronto.edu/~kriz/cifar.html",
    ),
    ImageDataset(
        name="svhn_cropped",
        title="SVHN (cropped)",
        num_classes=10,
        channels=3,
        size=32,
        num_train=73_257,
        num_test=26_032,
        subfolder=".",
        files=("train_32x32.mat", "test_32x32.mat"),
        torchvision="SVHN",
        splits_by_name=True,
        homepage="http://ufldl.stanford.edu/housenumbers",
    ),
    ImageDataset(
        name="food101",
        title="Food-101",
        num_classes=101,
        channels=3,
        size=None,
        num_train=75_750,
        num_test=25_250,
        subfolder="food-101",
        files=("meta/train.json", "meta/test.json", "images"),
        torchvision="Food101",
        splits_by_name=True,
        homepage="https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101",
    ),
    _imagenet(16),
    _imagenet(32),
    _imagenet(64),
)

DATASETS: dict[str, DatasetInfo] = {row.name: row for row in _ROWS}
"""Every dataset by name."""


def get_dataset(name: str) -> DatasetInfo:
    """The row of `DATASETS` called `name`.

    Raises:
        UnknownNameError: There is none.
    """
    if name not in DATASETS:
        raise UnknownNameError("dataset", name, DATASETS)
    return DATASETS[name]


def cut(info: DatasetInfo, split: str, num_train: int, num_test: int) -> tuple[str, int, int]:
    """Which examples of a dataset make up a split.

    Bounds are rounded to the nearest example, as in `tfds` (`train[80%:90%]`).

    Args:
        info: Its row.
        split: One of `SPLITS`.
        num_train: Training examples that there are.
        num_test: Test examples that there are.

    Returns:
        The part that the split is cut from (`train` or `test`), and where it starts and stops in it.
    """
    if split not in SPLITS:
        raise UnknownNameError("split", split, SPLITS)
    percent: tuple[int, int] | None = getattr(info.cuts, split)
    if percent is None:
        return "test", 0, num_test
    start, stop = percent
    return "train", (num_train * start + 50) // 100, (num_train * stop + 50) // 100
