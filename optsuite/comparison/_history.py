"""History of a store: a table with a row for each cell and night, as CSV."""

from __future__ import annotations

import datetime as dt
import io
import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from optsuite import archives, statistics, storage
from optsuite.archives import Absent, Archive
from optsuite.errors import StorageError
from optsuite.storage import CorruptFileError, MissingFileError

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    *("night", "commit", "optsuite_version", "torch_version", "device", "data_source", "task", "set"),
    *("best_config", "best_loss", "diverged", "trials", "seconds_per_step"),
)
"""Columns of a history; `best_loss` is the final training loss of the best config, mean over seeds."""

_NUMBERS = ("best_loss", "diverged", "trials", "seconds_per_step")


def record_night(roots: Sequence[str], url: str, *, commit: str | None = None) -> pd.DataFrame:
    """Add a row for each archived cell to a history, and return all of it.

    Args:
        roots: Roots of archives; one without any is left out.
        url: CSV file; made if it is not there.
        commit: Name of what was run; the environment's `GITHUB_SHA` if `None`.

    Raises:
        MissingFileError: There are no archives in any root.
        CorruptFileError: The file is no history.
        StorageError: An archive cannot be read, or the file not be written.
    """
    import pandas as pd  # takes a while, and those who compare do not need it

    history = read_history(url) if storage.exists(url) else pd.DataFrame(columns=list(COLUMNS))
    commit = os.environ.get("GITHUB_SHA", "") if commit is None else commit
    night = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    rows = []
    for root in dict.fromkeys(roots):
        cells = [cell for cell in archives.find_cells("*", "*", root) if not any(map(storage.is_glob, cell))]
        for one in archives.read_each(cells, _row, root):
            if isinstance(one, Absent):
                raise one.error
            rows.append({"night": night, "commit": commit} | one)
    if not rows:
        raise MissingFileError(f"no archives in {', '.join(f'`{root}`' for root in roots)}")
    told = pd.DataFrame(rows, columns=list(COLUMNS))
    whole = pd.concat([history, told], ignore_index=True) if len(history) else told
    storage.write_bytes(url, whole.to_csv(index=False).encode())
    return whole


def read_history(url: str) -> pd.DataFrame:
    """Return a history.

    Raises:
        MissingFileError: There is no such file.
        CorruptFileError: It lacks a column of a history, or is no CSV.
    """
    import pandas as pd

    try:
        history = pd.read_csv(io.BytesIO(storage.read_bytes(url)), dtype=str, keep_default_na=False)
        for column in _NUMBERS:
            history[column] = pd.to_numeric(history[column])
    except StorageError:
        raise
    except (ValueError, LookupError) as cause:
        raise CorruptFileError(f"`{url}` is not a history: {cause}") from cause
    if missing := [column for column in COLUMNS if column not in history]:
        raise CorruptFileError(f"`{url}` is not a history: it lacks {', '.join(missing)}")
    return history


def _row(archive: Archive) -> dict[str, object]:
    results = statistics.summarize(archive)
    versions = (archive.values(f"{package}_version", "U") for package in ("optsuite", "torch"))
    optsuite, torch = ("" if one is None else str(one[0, 0]) for one in versions)
    losses = results.final[statistics.TRAIN_LOSS]
    return {
        "optsuite_version": optsuite,
        "torch_version": torch,
        "device": statistics.evaluations(archive).device,
        "data_source": archive.data_source or "real",
        "task": archive.task,
        "set": archive.hparam_set,
        "best_config": results.best_label or "",
        "best_loss": math.nan if results.best is None else float(np.mean(losses[results.best])),
        "diverged": int(results.diverged.sum()),
        "trials": results.diverged.size,
        "seconds_per_step": results.seconds_per_step,
    }
