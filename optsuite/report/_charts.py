"""The numbers of the page's charts: as JSON, thinned and rounded, for a script; as tables for readers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from optsuite import statistics, vis
from optsuite._types import Array
from optsuite.report._contents import Contents, Group, Key, final
from optsuite.report._tuning import Tuning
from optsuite.report._words import number, shown
from optsuite.statistics import TRAIN_LOSS, Interval, Results

KINDS = {
    "curves": "Training loss",
    "lr": "Learning rates",
    "best-of": "Tuning",
    "profiles": "Performance profiles",
}
"""Kinds of charts and their headings."""

_MOST_POINTS = 201
_DECAY, _LOOK_BACK = 0.9, 20
_NUM_STEPS_IN_TABLE = 5


class Chart(NamedTuple):
    """Chart of a task, or of all, as its template needs it."""

    kind: str
    title: str
    caption: str
    head: Sequence[str]
    """Head of the table of its numbers."""
    rows: Sequence[Sequence[str]]
    """Rows of the table of its numbers, beginning with the optimizer."""


def groups(contents: Contents) -> list[Group]:
    """Return the tasks of the page in order, those of real data first."""
    return sorted(contents.best, key=lambda group: group.is_stand_in)


def charts(contents: Contents, group: Group) -> list[Chart]:
    """Return the charts of a task; none if nothing can be drawn."""
    cells = {contents.name(one): one for one in _cells(contents, group)}
    if not cells:
        return []
    made = [_curves_chart(cells)]
    if with_rates := {name: vis.lr_line(one) for name, one in cells.items() if vis.has_lr_line(one)}:
        tunings = {name: contents.tuning[Key.of(one)] for name, one in cells.items()}
        made.append(_lr_chart(with_rates, tunings))
    if tried := best_of(contents, group):
        made.append(_best_of_chart(tried))
    return made


def profiles_chart(contents: Contents) -> Chart | None:
    """Return the chart of performance profiles; None without a verdict that has some."""
    verdict = contents.verdict
    if verdict is None or not len(verdict.scores) or not verdict.standings:
        return None
    told = np.arange(len(verdict.scores))[vis.profile_span([one.profile for one in verdict.standings])]
    picked = told[np.unique(np.linspace(0, len(told) - 1, 7).round().astype(int))]
    head = ("optimizer", *(f"score {number(score)}" for score in verdict.scores[picked]))
    rows = [(one.optimizer, *(_range(*one.profile[:, i]) for i in picked)) for one in verdict.standings]
    caption = (
        "Share of tasks and seeds with at least a score, with its band; 1 is the reference's final loss."
    )
    return Chart("profiles", KINDS["profiles"], caption, head, rows)


def as_json(contents: Contents) -> str:
    """Return the data of all charts as JSON that a script element may hold."""
    main = (contents.verdict.of, contents.verdict.reference) if contents.verdict else ()
    looks = [
        {"name": shown(name), "main": name in main, **_look(place)} for name, place in contents.places.items()
    ]
    data = {
        "looks": looks,
        "groups": [_group(contents, group) for group in groups(contents)],
        "profiles": {"lines": _profiles(contents)},
    }
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _profiles(contents: Contents) -> list[dict[str, Any]]:
    verdict = contents.verdict
    if verdict is None or not len(verdict.scores):
        return []
    span = vis.profile_span([one.profile for one in verdict.standings])
    scores = _rounded(verdict.scores[span])
    return [
        {"place": contents.places[one.optimizer], "x": scores, **_band(*one.profile[:, span])}
        for one in verdict.standings
    ]


def _look(place: int) -> dict[str, Any]:
    color, dashes = vis.look(place)
    return {"color": color, "dash": dashes}


def _cells(contents: Contents, group: Group) -> list[Results]:
    """Return the cells of a task that have a curve, the lowest at the end first."""
    there = [one for one in contents.results if Group.of(one) == group and one.best is not None]
    return sorted(there, key=lambda one: float(np.nan_to_num(final(one, TRAIN_LOSS).mean(), nan=np.inf)))


def _group(contents: Contents, group: Group) -> dict[str, Any]:
    tried = best_of(contents, group)
    lines = [_line(contents, one, tried.get(contents.name(one), ())) for one in _cells(contents, group)]
    return {"task": shown(group.task), "lines": lines}


def _line(contents: Contents, one: Results, tried: Sequence[Interval]) -> dict[str, Any]:
    xs, mean, low, high = _curve(one)
    return {
        "place": contents.places[contents.name(one)],
        "x": xs.tolist(),
        **_band(mean, low, high),
        "seconds": one.seconds_per_step,
        "flops": one.flops_per_step,
        "final": _round(float(final(one, TRAIN_LOSS).mean())),
        "start": _round(float(one.best_curves[TRAIN_LOSS][:, 0].max())),
        "lr": _rates(contents, one) if vis.has_lr_line(one) else None,
        "best-of": _band(*np.array([loss[:3] for loss in tried], float).T) if tried else None,
    }


def _curve(one: Results) -> tuple[Array, Array, Array, Array]:
    """Return steps, and mean, lowest and highest loss of the seeds: moving averages, thinned, each (P,)."""
    loss_SE, xs = one.best_curves[TRAIN_LOSS].astype(np.float64), one.eval_xs
    decay = min(_DECAY, max(0.0, 1 - _LOOK_BACK / len(xs)))
    with np.errstate(over="ignore", invalid="ignore"):
        mean, low, high = (f(loss_SE, axis=0) for f in (np.mean, np.min, np.max))
        if decay:
            mean, low, high = (statistics.ema(values, decay) for values in (mean, low, high))
    kept = np.unique(np.linspace(0, len(xs) - 1, min(len(xs), _MOST_POINTS)).round().astype(int))
    return xs[kept], mean[kept], low[kept], high[kept]


def _rates(contents: Contents, one: Results) -> dict[str, Any]:
    line, tuning = vis.lr_line(one), contents.tuning[Key.of(one)]
    sides = {0: -1, len(line.lr) - 1: 1} if tuning.is_at_edge and len(line.lr) > 1 else {}
    return {
        "x": _rounded(line.lr),
        **_band(line.mean, line.low, line.high),
        "lost": line.diverged.tolist(),
        "best": line.best,
        "plateau": _rounded(tuning.plateau) if tuning.plateau else None,
        "edge": 0 if line.best is None else sides.get(line.best, 0),
    }


def best_of(contents: Contents, group: Group) -> dict[str, Sequence[Interval]]:
    """Return the loss of the best of k settings by optimizer, of those with three settings or more."""
    tried = {contents.name(one): contents.tuning[Key.of(one)].best_of for one in _cells(contents, group)}
    return {name: losses for name, losses in tried.items() if len(losses) > 2}


# Tables of the numbers


def _curves_chart(cells: Mapping[str, Results]) -> Chart:
    end = max(one.num_steps for one in cells.values())
    steps = np.unique(np.linspace(0, end, _NUM_STEPS_IN_TABLE).round().astype(int))
    rows = []
    for name, one in cells.items():
        xs, *values = _curve(one)
        at = [int(np.searchsorted(xs, step, side="right")) - 1 for step in steps]
        told = [
            "" if step > xs[-1] else _range(*(value[i] for value in values))
            for step, i in zip(steps, at, strict=True)
        ]
        rows.append((name, *told))
    caption = (
        "Best setting of each optimizer: mean over seeds, within their range; a moving average of "
        "evaluations on training data. Drag to zoom, double-click to see all."
    )
    return Chart(
        "curves", KINDS["curves"], caption, ("optimizer", *(f"step {step:,}" for step in steps)), rows
    )


def _lr_chart(lines: Mapping[str, vis.LrLine], tunings: Mapping[str, Tuning]) -> Chart:
    rates = np.unique(np.concatenate([line.lr for line in lines.values()]))
    rows = []
    for name, line in lines.items():
        best = "" if line.best is None else f"{line.lr[line.best]:.3g}"
        best += ", at the edge" * tunings[name].is_at_edge
        plateau = tunings[name].plateau
        told = {
            rate: _range(*values)
            for rate, *values in zip(line.lr, line.mean, line.low, line.high, strict=True)
        }
        width = f"{plateau[0]:.2g} to {plateau[1]:.2g}" if plateau else ""
        rows.append((name, best, width, *(told.get(rate, "") for rate in rates)))
    caption = (
        "Final training loss by learning rate, bars from the lowest to the highest seed. Star: chosen; thick "
        "line: plateau, where others are nearly as good (if at most 8 optimizers are shown); arrow: chosen "
        "at the edge of its grid; cross: a seed diverged."
    )
    return Chart(
        "lr", KINDS["lr"], caption, ("optimizer", "best", "plateau", *(f"{rate:.3g}" for rate in rates)), rows
    )


def _best_of_chart(tried: Mapping[str, Sequence[Interval]]) -> Chart:
    most = max(map(len, tried.values()))
    rows = [
        (name, *(_range(*one[:3]) for one in many), *[""] * (most - len(many)))
        for name, many in tried.items()
    ]
    caption = "Final loss of the best of so many settings drawn at random, with its interval."
    return Chart("best-of", KINDS["best-of"], caption, ("optimizer", *map(str, range(1, most + 1))), rows)


def _range(value: float, low: float, high: float) -> str:
    if not np.isfinite(value):
        return "diverged"
    return (
        number(value)
        if not np.isfinite([low, high]).all() or low == high
        else f"{number(value)} [{number(low)}, {number(high)}]"
    )


# Rounding


def _band(mid: Iterable[float], low: Iterable[float], high: Iterable[float]) -> dict[str, list[float | None]]:
    return {"mid": _rounded(mid), "low": _rounded(low), "high": _rounded(high)}


def _rounded(values: Iterable[float]) -> list[float | None]:
    return [_round(value) for value in np.asarray(values, np.float64).tolist()]


def _round(value: float) -> float | None:
    """Return a number of four digits; None if it is not finite, which JSON cannot hold."""
    return float(f"{value:.4g}") if np.isfinite(value) else None
