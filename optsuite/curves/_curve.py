"""The record of one trial, and its keys."""

from __future__ import annotations

import functools
import importlib.metadata
from collections.abc import Iterator, Mapping, Set
from typing import TYPE_CHECKING, final

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from optsuite._types import Array

EVAL_SPLITS = ("train", "outer_valid", "test")
"""Splits of the data on which trials are evaluated."""

SCHEDULE_KEYS = ("num_steps", "eval_every", "eval_batches", "last_eval_batches")
"""Keys of the numbers that make a schedule, in the order of the folders' names."""

REQUIRED_KEYS = (
    *("train/xs", "train/loss", *SCHEDULE_KEYS),
    *("task_name", "eval_task_name", "opt_name", "gin_operative_config"),
    *("accelerator_platform", "accelerator_kind", "accelerator_devs"),
)
"""Keys of every curve, the original's too."""

EVAL_KEYS = (
    *("eval/xs", "eval/eval_batches", "eval/last_eval_batches"),
    *(f"eval/{split}/{metric}" for split in EVAL_SPLITS for metric in ("loss", "loss_normalized")),
)
"""Keys of every curve that was evaluated (`eval_batches > 0`), the original's too."""

ADDED_KEYS = (
    *("seed", "data_source", "trial_id", "optsuite_version", "torch_version"),
    *("trained_as", "seconds_per_step", "peak_memory_bytes", "flops_per_step"),
)
"""Keys that optsuite adds to every curve; accuracies join `EVAL_KEYS` where the task has them."""

_UNKNOWN = {
    "trained_as": np.str_(""),
    "seconds_per_step": np.float64(np.nan),
    "peak_memory_bytes": np.int64(-1),
    "flops_per_step": np.int64(-1),
}


@final
class Curve(Mapping[str, "Array"]):
    """The record of one trial: an immutable mapping from the keys above to read-only arrays.

    Two curves are equal if they hold the same keys, dtypes and bits (a NaN equals itself).
    """

    __slots__ = ("_arrays",)

    def __init__(self, arrays: Mapping[str, npt.ArrayLike]) -> None:
        """Copy the arrays.

        Args:
            arrays: Arrays by key; Python numbers and strings become 0-d arrays.
        """
        self._arrays = {key: np.array(value) for key, value in arrays.items()}
        for array in self._arrays.values():
            array.flags.writeable = False

    def __getitem__(self, key: str) -> Array:
        return self._arrays[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Curve):
            return NotImplemented
        return self._bits() == other._bits()

    def __reduce__(self) -> tuple[type[Curve], tuple[dict[str, Array]]]:
        return Curve, (self._arrays,)  # through the constructor, so that a copy is read-only too

    def __repr__(self) -> str:
        name, opt = self.get("task_name", "?"), self.get("opt_name", "?")
        return f"<Curve of {name}, {opt}, seed {self.seed}: {len(self)} keys>"

    @property
    def task_name(self) -> str:
        """Name of the task; in the original's files, the name of its Python class."""
        return str(self["task_name"])

    @property
    def opt_name(self) -> str:
        """Label of the config; in the original's files, the optimizer's own name."""
        return str(self["opt_name"])

    @property
    def num_steps(self) -> int:
        """Number of training steps."""
        return int(self["num_steps"])

    @property
    def seed(self) -> int | None:
        """Seed of the trial; `None` in the original's files, which do not keep it."""
        return int(self["seed"]) if "seed" in self else None

    @property
    def diverged_at(self) -> int | None:
        """Step of the first training loss that is not finite; `None` if all are finite."""
        index = _first_nonfinite(self["train/loss"])
        return None if index is None else int(self["train/xs"][index])

    @property
    def is_diverged(self) -> bool:
        """Whether any training loss is not finite."""
        return self.diverged_at is not None

    def _bits(self) -> dict[str, tuple[object, ...]]:
        return {key: (a.dtype, a.shape, a.tobytes()) for key, a in self._arrays.items()}


def make_curve(
    *,
    task_name: str,
    opt_name: str,
    num_steps: int,
    eval_every: int,
    eval_batches: int,
    last_eval_batches: int,
    seed: int,
    train_loss: npt.ArrayLike,
    eval_metrics: Mapping[str, npt.ArrayLike],
    data_source: str,
    config_text: str,
    accelerator_platform: str,
    accelerator_kind: str,
    accelerator_devs: int,
    trial_id: str,
    extra: Mapping[str, npt.ArrayLike] | None = None,
) -> Curve:
    """Assemble the record of one trial.

    Training loss and metrics become NaN from the first training loss on that is not finite.

    Args:
        task_name: Name of the task.
        opt_name: Label of the config.
        num_steps: Training steps.
        eval_every: Steps between evaluations.
        eval_batches: Batches per evaluation; 0: nothing was evaluated.
        last_eval_batches: Batches of the last evaluation.
        seed: Seed of the trial.
        train_loss: (num_steps + 1,), the loss of each step's batch before its update.
        eval_metrics: (E,) each, by `<split>/<metric>`, those of `EVAL_KEYS` and any more; else empty.
        data_source: Kind of data, `real` or `synthetic`.
        config_text: The configuration as text.
        accelerator_platform: Type of the device, e.g. `cuda`.
        accelerator_kind: Name of the device.
        accelerator_devs: Number of devices used.
        trial_id: Id of the trial, ten hexadecimal characters.
        extra: More arrays by key; `seconds_per_step`, `peak_memory_bytes`, `flops_per_step` and `trained_as`
            are recorded as unknown (NaN, -1, -1, empty) where they are not among them.

    Raises:
        ValueError: An array has a wrong length, a metric is missing, or an extra key is taken already.
    """
    schedule = dict(zip(SCHEDULE_KEYS, (num_steps, eval_every, eval_batches, last_eval_batches), strict=True))
    arrays = {
        **_recorded(schedule, train_loss, eval_metrics),
        **dict.fromkeys(("task_name", "eval_task_name"), task_name),
        "opt_name": opt_name,
        "gin_operative_config": config_text,
        "accelerator_platform": accelerator_platform,
        "accelerator_kind": accelerator_kind,
        "accelerator_devs": np.int64(accelerator_devs),
        "seed": np.int64(seed),
        "data_source": data_source,
        "trial_id": trial_id,
        **{f"{package}_version": package_version(package) for package in ("optsuite", "torch")},
    }
    return Curve({**arrays, **_extra_arrays(extra or {}, taken=arrays.keys())})


def _recorded(
    schedule: Mapping[str, int], train_loss: npt.ArrayLike, eval_metrics: Mapping[str, npt.ArrayLike]
) -> dict[str, npt.ArrayLike]:
    """Return the losses, the evaluations and the counts of a schedule."""
    num_points = schedule["num_steps"] + 1
    loss = _float32("train_loss", train_loss, num_points)
    diverged_at = _first_nonfinite(loss)
    loss[num_points if diverged_at is None else diverged_at :] = np.nan
    return {
        "train/xs": np.arange(num_points, dtype=np.int64),
        "train/loss": loss,
        **_eval_arrays(schedule, eval_metrics, diverged_at),
        **{key: np.int64(count) for key, count in schedule.items()},
    }


def _extra_arrays(extra: Mapping[str, npt.ArrayLike], taken: Set[str]) -> dict[str, npt.ArrayLike]:
    """Return more arrays, unknown measurements among them."""
    if both := taken & extra.keys():
        raise ValueError(f"`extra` must hold new keys (got {', '.join(sorted(both))})")
    measured = {
        key: np.asarray(extra.get(key, unknown), dtype=type(unknown)) for key, unknown in _UNKNOWN.items()
    }
    return {**extra, **measured}


def _eval_arrays(
    schedule: Mapping[str, int], metrics: Mapping[str, npt.ArrayLike], diverged_at: int | None
) -> dict[str, Array]:
    """Return the arrays under `eval/`: none without evaluations; NaN from `diverged_at` on."""
    if schedule["eval_batches"] == 0:
        if metrics:
            raise ValueError(f"`eval_batches` is 0, but metrics came: {', '.join(metrics)}")
        return {}
    needed = {key.removeprefix("eval/") for key in EVAL_KEYS if key.count("/") == 2}
    if missing := needed - metrics.keys():
        raise ValueError(f"`eval_metrics` lacks {', '.join(sorted(missing))}")
    xs = np.arange(0, schedule["num_steps"] + 1, schedule["eval_every"], dtype=np.int64)
    arrays = {
        "eval/xs": xs,
        "eval/eval_batches": np.asarray(schedule["eval_batches"], dtype=np.int64),
        "eval/last_eval_batches": np.asarray(schedule["last_eval_batches"], dtype=np.int64),
    }
    for name, values in metrics.items():
        metric = _float32(name, values, len(xs))
        if diverged_at is not None:
            metric[xs >= diverged_at] = np.nan
        arrays[f"eval/{name}"] = metric
    return arrays


def _float32(name: str, values: npt.ArrayLike, length: int) -> Array:
    with np.errstate(over="ignore"):  # too large for float32 is infinite: diverged
        array = np.array(values, dtype=np.float32)
    if array.shape != (length,):
        raise ValueError(f"`{name}` needs shape ({length},), got {array.shape}")
    return array


def _first_nonfinite(values: Array) -> int | None:
    bad = np.flatnonzero(~np.isfinite(values))
    return int(bad[0]) if bad.size else None


@functools.cache
def package_version(package: str) -> str:
    """Return the version of an installed package, or `unknown`."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # run from a checkout
        return "unknown"
