"""Table of all cells: the best config of each, and words where there can be no number."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from optsuite.archives import Absent
from optsuite.curves import EVAL_SPLITS
from optsuite.report._contents import Contents, Group, final
from optsuite.report._words import number
from optsuite.statistics import TRAIN_LOSS, Results


class _Entry(NamedTuple):
    """Entry of the table."""

    text: str
    note: str = ""
    """Smaller text below."""
    order: float | None = None
    """Number by which its column is sorted; its text if None."""
    kind: str = ""
    """Looks: `number`, `best` (a number) or `words` (in place of a number)."""
    href: str = ""
    span: int = 1


class _Table(NamedTuple):
    head: Sequence[str]
    groups: Sequence[Sequence[Sequence[_Entry]]]
    """Tasks, their cells, and the entries of each."""


_LOSSES = {f"eval/{split}/loss": f"{split} loss" for split in EVAL_SPLITS}
_ACCURACY = "eval/test/accuracy"
_COUNTS = ("diverged", "steps/s", "seeds", "steps")


def summary(contents: Contents) -> _Table | None:
    """Return the table; None if there are no cells."""
    has_accuracy = any(_ACCURACY in one.final for one in contents.results)
    metrics = _LOSSES | ({_ACCURACY: "test accuracy, %"} if has_accuracy else {})
    groups: dict[str, list[list[_Entry]]] = {}
    for one in contents.cells:
        if isinstance(one, Absent):
            row = _absent_row(one, len(metrics))
        else:
            row = _row(one, metrics, is_best=one is contents.best[Group.of(one)][one.num_steps])
        groups.setdefault(one.task, []).append(row)
    head = ("task", "hparam set", "data", "best config", *metrics.values(), *_COUNTS)
    return _Table(head, list(groups.values())) if groups else None


def _row(one: Results, metrics: Iterable[str], is_best: bool) -> list[_Entry]:
    num_trials, num_diverged = one.diverged.size, int(one.diverged.sum())
    looks = "number" if num_diverged else "number none"
    return [
        _Entry(one.task, href=f"#{Group.of(one).anchor}"),
        _Entry(one.hparam_set),
        _Entry("stand-in", kind="stand-in") if one.is_stand_in else _Entry("real"),
        _Entry(one.best_label) if one.best_label else _Entry(one.why_no_best, kind="words"),
        *(_metric(one, metric, is_best) for metric in metrics),
        _Entry(f"{num_diverged} of {num_trials}", order=num_diverged / num_trials, kind=looks),
        _number(1 / one.seconds_per_step, number) if one.seconds_per_step else _no_number("not known"),
        _number(one.diverged.shape[1], str),
        _number(one.num_steps, "{:,}".format),
    ]


def _metric(one: Results, metric: str, is_best: bool) -> _Entry:
    """Return a metric of the best config: mean over seeds, with the smallest and the largest."""
    if one.best is None:
        return _no_number("diverged" if one.is_evaluated else "not evaluated")
    if metric not in one.final:
        return _no_number("not recorded")
    values_S = final(one, metric) * (100 if metric == _ACCURACY else 1)
    if not np.isfinite(values_S).all():
        return _no_number("not finite")
    note = f"{number(values_S.min())}\N{EN DASH}{number(values_S.max())}" if len(values_S) > 1 else ""
    kind = "number best" if is_best and metric == TRAIN_LOSS else "number"
    return _Entry(number(values_S.mean()), note, float(values_S.mean()), kind)


def _no_number(words: str) -> _Entry:
    return _Entry(words, kind="number words")


def _number(value: float, show: Callable[[float], str]) -> _Entry:
    return _Entry(show(value), order=value, kind="number")


def _absent_row(absent: Absent, num_metrics: int) -> list[_Entry]:
    span = 2 + num_metrics + len(_COUNTS)
    why = _Entry(absent.why_no_best, kind="words", span=span)
    return [_Entry(absent.task), _Entry(absent.hparam_set), why]
