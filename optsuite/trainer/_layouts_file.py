"""The file of layouts that were measured: for later runs of such trials on such a device."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock

from optsuite import storage
from optsuite._places import cache_dir
from optsuite.errors import StorageError, in_words

# Time for which others may hold the file.
_LOCK_SECONDS = 10.0


class Layout(NamedTuple):
    """The way in which trials of one task and program spec are laid out."""

    width: int
    """Largest number of trials side by side."""
    is_compiled: bool


# More trials side by side than any device has memory for.
_MOST_WIDTH = 2**20


def layouts_file() -> Path:
    """Return the JSON file of layouts that were measured; it may be deleted at any time."""
    return cache_dir() / "layouts.json"


def read_layouts() -> Mapping[str, Layout]:
    """Read all layouts that are kept, by name; if the file cannot be read, warn and return none."""
    try:
        named = storage.read_json(str(layouts_file()))
        return {name: _layout(fields) for name, fields in named.items()}
    except storage.MissingFileError:
        return {}
    except (StorageError, OSError, RuntimeError, ValueError, TypeError, LookupError, AttributeError) as error:
        warnings.warn(
            f"layouts that were measured before cannot be read ({in_words(error)}) and are measured again",
            RuntimeWarning,
            stacklevel=2,
        )
        return {}


def _layout(fields: Mapping[str, object]) -> Layout:
    match fields["width"], fields["is_compiled"]:
        case int(width), bool(is_compiled) if 1 <= width <= _MOST_WIDTH:
            return Layout(width, is_compiled)
    raise ValueError(f"no layout: {str(fields)[:200]}")


def keep_layout(name: str, layout: Layout) -> None:
    """Add a layout to the file; processes that do so at the same time wait for each other."""
    try:
        file = layouts_file()
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(file.with_suffix(".lock"), timeout=_LOCK_SECONDS):
            kept = {**read_layouts(), name: layout}
            storage.write_json(str(file), {name: one._asdict() for name, one in sorted(kept.items())})
    except (OSError, RuntimeError, StorageError) as error:  # it only costs the next run its time
        warnings.warn(f"a measured layout cannot be kept: {in_words(error)}", RuntimeWarning, stacklevel=2)
