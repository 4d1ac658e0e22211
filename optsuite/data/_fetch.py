"""Download of datasets through torchvision."""

from pathlib import Path

from optsuite.data._datasets import get_dataset
from optsuite.data._kinds import ImageDataset
from optsuite.data._location import dataset_dir, find_files, require_files
from optsuite.errors import DataError


def fetch(dataset: str) -> Path:
    """Download a dataset, unless its files are on this machine already.

    Args:
        dataset: Key of `DATASETS`.

    Returns:
        The folder in which its files lie.

    Raises:
        DataError: The dataset cannot be downloaded: there is no network, or a person has to accept its terms.
        UnknownNameError: There is no such dataset.
    """
    info = get_dataset(dataset)
    if found := find_files(info):
        return found
    if not isinstance(info, ImageDataset) or info.torchvision is None:
        raise DataError(f"{info.title} cannot be fetched by this command: {info.how_to_get}")
    _download(info, info.torchvision)
    return require_files(info)


def _download(info: ImageDataset, class_name: str) -> None:
    folder = dataset_dir(info)
    try:
        from torchvision import datasets

        published = getattr(datasets, class_name)
        for part in ("train", "test"):
            which = {"split": part} if info.splits_by_name else {"train": part == "train"}
            published(folder, **which, download=True)
    except ModuleNotFoundError as cause:  # torchvision reads SVHN through scipy
        raise DataError(
            f"fetching {info.title} needs {cause.name}: run `pip install 'optsuite[svhn]'`"
        ) from cause
    except (OSError, RuntimeError, EOFError) as cause:
        detail = " ".join(str(cause).split())  # torchvision's spans several lines
        raise DataError(
            f"cannot download {info.title} to {folder} ({detail}): check the network and try "
            f"again, or copy the files there by hand from {info.homepage}"
        ) from cause
