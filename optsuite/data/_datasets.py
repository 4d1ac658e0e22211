"""Which image datasets there are, and how each is cut into splits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from optsuite.errors import DataError, UnknownNameError

__all__ = ["DATASETS", "SPLITS", "DatasetInfo", "ImageSpec", "get_dataset", "split_range"]

SPLITS = ("train", "inner_valid", "outer_valid", "test")
"""The first three are cut from a dataset's training examples (80, 10 and 10 %)."""


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """What is known of a dataset before any file is opened.

    Attributes:
        name: Key in `DATASETS`, and the folder's name under `data_dir()`.
        title: The name people use.
        num_classes: Labels run from 0 to `num_classes - 1`.
        channels: 1 (grey) or 3 (red, green, blue).
        size: Rows (= columns) of an image in pixels; None where images differ in size.
        num_train: Training examples, before they are cut into splits.
        num_test: Test examples.
        subfolder: Where in the dataset's folder its files lie.
        files: Paths in `subfolder` that must all be there; a `.gz` of the same name will do.
        system_folders: Where operating systems install the same files (with no `subfolder`).
        torchvision: Class of `torchvision.datasets` that downloads it; None if a person has to.
        splits_by_name: Whether that class takes `split="train"` in place of `train=True`.
        homepage: Where a person can get it.
    """

    name: str
    title: str
    num_classes: int
    channels: int
    size: int | None
    num_train: int
    num_test: int
    subfolder: str
    files: tuple[str, ...]
    system_folders: tuple[Path, ...] = ()
    torchvision: str | None = None
    splits_by_name: bool = False
    homepage: str

    @property
    def how_to_get(self) -> str:
        """What to do to have the dataset, as the second half of a sentence."""
        if self.torchvision:
            return f"run `optsuite data fetch {self.name}`"
        return (
            f"download its npz batches ({self.files[0]}, ..., {self.files[-1]}) from "
            f"{self.homepage} into its folder (`optsuite data path {self.name}`)"
        )


_IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def _imagenet(size: int) -> DatasetInfo:
    return DatasetInfo(
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
    DatasetInfo(
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
    DatasetInfo(
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
    DatasetInfo(
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
    DatasetInfo(
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
    DatasetInfo(
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
    DatasetInfo(
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
"""Every image dataset by name."""


def get_dataset(name: str) -> DatasetInfo:
    """The row of `DATASETS` called `name`.

    Raises:
        UnknownNameError: There is none.
    """
    if name not in DATASETS:
        raise UnknownNameError("dataset", name, DATASETS)
    return DATASETS[name]


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
        get_dataset(self.dataset)
        if self.size < 1:
            raise DataError(f"`size` of {self.dataset} must be at least 1 pixel, got {self.size}.")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, Y, X) of one image."""
        channels = 1 if self.grayscale else get_dataset(self.dataset).channels
        return channels, self.size, self.size

    @property
    def num_classes(self) -> int:
        """Labels run from 0 to `num_classes - 1`."""
        return get_dataset(self.dataset).num_classes


def split_range(split: str, num_train: int, num_test: int) -> tuple[int, int]:
    """Where a split starts and stops in the examples it is cut from.

    Bounds are rounded to the nearest example, as in `tfds` (`train[80%:90%]`).

    Args:
        split: One of `SPLITS`.
        num_train: Training examples of the dataset.
        num_test: Test examples of the dataset.

    Returns:
        Start and stop, counted in the test examples for `test` and in the training examples for
        all others.
    """
    if split not in SPLITS:
        raise UnknownNameError("split", split, SPLITS)
    if split == "test":
        return 0, num_test
    start, stop = {"train": (0, 80), "inner_valid": (80, 90), "outer_valid": (90, 100)}[split]
    return (num_train * start + 50) // 100, (num_train * stop + 50) // 100
