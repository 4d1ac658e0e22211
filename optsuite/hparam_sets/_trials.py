"""Configs, schedules and trials, and what makes two trials the same."""

import functools
import hashlib
import json
import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

import numpy as np

from optsuite import data, storage, tasks
from optsuite.choices import PRECISIONS
from optsuite.errors import HParamError, RemoteError, UnknownNameError
from optsuite.optimizers import check_hparams, content_of, get_row, is_import_path, plain_hparams

HparamValue: TypeAlias = float | int | bool | str | tuple[float | int | bool | str, ...]


@dataclass(frozen=True)
class Schedule:
    """Length of training, and when and on how many batches to evaluate.

    Raises:
        HParamError: A count is too small or no integer.
    """

    num_steps: int
    """Number of the last step; steps 0 to num_steps are trained, so one more than the number says."""
    eval_every: int = 10
    """Steps from one evaluation to the next, the first before step 0."""
    eval_batches: int = 5
    """Batches of each split in an evaluation; 0 for no evaluations."""
    last_eval_batches: int = 10
    """Batches of each split in the evaluation at the last step."""

    def __post_init__(self) -> None:
        # An evaluation of no batches would have no value to record.
        least = {
            "num_steps": 0,
            "eval_every": 1,
            "eval_batches": 0,
            "last_eval_batches": min(self.eval_batches, 1),
        }
        for name, bound in least.items():
            value = getattr(self, name)
            if isinstance(value, np.integer):
                value = int(value)
                object.__setattr__(self, name, value)
            if not isinstance(value, int) or isinstance(value, bool) or value < bound:
                raise HParamError(f"`{name}` must be an integer >= {bound} (got {value!r})")

    def eval_steps(self) -> range:
        """Return the steps before which an evaluation happens."""
        return range(0, self.num_steps + 1 if self.eval_batches else 0, self.eval_every)

    def batches_at(self, step: int) -> int:
        """Return how many batches of each split the evaluation at `step` takes."""
        return self.last_eval_batches if step == self.num_steps else self.eval_batches


@dataclass(frozen=True)
class Config:
    """An optimizer with its hyperparameters.

    Raises:
        UnknownNameError: There is no such optimizer.
        HParamError: A hyperparameter is unknown, missing, of the wrong type or out of range.
        StorageError: The checkpoint of a learned optimizer cannot be read.
    """

    label: str
    """Name of the config, and of the folder of its curves."""
    optimizer: str
    """Name that `get_optimizer` knows; or `MODULE:CLASS`, the import path of a `torch.optim.Optimizer`.

    The module may be a .py file. What the file says is part of a trial's identity, with the files that it
    imports from packages that are not installed; the folder in which it lies is not. An edited file makes
    other trials, in the next process that imports it.
    """
    hparams: Mapping[str, HparamValue] = field(hash=False)
    """Hyperparameters by name.

    NumPy's numbers become Python's of the same value: `np.float32(0.1)` is 0.10000000149011612, and makes
    another trial than 0.1.

    The path of a checkpoint gets the hash of its content as its end, `#sha256=...`, when the config is made.
    The hash is part of a trial's identity and the path is not; training refuses a file of other content.
    """

    def __post_init__(self) -> None:
        hparams = plain_hparams(self.hparams)
        check_hparams(self.optimizer, hparams)
        for name, value in hparams.items():
            if not isinstance(value, float | int | str | tuple):
                raise HParamError(
                    f"`{name}` of a config must be a number, a bool, a word or a tuple (got {value!r})"
                )
        object.__setattr__(self, "hparams", get_row(self.optimizer).pin(hparams))
        if is_import_path(self.optimizer):
            _ = self.code  # as it is now

    @cached_property
    def code(self) -> str:
        """Hash of the user's code that makes the optimizer, as this process imported it; empty for none."""
        return get_row(self.optimizer).code()

    def __getstate__(self) -> dict[str, object]:
        # Another process finds out what it imports itself.
        return {name: value for name, value in vars(self).items() if name != "code"}


@dataclass(frozen=True)
class Trial:
    """One training run: a task, a config, a schedule and a seed.

    Raises:
        UnknownNameError: There is no such precision.
    """

    task_name: str
    config: Config
    schedule: Schedule
    seed: int
    precision: str = "float32"
    """One of `choices.PRECISIONS`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "seed", operator.index(self.seed))  # a NumPy integer is a seed too
        if self.precision not in PRECISIONS:
            raise UnknownNameError("precision", self.precision, PRECISIONS)

    def folder(self, root: str | None = None) -> str:
        """Return the folder of the trial's curve, in which its file's name ends in its id.

        Args:
            root: Root of the curves; `storage.baseline_dir()` if `None`.
        """
        return storage.curve_dir(self.task_name, self.config.label, **vars(self.schedule), root=root)

    def id(self, data_source: str) -> str:
        """Return ten characters that name the trial, by all that determines its curve; see `facts_of`.

        The kind of device is no part of them, so that results can be taken to another.

        Args:
            data_source: Kind of data that the trial trains on, `real` or `synthetic`.
        """
        return _hash_of(facts_of(self, data_source))


def facts_of(trial: Trial, data_source: str) -> dict[str, object]:
    """Return all that determines a trial's curve, by name, as values of JSON: what its id is the hash of.

    Args:
        trial: The trial.
        data_source: Kind of data that it trains on, `real` or `synthetic`.

    Raises:
        HParamError: An optimizer class cannot be imported.
    """
    config, task = trial.config, tasks.identity_of(trial.task_name)
    return {
        "task": trial.task_name,
        **{f"task/{name}": value for name, value in task.items()},
        "label": config.label,
        "optimizer": _without_folder(config.optimizer),
        "optimizer/code": config.code,
        **{f"hparams/{name}": _plain(content_of(value)) for name, value in config.hparams.items()},
        **vars(trial.schedule),
        "seed": trial.seed,
        "data_source": data_source,
        "data": _data_of(trial.task_name, data_source) if task else "",
        "precision": trial.precision,
    }


def ids_of(trials: Iterable[Trial], data_source: str) -> set[str] | None:
    """Return the ids of trials, or None where their data are not on this machine, so that nobody can tell.

    What only reads curves then takes those of any trials, as on a machine to which results were copied.

    Args:
        trials: The trials.
        data_source: As for `facts_of`.
    """
    every = list(trials)
    names = {trial.task_name for trial in every}
    if any(_data_of(name, data_source) == data.ABSENT for name in names):
        return None
    return {trial.id(data_source) for trial in every}


def _data_of(task_name: str, data_source: str) -> str:
    return data.fingerprint(tasks.get_task(task_name).dataset.dataset, data_source)


def check_facts(trial: Trial, data_source: str, needed: Mapping[str, object]) -> None:
    """Check that a trial is here what it is where it comes from.

    Args:
        trial: The trial, as this process got it.
        data_source: As for `facts_of`.
        needed: What `facts_of` gave there.

    Raises:
        RemoteError: They differ, e.g. because a file was edited in between, or the data are others.
    """
    here = facts_of(trial, data_source)
    if differing := sorted(name for name in {*here, *needed} if here.get(name) != needed.get(name)):
        name = differing[0]
        raise RemoteError(
            f"{_WORDS.get(name, f'`{name}`')} of a trial of `{trial.config.label}` on `{trial.task_name}` "
            f"here differs from where it comes from: needed {needed.get(name)!r}, got {here.get(name)!r}; "
            "make files and data the same, and start this process anew if it imported a file before an edit"
        )


_WORDS = {
    "task/code": "the text of the files that define the task",
    "optimizer/code": "the text of the files, or the version of a package, that define the optimizer",
    "data": "the content of the dataset",
}


@functools.cache
def _without_folder(optimizer: str) -> str:
    """Leave out where the .py file of an import path lies; its text is known by the code."""
    module, colon, name = optimizer.rpartition(":")
    return f"{Path(module).name}{colon}{name}" if module.endswith(".py") else optimizer


def trial_id(identity: Mapping[str, object]) -> str:
    """Return ten hexadecimal characters that stand for a trial, the same in every process.

    Args:
        identity: Everything that the trial's curve depends on, by name, as `facts_of` gives it. Neither the
            order of the keys nor the difference between 1 and 1.0 matters.
    """
    return _hash_of({key: _plain(value) for key, value in identity.items()})


def _hash_of(plain: Mapping[str, object]) -> str:
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
