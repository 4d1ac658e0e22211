"""Datasets as published or as stand-ins, the splits cut from them, and batches on the device.

What reads examples is imported when it is first asked for: where datasets lie is known without torch.
"""

from typing import TYPE_CHECKING

from optsuite._lazy import importing
from optsuite.data._datasets import DATASETS, SPLITS, get_dataset, get_datasets
from optsuite.data._fetch import fetch
from optsuite.data._kinds import DatasetInfo, ImageDataset, TextDataset
from optsuite.data._location import Source, data_dir, dataset_dir, find_files, require_files, resolve_source

if TYPE_CHECKING:
    from optsuite.data._fingerprint import ABSENT, fingerprint
    from optsuite.data._load import Examples, dataloader, load
    from optsuite.data._specs import DataSpec, ImageSpec, JointSpec, TextSpec
    from optsuite.data._stream import IndexStream

__getattr__ = importing(
    __name__,
    {
        "_fingerprint": "ABSENT fingerprint",
        "_load": "Examples dataloader load",
        "_specs": "DataSpec ImageSpec JointSpec TextSpec",
        "_stream": "IndexStream",
    },
)
