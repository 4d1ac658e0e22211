"""The table of this package's tasks: what is listed and counted of each, known without making any of them.

`benchmarks/make_task_table.py` writes it, and a test counts again.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import NamedTuple

TABLE = Path(__file__).with_name("tasks") / "table.json"
"""Object of JSON that holds the fields of `KnownTask` by the name of the task, one a line."""


class KnownTask(NamedTuple):
    """A row of the table; `Task` says more of what is counted."""

    dataset: str
    example: str
    """Shape of an example, e.g. `3x8x8`."""
    batch_size: int
    num_params: int
    min_flops_per_step: int
    flops_per_step: int
    activation_bytes: int
    peak_bytes: int
    num_ops: int
    carry_bytes: int


@functools.cache
def known_tasks() -> dict[str, KnownTask]:
    """Return the rows of the table by the names of their tasks, sorted."""
    return {name: KnownTask(**row) for name, row in json.loads(TABLE.read_bytes()).items()}
