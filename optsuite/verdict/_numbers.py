"""Numbers of verdicts in words: ratios, losses and intervals, where words stand for what is no number."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from optsuite.statistics import Interval
from optsuite.verdict._value import Entry, Verdict
from optsuite.words import shown


def ratio(value: float) -> str:
    """Return a ratio in words: `0.83`, `12.3`, `0.0021`."""
    if not math.isfinite(value):
        return "diverged"
    return f"{value:.2f}" if 0.095 <= value < 10 else f"{value:#.3g}".rstrip(".") if value else "0"


def loss(value: float) -> str:
    """Return a loss in words, with four digits."""
    return f"{value:#.4g}".rstrip(".") if math.isfinite(value) else "diverged"


def has_limits(interval: Interval) -> bool:
    """Whether there is an interval around the estimate: not with one seed."""
    return not (math.isnan(interval.low) or math.isnan(interval.high))


def ranged(interval: Interval | None, words: Callable[[float], str], without: str) -> str:
    """Return an estimate with its interval, `0.83 [0.79, 0.90]`.

    Args:
        interval: The estimate; None if there is none.
        words: Function that words one number.
        without: Reason why there is no estimate.
    """
    if interval is None or math.isnan(interval.value):
        return without
    value = words(interval.value)
    if not has_limits(interval):
        return f"{value} (one seed)"
    return f"{value} [{words(interval.low)}, {words(interval.high)}]"


def inverse(interval: Interval) -> Interval:
    """Return the interval of 1 / x for that of x > 0."""
    value, low, high = (math.nan if math.isnan(x) else math.inf if x == 0 else 1 / x for x in interval[:3])
    return Interval(value, high, low, interval.level)


def several(words: Sequence[str]) -> str:
    """Return words in a row: `a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def entries_of(verdict: Verdict, optimizer: str) -> list[Entry]:
    """Return the entries of an optimizer, in the order of the tasks."""
    return [entry for entry in verdict.entries if entry.optimizer == optimizer]


def setting_of(entry: Entry) -> str:
    """Return the best setting in words: `lr 0.003`, or its label if not one hyperparameter varies."""
    if entry.best is None:
        return entry.why_no_best
    name = varied(entry)
    return shown(f"{name} {entry.best.hparams[name]:g}" if name else entry.best.label, 60)


def varied(entry: Entry) -> str | None:
    """Return the one hyperparameter that varies between the settings; None if there are none or several."""
    configs = entry.evaluations.configs
    names = {name for config in configs for name in config.hparams}
    changing = [name for name in names if len({repr(config.hparams.get(name)) for config in configs}) > 1]
    is_one = len(changing) == 1 and all(
        isinstance(value := config.hparams.get(changing[0]), float | int) and not isinstance(value, bool)
        for config in configs
    )
    return changing[0] if is_one else None
