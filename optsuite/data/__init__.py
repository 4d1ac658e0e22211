"""Datasets: the published images or their stand-ins, their splits, and batches on the device."""

from optsuite.data._datasets import DATASETS, SPLITS, DatasetInfo, ImageSpec, get_dataset
from optsuite.data._fetch import fetch
from optsuite.data._images import Images, dataloader, gather, load_images, num_examples
from optsuite.data._location import (
    MODES,
    Source,
    data_dir,
    dataset_dir,
    find_files,
    require_files,
    resolve_source,
)
from optsuite.data._stream import IndexStream

__all__ = [
    "DATASETS",
    "MODES",
    "SPLITS",
    "DatasetInfo",
    "ImageSpec",
    "Images",
    "IndexStream",
    "Source",
    "data_dir",
    "dataloader",
    "dataset_dir",
    "fetch",
    "find_files",
    "gather",
    "get_dataset",
    "load_images",
    "num_examples",
    "require_files",
    "resolve_source",
]
