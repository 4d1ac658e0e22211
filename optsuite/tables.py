"""Tables of what was recorded, for pandas: tidy ones of archives and curves, and one of a row per cell.

Names are categoricals, so that millions of rows fit and group fast; losses are float32 as recorded.
"""

import fnmatch
import io
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from optsuite import archives, curves, storage
from optsuite._types import Array
from optsuite.archives import Absent, Archive, RecordedConfig, recorded_config
from optsuite.curves import EVAL_SPLITS
from optsuite.errors import StorageError, UnknownNameError
from optsuite.statistics import Results, read_results
from optsuite.storage import MissingFileError

SPLITS = (*EVAL_SPLITS, "batch")
"""Splits in tidy tables; `batch` is the training batch of each step, before its update."""

_METRICS = ("loss", "loss_normalized", "accuracy")


def archive_table(
    tasks: str | Sequence[str],
    sets: str | Sequence[str],
    root: str | None = None,
    *,
    splits: Sequence[str] = SPLITS,
) -> pd.DataFrame:
    """Return everything in some archives, tidy: one row per task, set, config, repetition, split and step.

    Args:
        tasks: Names or globs of tasks.
        sets: Names or globs of hparam sets.
        root: Root of the archives; `storage.archives_dir()` if `None`.
        splits: One or more of `SPLITS`. Without `batch` there are far fewer rows; archives without
            evaluations have no others.

    Returns:
        Columns `task`, `set`, `config`, one per hyperparameter (`lr`, ...; NaN where a config has none),
        `repetition`, `seed` and `data_source` (missing in the original's archives, which do not keep them),
        `split`, `step`, `loss`, `loss_normalized` and `accuracy` (NaN where not recorded; `batch` has a loss
        only).

    Raises:
        MissingFileError: An archive that was named is not there; the message names all.
        CorruptFileError: An archive is damaged or lacks a key; names file and key.
        NotEvaluatedError: `splits` has no `batch`, and an archive no evaluations; names file and key.
        StorageError: The storage cannot be reached.
        ValueError: A split is unknown, or there is none.
    """
    check_splits(splits)
    cells = archives.find_cells(tasks, sets, root)
    if not cells:
        raise MissingFileError(f"no archives of tasks {tasks!r} and sets {sets!r}")
    read = archives.read_each(cells, lambda archive: _of_archive(archive, splits), root)
    absent = [part for part in read if isinstance(part, Absent)]
    for one in absent:
        if one.reason != "missing":
            raise one.error
    if absent:
        raise MissingFileError(
            f"{len(absent)} of {len(read)} archives are missing:\n"
            + "\n".join(str(one.error) for one in absent)
        )
    return _tidy([part for part in read if isinstance(part, _Trials)], splits)


def curves_table(
    tasks: str | Sequence[str] = "*",
    configs: str | Sequence[str] = "*",
    root: str | None = None,
    *,
    splits: Sequence[str] = SPLITS,
) -> pd.DataFrame:
    """Return everything in some folders of curves, tidy, whether or not their cells are complete.

    Args:
        tasks: Names or globs of tasks.
        configs: Names or globs of configs, e.g. `Adam_lr*`.
        root: Root of the curves; `storage.baseline_dir()` if `None`.
        splits: One or more of `SPLITS`.

    Returns:
        Columns of `archive_table`, with `schedule`
        (`<num_steps>_<eval_every>_<eval_batches>_<last_eval_batches>`) in place of `set`, and `file`, the
        file's name; `repetition` counts the files of a folder.

    Warns:
        CorruptFileWarning: Some files could not be read; names them.

    Raises:
        MissingFileError: There are no curves, or a name or glob of `tasks`, or of `configs` in all of these
            tasks, matches no folder; says what there is.
        StorageError: The storage cannot be reached.
        ValueError: A split is unknown, or there is none.
    """
    check_splits(splits)
    root = storage.baseline_dir() if root is None else storage.clean_root(root)
    folders = curves.find_folders(tasks, configs, root)
    _check_matches(tasks, configs, folders, root)
    read = curves.read_folders([storage.join_url(root, *names) for names in folders], threads=storage.THREADS)
    parts = [
        _of_curve(arrays, names, repetition, url)
        for names, files in zip(folders, read, strict=True)
        for repetition, (url, arrays) in enumerate(files.items())
    ]
    if not parts:
        raise MissingFileError(f"no curves of tasks {tasks!r} and configs {configs!r} under `{root}`")
    return _tidy(parts, splits)


def summary_table(
    tasks: str | Sequence[str], sets: str | Sequence[str], root: str | None = None
) -> pd.DataFrame:
    """Return one row per task and set: the best config and its final results.

    Args:
        tasks: Names or globs of tasks.
        sets: Names or globs of hparam sets.
        root: Root of the archives; `storage.archives_dir()` if `None`.

    Returns:
        Columns of `summarize_results`.

    Raises:
        MissingFileError: Every archive is missing.
        StorageError: The storage cannot be reached.
    """
    return summarize_results(archives.require_any(read_results(tasks, sets, root), root))


def summarize_results(results: Sequence[Results | Absent]) -> pd.DataFrame:
    """Return one row per cell, also of cells without a readable archive.

    Returns:
        Columns `task`, `set`, `data_source`; `status`: `complete`, `all diverged`, `not evaluated after
        training` (too few steps), `not evaluated` (no evaluations), `missing` or `unreadable:` and why;
        `best_config`; `<split>_<metric>_{mean,min,max}` over seeds of the best config's last evaluation, for
        the splits `train`, `outer_valid` and `test` and the metrics `loss` and `accuracy`; counts `diverged`,
        `trials`, `configs`, `repetitions`, `num_steps`; `steps_per_s`, steps of one trial per second of
        wall-clock time. A value that is not known is missing.
    """
    rows = pd.DataFrame([_summary_row(result) for result in results], columns=_summary_columns())
    words = ("task", "set", "data_source", "status", "best_config")
    names = {name: _categorical(rows[name]) for name in words}
    counts = {name: rows[name].astype("Int64") for name in _COUNTS}
    return rows.assign(**names, **counts, steps_per_s=rows["steps_per_s"].astype("float64"))


def write_table(table: pd.DataFrame, url: str) -> None:
    """Write a table as CSV or Parquet, as the name of the file says.

    Args:
        table: The table.
        url: A path or URL that ends in `.csv` or `.parquet`.

    Raises:
        StorageError: The ending is another, writing fails, or there is no package for Parquet.
    """
    buffer = io.BytesIO()
    if url.endswith(".csv"):
        table.to_csv(buffer, index=False)
    elif url.endswith(".parquet"):
        try:
            table.to_parquet(buffer, index=False)
        except ImportError as cause:
            raise StorageError("Parquet needs a package: pip install 'optsuite[parquet]'") from cause
    else:
        raise StorageError(f"a table is written as `.csv` or `.parquet` (got `{url}`)")
    storage.write_bytes(url, buffer.getvalue())


def check_splits(splits: Sequence[str]) -> None:
    """Raise ValueError if there is an unknown split, or none."""
    unknown = [splits] if isinstance(splits, str) else sorted(set(splits) - set(SPLITS))
    if unknown or not splits:
        raise ValueError(
            f"`splits` must be a list of some of {', '.join(SPLITS)} (got {', '.join(unknown) or 'none'})"
        )


def _check_matches(
    tasks: str | Sequence[str],
    configs: str | Sequence[str],
    folders: Sequence[tuple[str, str, str]],
    root: str,
) -> None:
    """Raise MissingFileError for names and globs that match no folder at all."""
    tasks, configs = ([names] if isinstance(names, str) else names for names in (tasks, configs))
    found_tasks, found_configs = ([names[i] for names in folders] for i in (0, 1))
    if not (_idle(tasks, found_tasks) or _idle(configs, found_configs)):
        return
    there = storage.list_tasks(root)
    if not there:
        raise MissingFileError(f"there are no curves in `{root}`")
    asked = storage.expand_globs(tasks, lambda: there)
    listings = storage.thread_map(lambda task: storage.list_folders(storage.join_url(root, task)), asked)
    labels = {label for listing in listings for label in listing}
    # Where there is none of the tasks, the names of configs may be right.
    unknown = [UnknownNameError(f"task (in `{root}`)", name, there) for name in _idle(tasks, there)]
    if labels:
        unknown += [
            UnknownNameError("config of these tasks", name, labels) for name in _idle(configs, labels)
        ]
    if unknown:
        raise MissingFileError("\n".join(map(str, unknown)))


def _idle(names: Sequence[str], there: Collection[str]) -> list[str]:
    return [name for name in names if not fnmatch.filter(there, name)]


class _Trials(NamedTuple):
    """Trials that were recorded alike."""

    facts: list[dict[str, object]]  # (N,), columns that say which trial it is, without its hyperparameters
    configs: list[RecordedConfig]  # (N,)
    arrays: Mapping[str, Array]  # (N, points) by key


def _of_archive(archive: Archive, splits: Sequence[str]) -> _Trials:
    splits = splits if archive.has_evaluations or "batch" not in splits else ["batch"]
    evaluated = [split for split in splits if split != "batch"]
    needed = [
        *(["train/xs", "train/loss"] if "batch" in splits else []),
        *(["eval/xs", *(f"eval/{split}/loss" for split in evaluated)] if evaluated else []),
    ]
    others = (f"eval/{split}/{metric}" for split in evaluated for metric in _METRICS[1:])
    arrays = archive.curves(*needed, *(key for key in others if key in archive.arrays))
    repetitions = archive.arrays["train/loss"].shape[1]
    sources = archive.values("data_source", "U")
    facts: list[dict[str, object]] = [
        {
            "task": archive.task,
            "set": archive.hparam_set,
            "config": config.label,
            "repetition": s,
            "seed": None if archive.seeds is None else int(archive.seeds[h, s]),
            "data_source": None if sources is None else str(sources[h, s]),
        }
        for h, config in enumerate(archive.configs)
        for s in range(repetitions)
    ]
    configs = [config for config in archive.configs for _ in range(repetitions)]
    return _Trials(facts, configs, {key: values.reshape(len(facts), -1) for key, values in arrays.items()})


def _of_curve(arrays: Mapping[str, Array], names: tuple[str, str, str], repetition: int, url: str) -> _Trials:
    task, config, schedule = names
    facts: dict[str, object] = {
        "task": task,
        "schedule": schedule,
        "config": config,
        "repetition": repetition,
        "seed": int(arrays["seed"]) if "seed" in arrays else None,
        "data_source": str(arrays["data_source"]) if "data_source" in arrays else None,
        "file": url.rpartition("/")[2],
    }
    texts = (str(arrays.get(key, "")) for key in ("opt_name", "gin_operative_config"))
    flat = {key: values[None] for key, values in arrays.items() if values.ndim == 1}
    return _Trials([facts], [recorded_config(*texts)], flat)


def _tidy(parts: Sequence[_Trials], splits: Sequence[str]) -> pd.DataFrame:
    """Return all points of all trials, below each other."""
    trials = _trial_columns(parts)
    starts = np.cumsum([0, *(len(part.facts) for part in parts)])
    chunks = [
        _points(part.arrays, split, int(start))
        for start, part in zip(starts[:-1], parts, strict=True)
        for split in splits
    ]
    names = ("trial", "split", "step", *_METRICS)
    points = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in names}
    columns = trials.take(points.pop("trial")).reset_index(drop=True)
    split = pd.Categorical.from_codes(points.pop("split").astype(np.int8), categories=pd.Index(SPLITS))
    return columns.assign(split=split, **points)


def _points(arrays: Mapping[str, Array], split: str, start: int) -> dict[str, Array]:
    """Return columns of all points of one split, trials outermost; empty if there are none."""
    xs, metrics = ("train/xs", {"loss": "train/loss"}) if split == "batch" else ("eval/xs", {})
    metrics = metrics or {metric: f"eval/{split}/{metric}" for metric in _METRICS}
    is_there = xs in arrays and metrics["loss"] in arrays
    steps = arrays[xs] if is_there else np.empty((0, 0), dtype=np.int64)
    unknown = np.full(steps.size, np.nan, dtype=np.float32)
    values = (arrays.get(metrics.get(metric, "")) if is_there else None for metric in _METRICS)
    return {
        "trial": np.repeat(np.arange(start, start + len(steps)), steps.shape[1]),
        "split": np.full(steps.size, SPLITS.index(split)),
        "step": steps.ravel(),
        **{m: unknown if v is None else v.ravel() for m, v in zip(_METRICS, values, strict=True)},
    }


def _trial_columns(parts: Sequence[_Trials]) -> pd.DataFrame:
    """Return one row per trial: which it is, with its hyperparameters after its config."""
    rows = [row for part in parts for row in part.facts]
    facts = pd.DataFrame(rows)
    hparams = pd.DataFrame([dict(config.hparams) for part in parts for config in part.configs])
    taken = {*facts.columns, "split", "step", *_METRICS}
    hparams = hparams.rename(columns={name: f"hparam_{name}" for name in taken})
    names = {name: _categorical(facts[name]) for name in facts.columns if name not in ("repetition", "seed")}
    seeds = pd.Series([row["seed"] for row in rows], dtype="Int64")  # `facts` has them as floats
    counts = {"repetition": facts["repetition"].astype("int16"), "seed": seeds}
    facts = facts.assign(**names, **counts)
    values = {name: _typed(hparams[name]) for name in hparams.columns}
    after = list(facts.columns).index("config") + 1
    return pd.concat([facts.iloc[:, :after], pd.DataFrame(values), facts.iloc[:, after:]], axis=1)


def _typed(values: pd.Series) -> pd.Series | pd.Categorical:
    """Return numbers as float64, all else as categories."""
    known = list(values.dropna())
    if all(isinstance(value, float | int) and not isinstance(value, bool) for value in known):
        return values.astype("float64")
    # Parquet has no column of several types, and a column of tuples is no category.
    types = {type(value) for value in known}
    is_written_out = len(types) > 1 or tuple in types
    return _categorical(values.map(str, na_action="ignore") if is_written_out else values)


def _categorical(values: pd.Series) -> pd.Categorical:
    return pd.Categorical(values, categories=values.dropna().unique())


_COUNTS = ("diverged", "trials", "configs", "repetitions", "num_steps")


def _summary_columns() -> list[str]:
    finals = [
        f"{s}_{m}_{f}" for s in EVAL_SPLITS for m in ("loss", "accuracy") for f in ("mean", "min", "max")
    ]
    return ["task", "set", "data_source", "status", "best_config", *finals, *_COUNTS, "steps_per_s"]


def _summary_row(result: Results | Absent) -> dict[str, object]:
    row: dict[str, object] = {"task": result.task, "set": result.hparam_set}
    if isinstance(result, Absent):
        why = f": {result.error}" if result.reason == "unreadable" else ""
        return {**row, "status": f"{result.reason}{why}"}
    num_configs, repetitions = result.diverged.shape
    finals = {} if result.best is None else {k: values[result.best] for k, values in result.final.items()}
    return {
        **row,
        "data_source": result.data_source,
        "status": result.why_no_best or "complete",
        "best_config": result.best_label,
        **{name: value for key, values_S in finals.items() for name, value in _spread(key, values_S).items()},
        "diverged": int(result.diverged.sum()),
        "trials": result.diverged.size,
        "configs": num_configs,
        "repetitions": repetitions,
        "num_steps": result.num_steps,
        "steps_per_s": 1 / result.seconds_per_step if result.seconds_per_step else None,
    }


def _spread(key: str, values_S: Array) -> dict[str, float]:
    name = key.removeprefix("eval/").replace("/", "_")
    with np.errstate(invalid="ignore"):  # a mean that is not finite is a result
        mean = values_S.mean(dtype=np.float64)
    return {
        f"{name}_mean": float(mean),
        f"{name}_min": float(values_S.min()),
        f"{name}_max": float(values_S.max()),
    }
