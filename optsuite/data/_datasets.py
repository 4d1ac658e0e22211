"""The table of datasets, and how each is cut into splits."""

from pathlib import Path

from optsuite.data._kinds import Cuts, DatasetInfo, ImageDataset, TextDataset
from optsuite.errors import UnknownNameError

SPLITS = ("train", "inner_valid", "outer_valid", "test")
"""Names of the splits. The first three are cut from the training examples, and so is `test` if a dataset has
no test examples of its own."""


def _mnist(name: str, title: str, homepage: str, system_folders: tuple[Path, ...] = ()) -> ImageDataset:
    torchvision = title.replace("-", "")
    return ImageDataset(
        name=name,
        title=title,
        num_classes=10,
        channels=1,
        size=28,
        num_train=60_000,
        num_test=10_000,
        subfolder=f"{torchvision}/raw",
        files=tuple(
            f"{part}-{what}-ubyte" for part in ("train", "t10k") for what in ("images-idx3", "labels-idx1")
        ),
        system_folders=system_folders,
        torchvision=torchvision,
        homepage=homepage,
    )


def _cifar(num_classes: int, subfolder: str, files: tuple[str, ...]) -> ImageDataset:
    return ImageDataset(
        name=f"cifar{num_classes}",
        title=f"CIFAR-{num_classes}",
        num_classes=num_classes,
        channels=3,
        size=32,
        num_train=50_000,
        num_test=10_000,
        subfolder=subfolder,
        files=files,
        torchvision=f"CIFAR{num_classes}",
        homepage="https://www.cs.toronto.edu/~kriz/cifar.html",
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
        files=(*(f"train_data_batch_{number}.npz" for number in range(1, 11)), "val_data.npz"),
        homepage="https://image-net.org/download-images.php",
    )


_LM1B = "1-billion-word-language-modeling-benchmark-r13output"
_VOCABULARIES = {"bytes": 0, "32k": 32_000}  # the number of pieces by name


def _plain_or_gz(glob: str) -> tuple[str, str]:
    return glob, f"{glob}.gz"


def _lm1b(vocab: str) -> TextDataset:
    homepage = "http://www.statmt.org/lm-benchmark"
    return TextDataset(
        name=f"lm1b_{vocab}",
        title=f"LM1B ({vocab})",
        corpus="lm1b",
        vocab=vocab,
        num_pieces=_VOCABULARIES[vocab],
        num_train=30_301_028,
        num_test=306_688,
        cuts=Cuts(train=(2, 100), inner_valid=(0, 1), outer_valid=(1, 2)),
        train_files=_plain_or_gz(f"{_LM1B}/training-monolingual.tokenized.shuffled/news.en-?????-of-00100"),
        test_files=_plain_or_gz(
            f"{_LM1B}/heldout-monolingual.tokenized.shuffled/news.en.heldout-?????-of-00050"
        ),
        num_files=(99, 50),
        has_line_documents=True,
        advice=f"unpack {_LM1B}.tar.gz of {homepage} in {{}}",
        homepage=homepage,
    )


_WIKIPEDIA = "20231101.en"  # English among the folders of one dump


def _wikipedia(vocab: str) -> TextDataset:
    homepage = "https://huggingface.co/datasets/wikimedia/wikipedia"
    return TextDataset(
        name=f"wikipedia_en_{vocab}",
        title=f"English Wikipedia ({vocab})",
        corpus="wikipedia_en",
        vocab=vocab,
        num_pieces=_VOCABULARIES[vocab],
        num_train=6_210_110,
        num_test=0,
        cuts=Cuts(train=(3, 100), inner_valid=(0, 1), outer_valid=(1, 2), test=(2, 3)),
        train_files=(
            f"{_WIKIPEDIA}/*.parquet",
            "*.parquet",
            "**/wiki_[0-9][0-9]",
            "**/wiki_[0-9][0-9].bz2",
            *_plain_or_gz("**/*.txt"),
        ),
        advice=f"put the folder {_WIKIPEDIA} of {homepage}, or what WikiExtractor writes, into {{}}",
        homepage=homepage,
    )


_ROWS = (
    _mnist("mnist", "MNIST", "http://yann.lecun.com/exdb/mnist"),
    _mnist(
        "fashion_mnist",
        "Fashion-MNIST",
        "https://github.com/zalandoresearch/fashion-mnist",
        (Path("/usr/share/datasets/fashion-mnist"),),  # Debian: dataset-fashion-mnist
    ),
    _cifar(10, "cifar-10-batches-py", (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")),
    _cifar(100, "cifar-100-python", ("train", "test")),
    ImageDataset(
        name="svhn_cropped",
        title="SVHN (cropped)",
        num_classes=10,
        channels=3,
        size=32,
        num_train=73_257,
        num_test=26_032,
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
    _lm1b("bytes"),
    _lm1b("32k"),
    _wikipedia("bytes"),
    _wikipedia("32k"),
)

DATASETS: dict[str, DatasetInfo] = {row.name: row for row in _ROWS}
"""Every dataset, by name."""


def get_dataset(name: str) -> DatasetInfo:
    """Return the row of `DATASETS` called `name`.

    Raises:
        UnknownNameError: There is no such dataset.
    """
    if name not in DATASETS:
        raise UnknownNameError("dataset", name, DATASETS)
    return DATASETS[name]


def cut(info: DatasetInfo, split: str, num_train: int, num_test: int) -> tuple[str, int, int]:
    """Return which examples of a dataset make up a split.

    Bounds are rounded to the nearest example, as in `tfds` (`train[80%:90%]`).

    Args:
        info: The dataset's row in `DATASETS`.
        split: One of `SPLITS`.
        num_train: Number of training examples.
        num_test: Number of test examples.

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


def get_datasets(names: str) -> list[DatasetInfo]:
    """Return the rows of the datasets whose names are joined by `+`, as those of a `JointSpec` are."""
    return [get_dataset(name) for name in names.split("+")]
