"""Datasets as published or as stand-ins, the splits cut from them, and batches on the device."""

from optsuite.data._datasets import DATASETS, SPLITS, get_dataset, get_datasets
from optsuite.data._fetch import fetch
from optsuite.data._fingerprint import ABSENT, fingerprint
from optsuite.data._kinds import DatasetInfo, ImageDataset, TextDataset
from optsuite.data._load import Examples, dataloader, load
from optsuite.data._location import Source, data_dir, dataset_dir, find_files, require_files, resolve_source
from optsuite.data._specs import DataSpec, ImageSpec, JointSpec, TextSpec
from optsuite.data._stream import IndexStream
