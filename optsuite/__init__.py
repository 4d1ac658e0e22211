"""Benchmarks for optimizers: fixed tasks, named hparam sets, recorded training curves.

Everything in `__all__` is stable; all else is internal.
"""

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
    HparamError,
    OptsuiteError,
    OutOfMemoryError,
    StorageError,
    UnknownNameError,
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
from optsuite.optimizers import get_optimizer, list_optimizers
from optsuite.tasks import Task, get_task, list_tasks, register_task
from optsuite.trainer import train, train_many

__all__ = [
    "Config",
    "Curve",
    "DataError",
    "Family",
    "HParamSet",
    "HparamError",
    "OptsuiteError",
    "OutOfMemoryError",
    "Schedule",
    "StorageError",
    "Task",
    "Trial",
    "UnknownNameError",
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
    "optimizers",
    "register_family",
    "register_task",
    "train",
    "train_many",
    "write_archive",
]
