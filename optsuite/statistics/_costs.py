"""Ratios in time and in floating-point operations, where two optimizers can be compared."""

from __future__ import annotations

import numpy as np

from optsuite._types import Array
from optsuite.statistics._evaluations import Evaluations


def time_ratio(steps_ratio: Array, of: Evaluations, reference: Evaluations) -> Array | None:
    """Return the ratio of wall-clock times to the reference's final loss.

    Args:
        steps_ratio: (...), ratio of the steps, as in `Resampled.steps_ratio`.
        of: Evaluations of the optimizer.
        reference: Evaluations of the reference.

    Returns:
        (...); None where they were not timed on one device in one store. Steps are timed by the median over
        all trials of a cell, whose own error is not in the result.
    """
    seconds = [_seconds_per_step(one) for one in (of, reference)]
    if not of.device or of.device != reference.device or _place(of) != _place(reference):
        return None
    return None if seconds[0] is None or seconds[1] is None else steps_ratio * (seconds[0] / seconds[1])


def flops_ratio(steps_ratio: Array, of: Evaluations, reference: Evaluations) -> Array | None:
    """Return the ratio of floating-point operations, as `time_ratio` does; None where they are not known."""
    if of.flops_per_step is None or reference.flops_per_step is None:
        return None
    return steps_ratio * (of.flops_per_step / reference.flops_per_step)


def _place(one: Evaluations) -> str:
    """Return where evaluations come from: the root of an archive, or the making of packaged ones."""
    return one.origin.rsplit("/", 2)[0] if one.source == "own" else one.origin


def _seconds_per_step(one: Evaluations) -> float | None:
    """Return the median time of a step, None if none was measured."""
    seconds = np.empty(0) if one.seconds_per_step is None else one.seconds_per_step
    timed = seconds[np.isfinite(seconds) & (seconds > 0)]
    return float(np.median(timed)) if len(timed) else None
