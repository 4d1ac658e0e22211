"""Files of packaged baselines: an index with the digest of each cell, and the cells."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

from optsuite import storage
from optsuite.storage import CorruptFileError, MissingFileError

FORMAT = 1
"""Version of the files; raised when their keys or the meaning of one change."""

FOLDER = str(Path(__file__).with_name("data"))
"""Folder of the package's own."""

_MOST_BYTES = 2**27  # of one cell, decompressed


class Made(NamedTuple):
    """Origin of baselines."""

    commit: str
    """Commit of optsuite that trained them."""
    device: str
    """Machine in words, e.g. `2 cores of an Intel Xeon`."""
    optsuite: str = ""
    """Version of optsuite; of torch, likewise."""
    torch: str = ""
    date: str = ""
    """Day on which the last curve was recorded, e.g. `2026-11-29`."""

    @property
    def words(self) -> str:
        """Origin in words, for pages."""
        versions = f"optsuite {self.optsuite} ({self.commit}), torch {self.torch}"
        return f"packaged with optsuite: trained with {versions} on {self.device}, {self.date}"


class Index(NamedTuple):
    """Content of the index."""

    digests: dict[tuple[str, str], str]
    """SHA-256 of the file of each (task, set)."""
    made: Made | None = None
    """Origin of the latest; None if there are no baselines."""


def path_of(folder: str, task: str, hparam_set: str) -> str:
    """Return where the file of a cell lies."""
    return storage.join_url(folder, task, f"{hparam_set}.npz")


def digest(content: bytes) -> str:
    """Return the SHA-256 of a file's content."""
    return hashlib.sha256(content).hexdigest()


def read_index(folder: str) -> Index:
    """Read the index of a folder; an empty one if there is no file.

    Raises:
        CorruptFileError: It is damaged, or of another version of optsuite.
    """
    url = storage.join_url(folder, "index.json")
    try:
        told = storage.read_json(url)
    except MissingFileError:
        return Index({})
    try:
        if told["format"] != FORMAT:
            raise CorruptFileError(
                f"`{url}` is of another version of optsuite (format {told['format']}, needed {FORMAT}): "
                "install optsuite again"
            )
        cells = {tuple(name.split("/")): str(sha256) for name, sha256 in told["cells"].items()}
        return Index({(task, name): sha256 for (task, name), sha256 in cells.items()}, Made(**told["made"]))
    except (LookupError, TypeError, ValueError, AttributeError) as cause:
        raise _damaged(url) from cause


def available(task: str | None = None) -> list[tuple[str, str]]:
    """Return (task, set) of the packaged baselines, sorted.

    Args:
        task: Name of a task; all if `None`.

    Raises:
        CorruptFileError: The index is damaged.
    """
    cells = sorted(read_index(FOLDER).digests)
    return [cell for cell in cells if task in (None, cell[0])]


def about() -> Made | None:
    """Return how the packaged baselines were made; None if there are none.

    Raises:
        CorruptFileError: The index is damaged.
    """
    return read_index(FOLDER).made


def write_index(folder: str, index: Index) -> None:
    """Write the index of a folder."""
    assert index.made is not None
    cells = {"/".join(cell): sha256 for cell, sha256 in sorted(index.digests.items())}
    storage.write_json(
        storage.join_url(folder, "index.json"),
        {"format": FORMAT, "made": index.made._asdict(), "cells": cells},
    )


def read_cell(folder: str, task: str, hparam_set: str, sha256: str) -> tuple[storage.Npz, dict[str, Any]]:
    """Read the file of a cell: its arrays, and its facts.

    Raises:
        CorruptFileError: It is not the file of the index.
        MissingFileError: It is not there.
    """
    url = path_of(folder, task, hparam_set)
    content = storage.read_bytes(url, missing="there is no such file; install optsuite again")
    if digest(content) != sha256:
        raise _damaged(url)
    arrays = storage.Npz(url, most=_MOST_BYTES)
    return arrays, storage.parse_json(str(arrays["facts"]), url)


def _damaged(url: str) -> CorruptFileError:
    return CorruptFileError(
        f"`{url}` of the packaged baselines is not the file that came with optsuite: install optsuite again, "
        "or train the baseline yourself"
    )
