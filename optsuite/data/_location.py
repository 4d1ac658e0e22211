"""Folders of datasets on this machine, and the choice between published data and stand-ins."""

import os
from pathlib import Path
from typing import Literal, TypeAlias

from optsuite._places import cache_dir
from optsuite.choices import MODES
from optsuite.data._datasets import get_datasets
from optsuite.data._kinds import DatasetInfo
from optsuite.errors import DataError, UnknownNameError, parameter

Source: TypeAlias = Literal["real", "synthetic"]
"""The data source: published data, or the stand-in that is generated in their place."""


def data_dir() -> Path:
    """Return the folder that holds one folder per dataset.

    It is `OPTSUITE_DATA_DIR` if that is set, otherwise `optsuite/data` in the user's cache folder.
    """
    if chosen := os.environ.get("OPTSUITE_DATA_DIR"):
        return Path(chosen).expanduser()
    return cache_dir() / "data"


def dataset_dir(info: DatasetInfo) -> Path:
    """Return the folder that a dataset is downloaded to, whether it exists or not."""
    return data_dir() / info.folder


def find_files(info: DatasetInfo) -> Path | None:
    """Return the folder in which all of the dataset's files lie, or None."""
    candidates = (dataset_dir(info) / info.subfolder, *info.system_folders)
    return next((folder for folder in candidates if info.first_missing(folder) is None), None)


def require_files(info: DatasetInfo) -> Path:
    """Return the folder in which all of the dataset's files lie.

    Raises:
        DataError: A file is missing.
    """
    if found := find_files(info):
        return found
    folder = dataset_dir(info)
    looked_for = Path(info.subfolder)  # the outermost thing that is missing
    if info.subfolder == "." or (folder / looked_for).is_dir():
        looked_for /= info.first_missing(folder / looked_for) or ""
    raise DataError(
        f"{info.title} not found in {folder} (looked for {looked_for}): {info.how_to_get} "
        f"or pass {parameter('data', 'synthetic')}"
    )


def resolve_source(dataset: str, mode: str | None = None) -> Source:
    """Return the data source: the published data or the stand-in.

    Args:
        dataset: Key of `DATASETS`, or several joined by `+`, whose data are of one source.
        mode: One of `choices.MODES`; None takes that of the environment variable `OPTSUITE_DATA`, or else
            `auto`.

    Raises:
        DataError: `mode` is `real`, and a file of the dataset or of its vocabulary is missing.
        UnknownNameError: There is no such dataset or mode.
    """
    infos = get_datasets(dataset)
    mode = mode or os.environ.get("OPTSUITE_DATA") or "auto"
    if mode not in MODES:
        raise UnknownNameError("data source", mode, MODES)
    if mode == "real":
        for info in infos:
            require_files(info)
    return "real" if mode != "synthetic" and all(map(find_files, infos)) else "synthetic"
