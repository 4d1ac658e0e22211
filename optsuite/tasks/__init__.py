"""The fixed tasks: one file per family, and the table of their names."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import fields

from optsuite._code import code_of_functions
from optsuite._known_tasks import known_tasks
from optsuite.errors import OptsuiteError, UnknownNameError
from optsuite.tasks._conv import CONV_TASKS
from optsuite.tasks._cost import Cost
from optsuite.tasks._es_wrapped import ES_WRAPPED_TASKS
from optsuite.tasks._image_mlp import IMAGE_MLP_TASKS
from optsuite.tasks._image_mlp_ae import IMAGE_MLP_AE_TASKS
from optsuite.tasks._lopt import LOPT_TASKS
from optsuite.tasks._meta import meta_task
from optsuite.tasks._patches import MLP_MIXER_TASKS, VIT_TASKS
from optsuite.tasks._resnet import RESNET_TASKS
from optsuite.tasks._rnn_lm import RNN_LM_TASKS
from optsuite.tasks._task import Bound, Task
from optsuite.tasks._transformer_lm import TRANSFORMER_LM_TASKS

__all__ = ["Bound", "Task", "get_task", "identity_of", "is_own", "list_tasks", "meta_task", "register_task"]

_TASKS = {
    task.name: task
    for task in (
        *IMAGE_MLP_TASKS,
        *CONV_TASKS,
        *IMAGE_MLP_AE_TASKS,
        *RESNET_TASKS,
        *VIT_TASKS,
        *MLP_MIXER_TASKS,
        *RNN_LM_TASKS,
        *TRANSFORMER_LM_TASKS,
        *ES_WRAPPED_TASKS,
        *LOPT_TASKS,
    )
}

_OF_THIS_PACKAGE = dict(_TASKS)


def _remember_counts() -> None:
    """Give this package's tasks the counts of their table, in the place of cached properties.

    No copy takes them along: what `dataclasses.replace` makes of a task counts anew.
    """
    for name in _TASKS.keys() & known_tasks().keys():
        row = known_tasks()[name]
        cost = Cost(row.flops_per_step, row.activation_bytes, row.peak_bytes, row.num_ops, row.carry_bytes)
        known = {"num_params": row.num_params, "min_flops_per_step": row.min_flops_per_step, "_cost": cost}
        vars(_TASKS[name]).update(known)


_remember_counts()


def list_tasks(pattern: str = "*") -> list[str]:
    """Return the names of the tasks that match a glob pattern (case-sensitive), sorted.

    >>> list_tasks("Conv_Cifar10_8*")
    ['Conv_Cifar10_8_16x32']
    """
    return sorted(fnmatch.filter(_TASKS, pattern))


def get_task(name: str) -> Task:
    """Return the task of that name.

    Raises:
        UnknownNameError: There is none; the message has the nearest names.
    """
    try:
        return _TASKS[name]
    except KeyError:
        raise UnknownNameError("task", name, _TASKS) from None


def is_own(task: Task) -> bool:
    """Tell whether a task is the user's own, which may do what those of this package never do."""
    return _OF_THIS_PACKAGE.get(task.name) is not task


def register_task(task: Task) -> None:
    """Add a task of your own to the table.

    What it is defined by is part of its trials' identity, as `identity_of` says.

    Warns:
        RuntimeWarning: There is no text of its code.

    Raises:
        OptsuiteError: The name is no word, or another task has it, maybe in other upper and lower case, which
            some file systems do not tell apart.
    """
    if not re.fullmatch(r"\w+", task.name):
        raise OptsuiteError(f"a task's name is made of letters, digits and `_` (got `{task.name}`)")
    taken = next((name for name in _TASKS if name.casefold() == task.name.casefold()), task.name)
    if taken not in _TASKS:
        _TASKS[taken] = task
        _CODE[taken] = code_of_functions(_defining(task), taken).digest if task.edits_count else ""
    if _TASKS[taken] is not task:
        raise OptsuiteError(f"a task `{taken}` exists already: choose another name")


_CODE: dict[str, str] = {}
"""Hash of the code of each registered task; empty for one of which edits do not count."""


def _defining(task: Task) -> list[object]:
    return [getattr(task, one.name) for one in fields(task)]


def identity_of(name: str) -> dict[str, object]:
    """Return what defines a registered task, besides its name, as values of JSON.

    For a task of this package that is its version; for one of your own also its dataset and sizes and, unless
    edits do not count, a hash of its code: of the text of the file that registers it, of those that define
    its functions, and of what these import from files that belong to no installed package. A task that is not
    registered, which a function was given as it is, has its name alone.

    Example:
        >>> identity_of("ImageMLP_FashionMnist8_Relu32")
        {'version': 1}
    """
    task = _TASKS.get(name)
    if task is None:
        return {}
    if not is_own(task):
        return {"version": task.version}
    sizes = repr((task.dataset, task.batch_size, task.batch_dims))
    return {"version": task.version, "sizes": sizes, "code": _CODE.get(name, "")}
