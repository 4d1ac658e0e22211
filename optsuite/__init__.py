"""Benchmarks for optimizers: fixed tasks, named hparam sets, recorded training curves.

Everything in `__all__` is stable; all else is internal. Importing this package imports nothing heavy, so that
pytest and the command line start at once: a name is fetched from its module when it is first used.
"""

import importlib
from typing import TYPE_CHECKING

from optsuite._waiting import spin_briefly as _spin_briefly

if TYPE_CHECKING:
    from optsuite import normalizers, optimizers, vis
    from optsuite.archives import delete_archive, list_hparam_sets_for_task, load_archive, write_archive
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
        register_checkpoint,
        register_family,
    )
    from optsuite.optimizers import get_optimizer, list_optimizers, register_optimizer
    from optsuite.suites import Suite, get_suite, list_suites, register_suite
    from optsuite.tables import archive_table, curves_table, summary_table
    from optsuite.tasks import Task, get_task, list_tasks, register_task
    from optsuite.trainer import train, train_many
    from optsuite.verification import verify

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
    "Suite",
    "Task",
    "Trial",
    "UnknownNameError",
    "UnsupportedError",
    "archive_table",
    "curves_table",
    "delete_archive",
    "get_hparam_set",
    "get_optimizer",
    "get_suite",
    "get_task",
    "list_hparam_sets",
    "list_hparam_sets_for_task",
    "list_optimizers",
    "list_suites",
    "list_tasks",
    "load_archive",
    "load_baseline_results",
    "load_baseline_results_from_dir",
    "lr_grid",
    "normalizers",
    "optimizers",
    "register_checkpoint",
    "register_family",
    "register_optimizer",
    "register_suite",
    "register_task",
    "summary_table",
    "train",
    "train_many",
    "verify",
    "vis",
    "write_archive",
]

_NAMES = {
    "archives": "delete_archive list_hparam_sets_for_task load_archive write_archive",
    "curves": "Curve load_baseline_results load_baseline_results_from_dir",
    "errors": "DataError HParamError OptsuiteError OutOfMemoryError StorageError UnknownNameError "
    "UnsupportedError",
    "hparam_sets": "Config Family HParamSet Schedule Trial get_hparam_set list_hparam_sets lr_grid "
    "register_checkpoint register_family",
    "optimizers": "get_optimizer list_optimizers register_optimizer",
    "suites": "Suite get_suite list_suites register_suite",
    "tables": "archive_table curves_table summary_table",
    "tasks": "Task get_task list_tasks register_task",
    "trainer": "train train_many",
    "verification": "verify",
}
"""The public names of each module; the public modules are in no other."""

_MODULES = {name: module for module, names in _NAMES.items() for name in names.split()}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module `optsuite` has no attribute `{name}`")
    _spin_briefly()
    module = importlib.import_module(f"optsuite.{_MODULES.get(name, name)}")
    globals()[name] = value = getattr(module, name) if name in _MODULES else module
    return value


def __dir__() -> list[str]:
    return list(__all__)
