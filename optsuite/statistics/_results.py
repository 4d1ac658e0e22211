"""Summaries of archives: final losses, the best config, what diverged.

The best config has the smallest loss in the last evaluation on training data, mean over seeds, as in
learned_optimization (`baselines/vis.py`). A seed that diverged makes the mean NaN, also if it did so after
the last evaluation. A mean that is not finite ranks behind every finite one; where none is finite there is
no best config. Nor is there one where nothing was evaluated after a step: what was not trained is never best.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple, final

import numpy as np

from optsuite import archives
from optsuite._types import Array
from optsuite.archives import Absent, Archive, Facts
from optsuite.curves import EVAL_SPLITS, Curve

TRAIN_LOSS = "eval/train/loss"
"""Key of the evaluated loss that decides which config is best, and whether a trial diverged."""

_METRICS = tuple(f"eval/{split}/{metric}" for split in EVAL_SPLITS for metric in ("loss", "accuracy"))


def ema(values: Array, decay: float) -> Array:
    """Return the exponential moving average along the last axis, started at the first value.

    y[0] = x[0], y[i] = decay y[i-1] + (1 - decay) x[i]; what is not finite leaves nothing finite behind it.

    Args:
        values: (..., E).
        decay: Share of the average that a step keeps, in [0, 1); 0 gives the values themselves.

    Source: learned_optimization, `baselines/normalizers.py: ema`, in the dtype of `values`, to the bit.
    """
    averaged = np.array(values)
    gains = (1 - decay) * averaged
    for i in range(1, averaged.shape[-1]):
        averaged[..., i] = averaged[..., i - 1] * decay + gains[..., i]
    return averaged


def evaluated_loss(archive: Archive) -> tuple[Array, Array]:
    """Return the steps of the evaluations, and the training loss in them.

    Returns:
        (E,), int64, and (H, S, E), NaN from the step on at which a training batch had a loss that is not
        finite: such a trial has diverged, whatever its evaluations say.

    Raises:
        CorruptFileError: A key is missing, of a wrong shape or no numbers.
        NotEvaluatedError: There are no evaluations.
    """
    curves = archive.curves("eval/xs", TRAIN_LOSS)
    eval_xs = curves["eval/xs"][0, 0]
    is_lost_HST = ~np.isfinite(archive.arrays["train/loss"])
    lost_at_HS = np.where(is_lost_HST.any(-1), is_lost_HST.argmax(-1), np.inf)
    return eval_xs, np.where(eval_xs >= lost_at_HS[..., None], np.nan, curves[TRAIN_LOSS])


def best_config(final_loss_HS: Array) -> int | None:
    """Return the index of the config with the smallest loss, mean over seeds; None if no mean is finite.

    Args:
        final_loss_HS: (H, S), loss of the last evaluation on training data.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # a mean that is not finite is a result
        mean_H = final_loss_HS.mean(axis=1)
    finite_H = np.isfinite(mean_H)
    return int(np.where(finite_H, mean_H, np.inf).argmin()) if finite_H.any() else None


@final
@dataclass(frozen=True, kw_only=True)
class Results(Facts):
    """Summary of an archive, without the curves of configs other than the best."""

    eval_xs: Array
    """(E,), int64, the steps of the evaluations."""
    final: Mapping[str, Array]
    """(H, S) by key, e.g. `eval/test/loss`: each metric in the last evaluation, NaN of trials that diverged.

    `eval/*/accuracy` only where it was recorded."""
    best: int | None
    """Index of the best config; None if all configs diverged or none was evaluated after a step."""
    best_curves: Mapping[str, Array]
    """(S, E) by key, each metric of the best config; empty if there is none."""
    diverged: Array
    """(H, S), bool: whether a loss is not finite, of a training batch or in the last evaluation."""
    seconds_per_step: float | None
    """Mean over the trials that were timed of wall-clock time per trial and step; None if none was."""
    flops_per_step: float | None
    """Floating-point operations per trial and step; None where they are not known."""

    @property
    def best_label(self) -> str | None:
        """Label of the best config."""
        return None if self.best is None else self.configs[self.best].label

    @property
    def is_evaluated(self) -> bool:
        """Whether an evaluation came after a step."""
        return _comes_after_a_step(self.eval_xs)

    @property
    def why_no_best(self) -> str:
        """Reason why there is no best config, in words; empty if there is one."""
        if self.best is not None:
            return ""
        return "all diverged" if self.is_evaluated else "not evaluated after training"


class Summary(NamedTuple):
    """Final results of one config of a cell."""

    final: dict[str, float]
    """Loss in the last evaluation, mean over seeds, by split; NaN if a seed diverged.

    Empty if nothing was evaluated after a step: such a config is neither best nor lost."""
    num_diverged: int
    num_trials: int


def read_results(
    tasks: str | Sequence[str], sets: str | Sequence[str], root: str | None = None
) -> list[Results | Absent]:
    """Read tasks crossed with sets, names or globs, as for `archives.find_cells`."""
    return read_cells(archives.find_cells(tasks, sets, root), root)


def read_cells(
    cells: Iterable[tuple[str, str]], root: str | None = None, store: str = ""
) -> list[Results | Absent]:
    """Summarize many archives; one that cannot be read does not cost the others.

    Args:
        cells: (task, set) of each.
        root: Root of the archives; `storage.archives_dir()` if `None`.
        store: Label of the store; the root if empty.
    """
    return archives.read_each(cells, summarize, root, store)


def summarize(archive: Archive) -> Results:
    """Summarize an archive.

    Raises:
        CorruptFileError: A key is missing, of a wrong shape or no numbers.
        NotEvaluatedError: There are no evaluations.
    """
    others = (key for key in _METRICS if key != TRAIN_LOSS and key in archive.arrays)
    metrics = archive.curves("eval/xs", TRAIN_LOSS, *others)
    eval_xs = metrics.pop("eval/xs")[0, 0]
    diverged, final = _ends(archive.arrays["train/loss"], metrics)
    best = best_config(final[TRAIN_LOSS]) if _comes_after_a_step(eval_xs) else None
    seconds, flops = archive.values("seconds_per_step"), archive.values("flops_per_step")
    timed = np.empty(0) if seconds is None else seconds[np.isfinite(seconds) & (seconds > 0)]
    return Results(
        **{field.name: getattr(archive, field.name) for field in fields(Facts)},
        eval_xs=eval_xs,
        final=final,
        best=best,
        best_curves={} if best is None else {key: values[best] for key, values in metrics.items()},
        diverged=diverged,
        seconds_per_step=float(np.mean(timed)) if len(timed) else None,
        flops_per_step=None if flops is None or not flops.max() > 0 else float(flops.max()),
    )


def summarize_curves(recorded: Sequence[Curve]) -> Summary:
    """Summarize the repetitions of one config, at least one, by the rules of `summarize`."""
    keys = ("train/loss", "eval/xs", *(f"eval/{split}/loss" for split in EVAL_SPLITS))
    curves = {key: np.stack([c[key] for c in recorded]) for key in keys if all(key in c for c in recorded)}
    train_loss, eval_xs = curves.pop("train/loss"), curves.pop("eval/xs", np.zeros((1, 1)))
    diverged, final = _ends(train_loss, curves)
    with np.errstate(over="ignore", invalid="ignore"):  # a mean that is not finite is a result
        means = {key.split("/")[1]: float(losses_S.mean()) for key, losses_S in final.items()}
    return Summary(means if _comes_after_a_step(eval_xs[0]) else {}, int(diverged.sum()), len(recorded))


def _comes_after_a_step(eval_xs: Array) -> bool:
    """Return whether the last evaluation came after a step, so that it tells of what was trained."""
    return bool(eval_xs[-1] > 0)


def _ends(train_loss: Array, metrics: Mapping[str, Array]) -> tuple[Array, dict[str, Array]]:
    """Return which trials diverged, and each metric in the last evaluation, NaN of those that did.

    Args:
        train_loss: (..., num_steps + 1).
        metrics: (..., E) by key; the evaluated training loss has a say in what diverged.

    Returns:
        (...), bool, and (...) by key.
    """
    diverged: Array = np.asarray(~np.isfinite(train_loss).all(-1))
    if TRAIN_LOSS in metrics:
        diverged |= ~np.isfinite(metrics[TRAIN_LOSS][..., -1])
    return diverged, {key: np.where(diverged, np.nan, values[..., -1]) for key, values in metrics.items()}
