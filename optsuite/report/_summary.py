"""Table of all cells: the best config of each, and words where there can be no number."""

from collections.abc import Callable, Iterable

import numpy as np

from optsuite.archives import Absent
from optsuite.curves import EVAL_SPLITS
from optsuite.report._contents import Contents, Group, final
from optsuite.report._tables import Cell, Table, no_number
from optsuite.report._words import number
from optsuite.statistics import TRAIN_LOSS, Results

_LOSSES = {f"eval/{split}/loss": f"{split} loss" for split in EVAL_SPLITS}
_ACCURACY = "eval/test/accuracy"
_COUNTS = ("diverged", "steps/s", "seeds", "steps")


def summary(contents: Contents) -> Table | None:
    """Return the table; None if there are no cells."""
    has_accuracy = any(_ACCURACY in one.final for one in contents.results)
    metrics = _LOSSES | ({_ACCURACY: "test accuracy, %"} if has_accuracy else {})
    groups: dict[str, list[list[Cell]]] = {one.task: [] for one in contents.cells}
    for one in sorted(contents.cells, key=_order):
        if isinstance(one, Absent):
            row = _absent_row(one, len(metrics))
        else:
            is_best = one is contents.best[Group.of(one)][one.num_steps]
            row = _row(one, metrics, contents, is_best)
        groups[one.task].append(row)
    head = ("task", "hparam set", "data", "best config", *metrics.values(), *_COUNTS)
    return Table("Results", head, groups, num_words=4) if groups else None


def _order(one: Results | Absent) -> tuple[bool, bool, int, float]:
    """Return a key by which the smallest final loss comes first, of cells that compare."""
    if isinstance(one, Absent):
        return True, True, 0, 0.0
    loss = float(final(one, TRAIN_LOSS).mean()) if one.best is not None else np.inf
    return False, one.is_stand_in, one.num_steps, loss if np.isfinite(loss) else np.inf


def _row(one: Results, metrics: Iterable[str], contents: Contents, is_best: bool) -> list[Cell]:
    num_trials, num_diverged = one.diverged.size, int(one.diverged.sum())
    packaged = "packaged" if contents.is_packaged(one) else ""
    looks = "number" if num_diverged else "number none"
    return [
        Cell(one.task, href=f"#{Group.of(one).anchor}"),
        Cell(one.hparam_set, look=contents.name(one), note=packaged),
        Cell("stand-in", kind="stand-in") if one.is_stand_in else Cell("real"),
        Cell(one.best_label, kind="setting") if one.best_label else Cell(one.why_no_best, kind="words"),
        *(_metric(one, metric, is_best) for metric in metrics),
        Cell(f"{num_diverged} of {num_trials}", order=num_diverged / num_trials, kind=looks),
        _number(1 / one.seconds_per_step, number) if one.seconds_per_step else no_number("not known"),
        _number(one.diverged.shape[1], str),
        _number(one.num_steps, "{:,}".format),
    ]


def _metric(one: Results, metric: str, is_best: bool) -> Cell:
    """Return a metric of the best config: mean over seeds, with the smallest and the largest."""
    if one.best is None:
        return no_number("diverged" if one.is_evaluated else "not evaluated")
    if metric not in one.final:
        return no_number("not recorded")
    values_S = final(one, metric) * (100 if metric == _ACCURACY else 1)
    if not np.isfinite(values_S).all():
        return no_number("not finite")
    note = f"{number(values_S.min())}\N{EN DASH}{number(values_S.max())}" if len(values_S) > 1 else ""
    kind = "number best" if is_best and metric == TRAIN_LOSS else "number"
    return Cell(number(values_S.mean()), note, float(values_S.mean()), kind)


def _number(value: float, show: Callable[[float], str]) -> Cell:
    return Cell(show(value), order=value, kind="number")


def _absent_row(absent: Absent, num_metrics: int) -> list[Cell]:
    span = 2 + num_metrics + len(_COUNTS)
    why = Cell(absent.why_no_best, kind="words", span=span)
    return [Cell(absent.task), Cell(absent.hparam_set), why]
