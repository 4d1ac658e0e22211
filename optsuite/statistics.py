"""What an archive says about its cell: final losses, the best config, what diverged.

The best config has the smallest loss in the last evaluation on training data, mean over seeds, as in
learned_optimization (`baselines/vis.py`). A seed that diverged makes the mean NaN, also if it did so after
the last evaluation. A mean that is not finite ranks behind every finite one; where none is finite there is
no best config.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from optsuite import storage
from optsuite.archives import find_cells
from optsuite.errors import OptsuiteError, StorageError
from optsuite.hparam_sets import HparamValue, get_hparam_set
from optsuite.storage import CorruptFileError, MissingFileError

if TYPE_CHECKING:
    from optsuite._types import Array

__all__ = [
    "EVAL_SPLITS",
    "Absent",
    "NotEvaluatedError",
    "Results",
    "Setting",
    "best_config",
    "check_curves",
    "ema",
    "has_evaluations",
    "read_cells",
    "read_results",
    "require_any",
    "setting_of",
    "settings",
    "summarize",
]

EVAL_SPLITS = ("train", "outer_valid", "test")

# What is used of an archive besides its curves, and the kinds of dtype that it may have.
_FACTS = {
    **dict.fromkeys(("opt_name", "gin_operative_config", "data_source"), "U"),
    **dict.fromkeys(("seed", "eval_batches"), "iu"),
    "seconds_per_step": "iuf",
}
_METRICS = tuple(f"eval/{split}/{metric}" for split in EVAL_SPLITS for metric in ("loss", "accuracy"))
_KEYS = frozenset({"train/loss", "eval/xs", *_METRICS, *_FACTS})


class NotEvaluatedError(StorageError):
    """An archive whose trials were trained without evaluations, so that nothing tells how good they are."""


def ema(values: Array, decay: float) -> Array:
    """Exponential moving average along the last axis, started at the first value.

    y[0] = x[0], y[i] = decay y[i-1] + (1 - decay) x[i]; what is not finite leaves nothing finite behind it.

    Args:
        values: (..., E).
        decay: In [0, 1); 0 gives the values themselves.

    Source: learned_optimization, `baselines/normalizers.py: ema`, in the dtype of `values`, to the bit.
    """
    averaged = np.array(values)
    gains = (1 - decay) * averaged
    for i in range(1, averaged.shape[-1]):
        averaged[..., i] = averaged[..., i - 1] * decay + gains[..., i]
    return averaged


def best_config(final_loss_HS: Array) -> int | None:
    """Index of the config with the smallest loss, mean over seeds; None if no mean is finite.

    Args:
        final_loss_HS: (H, S), loss of the last evaluation on training data.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # a mean that is not finite is a result
        mean_H = final_loss_HS.mean(axis=1)
    finite_H = np.isfinite(mean_H)
    return int(np.where(finite_H, mean_H, np.inf).argmin()) if finite_H.any() else None


class Setting(NamedTuple):
    """A config, as an archive tells it."""

    label: str
    hparams: Mapping[str, HparamValue]
    """Empty where nothing is known."""


@dataclass(frozen=True, kw_only=True)
class Results:
    """What an archive says about its cell, without the curves of configs other than the best.

    Metrics are keyed as in archives, e.g. `eval/test/loss`; `eval/*/accuracy` only where it was recorded.
    """

    task: str
    hparam_set: str
    url: str
    """Of the archive."""
    data_source: str | None
    """`real` or the kind of stand-in; None in the original's archives, which are of real data."""
    settings: tuple[Setting, ...]
    """(H,), in the order of the set."""
    num_steps: int
    eval_xs: Array
    """(E,), int64, the steps of the evaluations."""
    final: Mapping[str, Array]
    """(H, S), each metric in the last evaluation; NaN of trials that diverged."""
    best: int | None
    """Index of the best config; None if all configs diverged."""
    best_curves: Mapping[str, Array]
    """(S, E), each metric of the best config; empty if there is none."""
    diverged: Array
    """(H, S), bool: a loss is not finite, of a training batch or in the last evaluation."""
    seconds_per_step: float | None
    """Mean over trials of wall-clock time per trial and step; None if it is not known."""

    @property
    def best_label(self) -> str | None:
        """Label of the best config."""
        return None if self.best is None else self.settings[self.best].label

    @property
    def is_stand_in(self) -> bool:
        """Whether the data were generated in place of real ones."""
        return self.data_source not in (None, "real")

    def hparam(self, name: str) -> Array:
        """(H,), float64: a hyperparameter of each config, NaN where it has none or it is no number."""
        values = (setting.hparams.get(name) for setting in self.settings)
        is_number = ((v, isinstance(v, float | int) and not isinstance(v, bool)) for v in values)
        return np.array([v if number else np.nan for v, number in is_number], dtype=np.float64)


@dataclass(frozen=True, kw_only=True)
class Absent:
    """A cell without an archive that can be summarised."""

    task: str
    hparam_set: str
    url: str
    error: StorageError

    @property
    def reason(self) -> str:
        """In words: `missing`, `not evaluated` or `unreadable`."""
        if isinstance(self.error, MissingFileError):
            return "missing"
        return "not evaluated" if isinstance(self.error, NotEvaluatedError) else "unreadable"


def read_results(
    tasks: str | Sequence[str], sets: str | Sequence[str], root: str | None = None
) -> list[Results | Absent]:
    """`read_cells` of tasks crossed with sets, names or globs, as for `archives.find_cells`."""
    return read_cells(find_cells(tasks, sets, root), root)


def read_cells(cells: Iterable[tuple[str, str]], root: str | None = None) -> list[Results | Absent]:
    """Read many archives at a time.

    Args:
        cells: (task, set) of each.
        root: Root of the archives; `storage.archives_dir()` if `None`.

    Returns:
        One a cell, in their order; one that cannot be read does not cost the others.
    """
    return storage.thread_map(lambda cell: _read(*cell, root), cells)


def require_any(results: list[Results | Absent], root: str | None = None) -> list[Results | Absent]:
    """Give the results back, unless there is no archive at all.

    Args:
        results: From `read_results`.
        root: Where they were read from; `storage.archives_dir()` if `None`.

    Raises:
        MissingFileError: Every archive is missing; says where else there are some.
    """
    if not all(isinstance(result, Absent) and result.reason == "missing" for result in results):
        return results
    root = storage.archives_dir() if root is None else storage.clean_root(root)
    asked = [(result.task, result.hparam_set) for result in results]
    named = ", ".join(f"`{hparam_set}` of `{task}`" for task, hparam_set in asked[:3])
    cells = "" if asked in ([], [("*", "*")]) else f" of {named}"
    more = f" and {len(asked) - 3} more" if len(asked) > 3 else ""
    there = storage.list_folders(f"{root}_synthetic")
    hint = f"; there are archives of results on stand-in data in `{root}_synthetic`" if there else ""
    raise MissingFileError(f"no archives{cells}{more} in `{root}`{hint}")


def _read(task: str, hparam_set: str, root: str | None) -> Results | Absent:
    url = storage.archive_path(task, hparam_set, root)
    try:
        return summarize(storage.read_npz(url, _KEYS), task, hparam_set, url)
    except MissingFileError:
        error = MissingFileError(f"no archive of `{hparam_set}` for task `{task}` at `{url}`")
        return Absent(task=task, hparam_set=hparam_set, url=url, error=error)
    except StorageError as error:  # also of this file alone: no permission, a folder in its place
        return Absent(task=task, hparam_set=hparam_set, url=url, error=error)


def summarize(archive: Mapping[str, Array], task: str, hparam_set: str, url: str) -> Results:
    """Summarise an archive.

    Args:
        archive: Its arrays.
        task: Name of the task, as its folder says it: the original's archives hold another.
        hparam_set: Name of the set.
        url: Where the archive lies, for errors.

    Raises:
        CorruptFileError: A key is missing, of a wrong shape or no numbers.
        NotEvaluatedError: There are no evaluations.
    """
    check_curves(archive, url, ("eval/xs", "eval/train/loss"))
    metrics = {key: archive[key] for key in _METRICS if key in archive}
    check_curves(archive, url, metrics)
    diverged = ~(
        np.isfinite(archive["train/loss"]).all(-1) & np.isfinite(archive["eval/train/loss"][..., -1])
    )
    final = {key: np.where(diverged, np.nan, values[..., -1]) for key, values in metrics.items()}
    best = best_config(final["eval/train/loss"])
    seconds = archive.get("seconds_per_step")
    return Results(
        task=task,
        hparam_set=hparam_set,
        url=url,
        data_source=_data_source(archive),
        settings=settings(archive, hparam_set),
        num_steps=archive["train/loss"].shape[-1] - 1,
        eval_xs=archive["eval/xs"][0, 0],
        final=final,
        best=best,
        best_curves={} if best is None else {key: values[best] for key, values in metrics.items()},
        diverged=diverged,
        seconds_per_step=None if seconds is None or np.isnan(seconds).all() else float(np.nanmean(seconds)),
    )


def _data_source(archive: Mapping[str, Array]) -> str | None:
    """One trial on stand-in data makes all of it a stand-in."""
    kinds = [str(kind) for kind in archive["data_source"].flat] if "data_source" in archive else []
    return next((kind for kind in kinds if kind != "real"), kinds[0] if kinds else None)


def has_evaluations(archive: Mapping[str, Array]) -> bool:
    """Whether an archive has evaluations, or should: not if it was made with `eval_batches=0`.

    Args:
        archive: Its arrays; `eval_batches` must be among them if it is there.
    """
    has_some = any(key.startswith("eval/") for key in archive)
    return has_some or "eval_batches" not in archive or not np.all(archive["eval_batches"] == 0)


def check_curves(archive: Mapping[str, Array], url: str, keys: Iterable[str]) -> None:
    """Check that curves are there and stacked: (H, S, points), equally long ones under `train/` and `eval/`.

    Of what else is used of an archive, that it is stacked likewise, (H, S). Of all, that it is numbers or
    text as it should be.

    Args:
        archive: Its arrays.
        url: Where the archive lies.
        keys: The curves; `train/loss` is always one of them.

    Raises:
        CorruptFileError: Names the file and the key.
        NotEvaluatedError: The curves that are not there are evaluations, and nothing was evaluated.
    """
    keys = ("train/loss", *keys)
    if lacking := [key for key in keys if key not in archive]:
        if all(key.startswith("eval/") for key in lacking) and not has_evaluations(archive):
            raise NotEvaluatedError(
                f"`{url}` was not evaluated (eval_batches=0): it lacks {', '.join(lacking)}"
            )
        raise CorruptFileError(
            f"`{url}` is no complete archive: it lacks {', '.join(lacking)} (it has {', '.join(archive)})"
        )
    lengths = {
        room: archive[f"{room}/xs"].shape[-1:] for room in ("train", "eval") if f"{room}/xs" in archive
    }
    leading = archive["train/loss"].shape[:2]
    for key in keys:
        shape, needed = archive[key].shape, (*leading, *lengths.get(key.partition("/")[0], ()))
        if len(shape) != 3 or 0 in shape or shape[: len(needed)] != needed:
            raise CorruptFileError(
                f"`{url}` is no archive: `{key}` needs shape (configs, repetitions, points), "
                f"here {needed}, got {shape}"
            )
        _check_kind(archive[key], "iuf", key, url)
    for key in sorted(_FACTS.keys() & archive.keys()):
        if archive[key].shape != leading:
            raise CorruptFileError(
                f"`{url}` is no archive: `{key}` needs shape (configs, repetitions), "
                f"here {leading}, got {archive[key].shape}"
            )
        _check_kind(archive[key], _FACTS[key], key, url)


def _check_kind(values: Array, kinds: str, key: str, url: str) -> None:
    if values.dtype.kind not in kinds:
        needed = {"U": "text", "iu": "integers"}.get(kinds, "numbers")
        raise CorruptFileError(f"`{url}` is no archive: `{key}` needs {needed}, got {values.dtype}")


def settings(archive: Mapping[str, Array], hparam_set: str) -> tuple[Setting, ...]:
    """The configs of an archive, (H,): as its curves tell them, else as its set does, else numbered.

    Args:
        archive: Its arrays.
        hparam_set: Name of the set.
    """
    num_configs = archive["train/loss"].shape[0]
    if {"opt_name", "gin_operative_config"} <= archive.keys():
        named = zip(archive["opt_name"][:, 0], archive["gin_operative_config"][:, 0], strict=True)
        told = tuple(setting_of(str(name), str(text)) for name, text in named)
        if len({setting.label for setting in told}) == num_configs:
            return told
    try:
        configs = get_hparam_set(hparam_set).configs
    except OptsuiteError:
        configs = ()
    if len(configs) == num_configs:
        return tuple(Setting(config.label, config.hparams) for config in configs)
    return tuple(Setting(f"config{h}", {}) for h in range(num_configs))


def setting_of(opt_name: str, config_text: str) -> Setting:
    """The config of a curve.

    Args:
        opt_name: In curves of ours the label; in the original's a name that different configs may share.
        config_text: Ours is JSON; the original's is Gin, with the label and the learning rate in it.
    """
    try:
        hparams = {**json.loads(config_text)["hparams"]}
        told = {k: tuple(v) if isinstance(v, list) else v for k, v in hparams.items()}
        return Setting(opt_name, {k: v for k, v in told.items() if isinstance(v, float | int | str | tuple)})
    except (ValueError, LookupError, TypeError):
        label = re.search(r"^inner_train_task\.opt_name = '([^']+)'", config_text, re.MULTILINE)
        lr = re.search(r"^\w+\.learning_rate = ([-+.\de]+)$", config_text, re.MULTILINE)
        return Setting(label[1] if label else opt_name, {"lr": float(lr[1])} if lr else {})
