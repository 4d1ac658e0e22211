"""Benchmarks for optimizers: fixed tasks, named hparam sets, recorded training curves.

Everything in `__all__` is stable; all else is internal.
"""

import importlib
import typing

from optsuite import optimizers
from optsuite.archives import (
    delete_archive,
    list_hparam_sets_for_task,
    load_archive,
    write_archive,
)
from optsuite.curves import Curve, load_baseline_results, load_baseline_results_from_dir
from optsuite.errors import (
    DataError,
    HParamError,
    OptsuiteError,
    OutOfMemoryError,
    StorageError,
    UnknownNameError,
    UnsupportedError,
)
from optsuite.hparam_sets import (
    Config,
    Family,
    HParamSet,
    Schedule,
    Trial,
    get_hparam_set,
    list_hparam_sets,
    lr_grid,
    register_family,
)
from optsuite.optimizers import get_optimizer, list_optimizers, register_optimizer
from optsuite.tasks import Task, get_task, list_tasks, register_task
from optsuite.trainer import train, train_many

if typing.TYPE_CHECKING:
    from optsuite import normalizers, vis
    from optsuite.tables import archive_table, curves_table, summary_table

__all__ = [
    "Config",
    "Curve",
    "DataError",
    "Family",
    "HParamError",
    "HParamSet",
    "OptsuiteError",
    "OutOfMemoryError",
    "Schedule",
    "StorageError",
    "Task",
    "Trial",
    "UnknownNameError",
    "UnsupportedError",
    "archive_table",
    "curves_table",
    "delete_archive",
    "get_hparam_set",
    "get_optimizer",
    "get_task",
    "list_hparam_sets",
    "list_hparam_sets_for_task",
    "list_optimizers",
    "list_tasks",
    "load_archive",
    "load_baseline_results",
    "load_baseline_results_from_dir",
    "lr_grid",
    "normalizers",
    "optimizers",
    "register_family",
    "register_optimizer",
    "register_task",
    "summary_table",
    "train",
    "train_many",
    "vis",
    "write_archive",
]

_LAZY = {
    "archive_table": "tables",
    "curves_table": "tables",
    "summary_table": "tables",
    "normalizers": "",
    "vis": "",
}
"""Names that need pandas or seaborn, which take seconds to import, and the module that holds each."""


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module `optsuite` has no attribute `{name}`")
    module = importlib.import_module(f"optsuite.{_LAZY[name] or name}")
    return getattr(module, name) if _LAZY[name] else module


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
