"""Curves: the records of single trials, and the files that hold them.

A curve is a flat mapping from keys to arrays; its keys, dtypes and folders are those of
learned_optimization (`baselines/utils.py`, `baselines/run_trainer.py`), plus `ADDED_KEYS`.

| key | dtype | shape |
| --- | --- | --- |
| `train/xs`, `train/loss` | int64, float32 | (num_steps + 1,) |
| `eval/xs` | int64 | (E,), E = num_steps // eval_every + 1 |
| `eval/{train,outer_valid,test}/<metric>` | float32 | (E,) |
| counts, `seed`, `peak_memory_bytes`, `flops_per_step` (-1: unknown) | int64 | () |
| `seconds_per_step` (NaN: unknown) | float64 | () |
| names, versions, `gin_operative_config` (the configuration as text) | unicode | () |

A curve lies at `<root>/<task>/<config label>/<schedule>/<YYYYmmdd_HHMMSS>_<trial id>.curves`.
"""

from __future__ import annotations

import functools
import importlib.metadata
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence, Set
from datetime import UTC, datetime
from typing import TYPE_CHECKING, final

import numpy as np

from optsuite import storage
from optsuite.errors import StorageError

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

SUFFIX = ".curves"
"""Ending of the name of every file of a curve."""

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


class CorruptFileWarning(UserWarning):
    """Some files of curves could not be read and were left out."""


def curve_filename(trial_id: str, time: datetime | None = None) -> str:
    """Return the file name of a trial's curve, `<YYYYmmdd_HHMMSS>_<trial id>.curves`.

    The time is in UTC, unlike the original's, so that names from different machines sort by age.

    Args:
        trial_id: Id of the trial, ten hexadecimal characters.
        time: Time at which the trial ended, UTC if it has no time zone; now if `None`.

    Raises:
        StorageError: `trial_id` has another form.
    """
    if not re.fullmatch(r"[0-9a-f]{10}", trial_id):
        raise StorageError(f"a trial id is 10 hexadecimal characters (got `{trial_id}`)")
    time = datetime.now(UTC) if time is None else time
    time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    return f"{time:%Y%m%d_%H%M%S}_{trial_id}{SUFFIX}"


def trial_id_of(url: str) -> str | None:
    """Return the trial id in the name of a curve's file; `None` for other files, such as the original's."""
    match = re.search(rf"(?:^|/)\d{{8}}_\d{{6}}_([0-9a-f]{{10}}){re.escape(SUFFIX)}$", url)
    return match[1] if match else None


def files_of_trial(folder: str, trial_id: str) -> list[str]:
    """Return the URLs of a trial's files in its folder, the oldest first: one, but while runners write.

    Raises:
        StorageError: The storage cannot be reached.
    """
    return storage.list_files(folder, f"_{trial_id}{SUFFIX}")


def write_curve(curve: Curve, root: str | None = None) -> str:
    """Write a curve to its folder, then delete all files of the same trial but the newest.

    Args:
        curve: A curve of `make_curve`.
        root: Root of the curves; `storage.baseline_dir()` if `None`.

    Returns:
        URL of the file that is kept: the new one, unless another runner wrote a newer one meanwhile.

    Raises:
        StorageError: It cannot be written.
    """
    trial = str(curve.get("trial_id", ""))
    schedule = {key: int(curve[key]) for key in SCHEDULE_KEYS}
    folder = storage.curve_dir(curve.task_name, curve.opt_name, **schedule, root=root)
    url = storage.join_url(folder, curve_filename(trial))
    storage.write_npz(url, curve)
    # All runners keep the same file, the last by name, so that exactly one stays.
    twins = files_of_trial(folder, trial) or [url]
    for older in twins[:-1]:
        storage.remove(older, missing_ok=True)
    return twins[-1]


def recorded_trial_ids(dir_url: str) -> set[str]:
    """Return the ids of the trials that a folder holds, from its file names alone.

    Raises:
        StorageError: The storage cannot be reached.
    """
    return {found for url in storage.list_files(dir_url, SUFFIX) if (found := trial_id_of(url))}


def read_folders(
    dir_urls: Sequence[str], *, output_type: str = "curves", threads: int = 0, clear_bad_files: bool = False
) -> list[dict[str, dict[str, Array]]]:
    """Read every readable file of some folders; a bad one does not cost the others.

    Args:
        dir_urls: The folders; a missing one has no files.
        output_type: Suffix of the files, without its dot.
        threads: Number of files read at a time; 0: one after the other.
        clear_bad_files: Rename bad files to `<name>.bad` rather than warn of them.

    Returns:
        Arrays of each file by its URL, sorted by file name, for each folder.

    Raises:
        StorageError: A folder cannot be listed, or a bad file cannot be renamed.
    """
    for _ in range(2):
        listings = storage.thread_map(lambda u: storage.list_files(u, f".{output_type}"), dir_urls, threads)
        urls = [url for listing in listings for url in listing]
        outcomes = dict(zip(urls, storage.thread_map(_read_curve, urls, threads), strict=True))
        errors = {url: error for url, error in outcomes.items() if isinstance(error, StorageError)}
        if not any(isinstance(error, storage.MissingFileError) for error in errors.values()):
            break
        # Another runner replaced a file since the listing: look once more.
    _handle_bad_files(errors, clear_bad_files)
    return [
        {url: arrays for url in listing if isinstance(arrays := outcomes[url], dict)} for listing in listings
    ]


def find_folders(
    tasks: str | Sequence[str], configs: str | Sequence[str], root: str
) -> list[tuple[str, str, str]]:
    """Return the names of folders of curves: (task, config label, schedule), sorted within each glob.

    Args:
        tasks: One or more names or globs of tasks.
        configs: One or more labels or globs of configs.
        root: Root of the curves.

    Raises:
        StorageError: The storage cannot be reached.
    """

    def below(parents: Sequence[tuple[str, ...]], names: str | Sequence[str]) -> list[tuple[str, ...]]:
        def expand(parent: tuple[str, ...]) -> list[str]:
            list_names = storage.list_folders if parent else storage.list_tasks
            return storage.expand_globs(names, lambda: list_names(storage.join_url(root, *parent)))

        found = storage.thread_map(expand, parents)
        return [(*parent, name) for parent, children in zip(parents, found, strict=True) for name in children]

    folders = below(below(below([()], tasks), configs), "*")
    return [(task, config, schedule) for task, config, schedule in folders if schedule != "*"]


def load_baseline_results_from_dir(
    save_dir: str, output_type: str = "curves", threads: int = 0, clear_bad_files: bool = False
) -> list[dict[str, Array]]:
    """Load all curves of one folder, sorted by file name.

    The original deletes bad files, or fails if there is one.

    Args:
        save_dir: Folder of the curves; one that is empty or missing gives an empty list.
        output_type: Suffix of the files, without its dot.
        threads: Number of files read at a time; 0: one after the other.
        clear_bad_files: Rename bad files to `<name>.bad` rather than warn of them.

    Warns:
        CorruptFileWarning: Some files could not be read; names them.

    Raises:
        StorageError: The folder cannot be listed.
    """
    folders = read_folders(
        [save_dir], output_type=output_type, threads=threads, clear_bad_files=clear_bad_files
    )
    return list(folders[0].values())


def load_baseline_results(
    task_name: str,
    opt_name: str,
    num_steps: int,
    eval_every: int,
    eval_batches: int,
    last_eval_batches: int,
    output_type: str = "curves",
    threads: int = 0,
    clear_bad_files: bool = False,
) -> list[dict[str, Array]]:
    """Load all curves of one task, config and schedule; see `load_baseline_results_from_dir`."""
    save_dir = storage.curve_dir(task_name, opt_name, num_steps, eval_every, eval_batches, last_eval_batches)
    return load_baseline_results_from_dir(save_dir, output_type, threads, clear_bad_files)


def _read_curve(url: str) -> dict[str, Array] | StorageError:
    try:
        arrays = storage.read_npz(url)
    except StorageError as error:
        return error
    if url.endswith(SUFFIX) and not {"train/xs", "train/loss"} <= arrays.keys():
        return storage.CorruptFileError(
            f"`{url}` is not a file of curves (its keys are {', '.join(arrays)}): "
            "delete it or run its trial again"
        )
    if misfit := _misfit(arrays):
        return storage.CorruptFileError(
            f"`{url}` is not a file of curves ({misfit}): delete it or run its trial again"
        )
    return arrays


def _misfit(arrays: Mapping[str, Array]) -> str | None:
    """Return what is wrong with a curve that is not as long as its steps; `None` if nothing is."""
    for key, values in arrays.items():
        room = key.partition("/")[0]
        if (key == "train/loss" or (room == "eval" and key.count("/") == 2)) and f"{room}/xs" in arrays:
            steps = arrays[f"{room}/xs"]
            if values.ndim != 1 or values.shape != steps.shape:
                return f"`{key}` is {values.shape}, `{room}/xs` {steps.shape}"
    return None


def _handle_bad_files(errors: Mapping[str, StorageError], clear_bad_files: bool) -> None:
    told = []
    for url, error in errors.items():
        if clear_bad_files and isinstance(error, storage.CorruptFileError):
            storage.set_aside(url)
        elif not isinstance(error, storage.MissingFileError):
            told.append(str(error))
    if told:
        message = f"left out {len(told)} of the files of curves:\n" + "\n".join(told)
        warnings.warn(message, CorruptFileWarning, stacklevel=3)
