"""Writes the table of this package's tasks: what `optsuite tasks` lists, and what a step of each takes.

    python benchmarks/make_task_table.py

Run it after a change of the tasks, and commit `optsuite/tasks/table.json`; it counts for half a minute.
"""

from __future__ import annotations

import json
from dataclasses import replace

from optsuite._known_tasks import TABLE, KnownTask
from optsuite.tasks import Task, get_task, list_tasks


def row_of(task: Task) -> KnownTask:
    """Count all that the table says of a task."""
    task = replace(task)  # a copy, which knows nothing yet
    shape, _ = next(iter(task.dataset.fields.values()))
    told = {"dataset": task.dataset.dataset, "example": "x".join(map(str, shape))}
    return KnownTask(**told, **{name: getattr(task, name) for name in KnownTask._fields[len(told) :]})


def main() -> None:
    """Write the table, a row a line."""
    rows = [f'"{name}": {json.dumps(row_of(get_task(name))._asdict())}' for name in list_tasks()]
    TABLE.write_text("{\n" + ",\n".join(rows) + "\n}\n")


if __name__ == "__main__":
    main()
