"""Reading two stores, pairing their trials, and telling changes from noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from optsuite import archives, statistics, storage
from optsuite._types import Array
from optsuite.archives import Absent, Archive
from optsuite.comparison import _noise
from optsuite.comparison._rounds import Rounds, rounds_of
from optsuite.comparison._tails import t_limit
from optsuite.comparison._value import FALSE_ALARMS, Change, ComparedCell, Comparison, Divergence, Slowdown
from optsuite.errors import OptsuiteError
from optsuite.statistics import Evaluations, Interval
from optsuite.storage import MissingFileError
from optsuite.words import counted, listed

_MOST_NAMED = 3  # settings that a note names


def compare(
    a: str,
    b: str,
    tasks: str | Sequence[str] = "*",
    sets: str | Sequence[str] = "*",
    *,
    rate: float = FALSE_ALARMS,
) -> Comparison:
    """Compare the same trials in two stores, e.g. of last night and of tonight.

    Trials are pairs where task, setting, seed, schedule, data and their versions agree. Changes of loss, of
    which trials diverge and, after `train_in_turn`, of speed are told from noise by tests that take it for a
    change in at most a share `rate` of comparisons, over all cells together.

    Args:
        a: Root of the archives before, or a folder of rounds.
        b: Root of the archives after, likewise.
        tasks: Names or globs of tasks.
        sets: Names or globs of hparam sets.
        rate: Share of comparisons in which noise alone may be taken for a change somewhere.

    Raises:
        MissingFileError: One of the two has no archive of these.
        StorageError: A storage cannot be reached.
    """
    rounds_a, rounds_b = rounds_of(a), rounds_of(b)
    first_a, first_b = rounds_a.roots[0], rounds_b.roots[0]
    read_a, read_b = (_read(root, tasks, sets) for root in (first_a, first_b))
    found: list[ComparedCell] = []
    changes: list[dict[str, Array]] = []
    for name in dict.fromkeys([*read_a, *read_b]):
        cell, change = _paired(*name, read_a.get(name), read_b.get(name))
        found.append(cell)
        changes.append(change)
    ratios = [_log_ratios(cell, rounds_a, rounds_b) for cell in found]
    cells, num_tests = _tested(found, changes, ratios, rate)
    return Comparison(a=first_a, b=first_b, cells=cells, num_tests=num_tests, rate=rate)


class _Recorded(NamedTuple):
    """A cell of one store."""

    evaluations: Evaluations
    ids: Array | None
    """(H, S), names of the trials; None in the original's archives."""
    train_loss: Array
    """(H, S, num_steps + 1)."""
    is_own: bool
    """Whether the optimizer is a class of the user's, whose code may have been edited."""


def _read(
    root: str, tasks: str | Sequence[str], sets: str | Sequence[str]
) -> dict[tuple[str, str], _Recorded | Absent]:
    cells = archives.find_cells(tasks, sets, root)
    read = archives.read_each(cells, _recorded, root)
    there = {
        cell: one
        for cell, one in zip(cells, read, strict=True)
        if not (isinstance(one, Absent) and one.reason == "missing")
    }
    if not there:
        archives.require_any(read, root)
        raise MissingFileError(f"no archives in `{root}`")
    return there


def _recorded(archive: Archive) -> _Recorded:
    texts = archive.values("gin_operative_config", "U")
    return _Recorded(
        statistics.evaluations(archive),
        archive.values("trial_id", "U"),
        archive.arrays["train/loss"],
        texts is not None and _optimizer_of(str(texts[0, 0])).count(":") > 0,
    )


def _optimizer_of(config_text: str) -> str:
    try:
        return str(storage.parse_json(config_text, "configuration")["optimizer"])
    except (OptsuiteError, LookupError, TypeError):  # the original's are no JSON
        return ""


def _paired(
    task: str, hparam_set: str, a: _Recorded | Absent | None, b: _Recorded | Absent | None
) -> tuple[ComparedCell, dict[str, Array]]:
    """Return a cell before any tests, and the relative changes of its losses, (H, S) by what they are of."""
    cell = ComparedCell(task=task, hparam_set=hparam_set)
    if not isinstance(a, _Recorded) or not isinstance(b, _Recorded):
        return replace(cell, why_not=_why_absent(a, b)), {}
    if why_not := _why_unlike(a.evaluations, b.evaluations):
        return replace(cell, why_not=why_not), {}
    pairs = _Pairs.of(a, b)
    if not (pairs.settings and pairs.seeds):
        of_what = "setting" if not pairs.settings else "seed"
        return replace(cell, why_not=f"they have no {of_what} in common"), {}
    notes = pairs.notes(a, b)
    if not pairs.have_same_ids(a.ids, b.ids):
        if not (a.is_own and b.is_own):
            why = "these are other trials: the task has another version, or its data another content"
            return replace(cell, why_not=why, notes=notes), {}
        notes.append("the code of the optimizer, the version of the task or the content of its data changed")
    losses = [pairs.of_side(side, one.evaluations.losses["train"]) for side, one in enumerate((a, b))]
    whole = [pairs.of_side(side, one.train_loss) for side, one in enumerate((a, b))]
    lost = [~np.isfinite(loss[..., -1]) for loss in losses]
    change_HSE = _noise.relative_change(*losses)
    final_HS = change_HSE[..., -1]
    has_two_H = np.isfinite(final_HS).sum(-1) >= 2
    cell = replace(
        cell,
        notes=notes,
        is_identical=all(np.array_equal(one[0], one[1], equal_nan=True) for one in (losses, whole)),
        num_settings=int(has_two_H.sum()),
        num_seeds=len(pairs.seeds),
        best=_change_of_best(*losses),
        diverged=Divergence(int((lost[0] & ~lost[1]).sum()), int((lost[1] & ~lost[0]).sum()), 1.0, False),
    )
    curve_HS = np.where(np.isfinite(final_HS), change_HSE.mean(-1), np.nan)
    return cell, {"final": final_HS, "curve": curve_HS} if has_two_H.any() else {}


def _why_absent(a: _Recorded | Absent | None, b: _Recorded | Absent | None) -> str:
    for side, one in (("A", a), ("B", b)):
        if isinstance(one, Absent):
            return f"{side}: {one.error}"
    return "only in B" if a is None else "only in A"


def _why_unlike(a: Evaluations, b: Evaluations) -> str:
    """Return the reason why two cells do not compare at all, in words; empty if they do."""
    if a.data_source != b.data_source:
        return f"the data differ: {a.data_source} in A, {b.data_source} in B"
    if a.num_steps != b.num_steps:
        return f"the horizons differ: {a.num_steps:,} steps in A, {b.num_steps:,} in B"
    if a.schedule != b.schedule or not np.array_equal(a.xs, b.xs):
        return "they were evaluated at other steps or on other numbers of batches"
    return ""


class _Pairs(NamedTuple):
    """Places of the settings and seeds that two stores have in common."""

    settings: list[tuple[int, int]]
    seeds: list[tuple[int, int]]

    @classmethod
    def of(cls, a: _Recorded, b: _Recorded) -> _Pairs:
        """Pair settings by label and hyperparameters, and seeds by number."""
        known = {one.label: (h, one.hparams) for h, one in enumerate(b.evaluations.configs)}
        settings = [
            (h, known[one.label][0])
            for h, one in enumerate(a.evaluations.configs)
            if one.label in known and known[one.label][1] == one.hparams
        ]
        places = {int(seed): s for s, seed in enumerate(b.evaluations.seeds)}
        seeds = [(s, places[int(seed)]) for s, seed in enumerate(a.evaluations.seeds) if int(seed) in places]
        return cls(settings, seeds)

    def of_side(self, side: int, values: Array) -> Array:
        """Return the part of one store's array, (H, S, ...), that the other has too."""
        return values[np.ix_([pair[side] for pair in self.settings], [pair[side] for pair in self.seeds])]

    def have_same_ids(self, a: Array | None, b: Array | None) -> bool:
        """Return whether all are pairs of one trial, as far as it is known."""
        return a is None or b is None or np.array_equal(self.of_side(0, a), self.of_side(1, b))

    def notes(self, a: _Recorded, b: _Recorded) -> list[str]:
        """Return words for the settings and seeds that only one store has."""
        notes = []
        for side, name, one in ((0, "A", a), (1, "B", b)):
            paired = {pair[side] for pair in self.settings}
            alone = [c.label for h, c in enumerate(one.evaluations.configs) if h not in paired]
            if alone:
                notes.append(f"only in {name}: {listed(alone, _MOST_NAMED)}")
            if (more := len(one.evaluations.seeds) - len(self.seeds)) > 0:
                notes.append(f"only in {name}: {counted(more, 'seed')}")
        if len(self.seeds) == 1:
            notes.append("one seed in common: at least 2 are needed to tell a change from noise")
        return notes


def _change_of_best(a_HSE: Array, b_HSE: Array) -> float | None:
    """Return the relative change of the mean final loss of the setting that is best in A."""
    means = a_HSE[..., -1].mean(-1)
    if not np.isfinite(means).any():
        return None
    best = int(np.nanargmin(means))
    change = float(_noise.relative_change(means[best], b_HSE[best, :, -1].mean()))
    return change if math.isfinite(change) else None


def _log_ratios(cell: ComparedCell, a: Rounds, b: Rounds) -> Array | None:
    """Return of each round the logarithm of B's seconds a step over A's; None if they did not take turns."""
    if cell.why_not or not a.job or a.job != b.job:
        return None
    pairs = zip(a.roots, b.roots, strict=False)  # one may have lost its last
    seconds_R2 = np.array([[_seconds(root, cell) for root in pair] for pair in pairs])
    ratios = np.log(seconds_R2[:, 1]) - np.log(seconds_R2[:, 0])
    ratios = ratios[np.isfinite(ratios)]
    return ratios if len(ratios) >= 2 else None


def _seconds(root: str, cell: ComparedCell) -> float:
    """Return the seconds that a step of a trial took, mean over trials; NaN where that is not known."""

    def mean(archive: Archive) -> float:
        seconds = archive.values("seconds_per_step")
        return math.nan if seconds is None else float(np.mean(seconds))

    (one,) = archives.read_each([(cell.task, cell.hparam_set)], mean, root)
    return math.nan if isinstance(one, Absent) or not one > 0 else one


def _tested(
    cells: Sequence[ComparedCell],
    changes: Sequence[dict[str, Array]],
    ratios: Sequence[Array | None],
    rate: float,
) -> tuple[list[ComparedCell], int]:
    """Return the cells with all tests made, and the number of tests that share the rate of false alarms.

    Cells whose losses are the same bit for bit have nothing to be tested but their speed.
    """
    p_values: dict[tuple[int, str], float] = {}
    for kind in ("final", "curve"):
        chosen = [at for at, cell in enumerate(cells) if kind in changes[at] and not cell.is_identical]
        found = _noise.loss_p_values([changes[at][kind] for at in chosen])
        p_values |= {(at, kind): p for at, p in zip(chosen, found, strict=True)}
    for at, cell in enumerate(cells):
        if cell.diverged is not None and not cell.is_identical:
            p_values[at, "diverged"] = _noise.divergence_p_value(cell.diverged.only_a, cell.diverged.only_b)
        if (ratios_R := ratios[at]) is not None:
            p_values[at, "slowdown"] = _noise.speed_p_value(ratios_R)
    flags = _noise.real_ones(list(p_values.values()), rate)
    is_real = dict(zip(p_values, flags, strict=True))
    tested = []
    for at, cell in enumerate(cells):
        results: dict[str, Change | Divergence | Slowdown] = {
            kind: _change(values, p_values.get((at, kind), 1.0), is_real.get((at, kind), False))
            for kind, values in changes[at].items()
        }
        if cell.diverged is not None and (at, "diverged") in p_values:
            key = (at, "diverged")
            results["diverged"] = cell.diverged._replace(p=p_values[key], is_real=is_real[key])
        if (ratios_R := ratios[at]) is not None:
            key = (at, "slowdown")
            error = float(ratios_R.std(ddof=1)) / math.sqrt(len(ratios_R))
            least = math.exp(t_limit(rate / len(p_values), len(ratios_R) - 1) * error)
            results["slowdown"] = Slowdown(
                _ratio(ratios_R), least, len(ratios_R), p_values[key], is_real[key]
            )
        tested.append(replace(cell, **results))  # type: ignore[arg-type]
    return tested, len(p_values)


def _change(change_HS: Array, p: float, is_real: bool) -> Change:
    means = np.array([row[np.isfinite(row)].mean() for row in change_HS if np.isfinite(row).any()])
    is_worse, is_better = means > _noise.ROUNDING, means < -_noise.ROUNDING
    return Change(float(np.nanmean(change_HS)), p, is_real, int(is_worse.sum()), int(is_better.sum()))


def _ratio(log_ratios: Array) -> Interval:
    """Return the geometric mean of ratios with its 95 % interval, by Student's t."""
    mean = float(log_ratios.mean())
    half = t_limit(0.05, len(log_ratios) - 1) * float(log_ratios.std(ddof=1))
    half /= math.sqrt(len(log_ratios))
    return Interval(math.exp(mean), math.exp(mean - half), math.exp(mean + half))
