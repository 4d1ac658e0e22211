"""Configs, schedules and trials, and what makes two trials the same."""

import hashlib
import json
import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from optsuite import storage
from optsuite.choices import PRECISIONS
from optsuite.errors import HParamError, UnknownNameError
from optsuite.optimizers import check_hparams, content_of, get_row, plain_hparams

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

    The module may be a .py file. The path is part of a trial's identity as it is written here, and the text
    of the file is not: give it relative to the folder in which pytest runs, and rerun what an edit changed.
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
        """Return ten characters that name the trial; the kind of device is no part of them.

        Results can therefore be taken to another device.

        Args:
            data_source: Kind of data that the trial trains on, `real` or `synthetic`.
        """
        hparams = {f"hparams/{name}": content_of(value) for name, value in self.config.hparams.items()}
        identity = {
            "task": self.task_name,
            "label": self.config.label,
            "optimizer": self.config.optimizer,
            **hparams,
            **vars(self.schedule),
            "seed": self.seed,
            "data_source": data_source,
            **({} if self.precision == "float32" else {"precision": self.precision}),
        }
        return trial_id(identity)


def trial_id(identity: Mapping[str, object]) -> str:
    """Return ten hexadecimal characters that stand for a trial, the same in every process.

    Args:
        identity: Everything that the trial's curve depends on: task, label, optimizer, hyperparameters,
            schedule, seed, data source, and a precision below float32. Neither the order of the keys nor
            the difference between 1 and 1.0 matters.
    """
    plain = {key: _without_point(value) for key, value in identity.items()}
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def _without_point(value: object) -> object:
    if isinstance(value, tuple):
        return [_without_point(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
