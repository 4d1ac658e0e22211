"""The value that every uncertain number is."""

from typing import NamedTuple


class Interval(NamedTuple):
    """Estimate with its confidence interval."""

    value: float
    low: float
    """Lower limit; NaN where there is no interval, as with one seed."""
    high: float
    level: float = 0.95
    """Share of intervals that hold the truth."""
