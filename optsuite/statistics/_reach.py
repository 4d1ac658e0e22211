"""Steps in which curves reach a loss, and the ratio of two optimizers' steps."""

from __future__ import annotations

import numpy as np

from optsuite._types import Array
from optsuite.statistics._rules import smoothed

SHORTEST = 0.01
"""Share of the horizon that counts as the shortest way to a loss, so that ratios are finite."""


def falling(curves: Array) -> Array:
    """Return the lowest smoothed loss up to each evaluation.

    Args:
        curves: (..., E), infinite where a trial has diverged.
    """
    return np.minimum.accumulate(smoothed(curves), axis=-1)


def steps_to(target: Array, curves: Array, xs: Array) -> Array:
    """Return the first step at which curves reach a loss, interpolated; infinite where they never do.

    Args:
        target: (...), the loss.
        curves: (..., E), never rising.
        xs: (E,), steps of the evaluations.
    """
    is_there = curves <= target[..., None]
    curves = np.broadcast_to(curves, is_there.shape)
    after = is_there.argmax(-1)
    before = np.maximum(after - 1, 0)
    high, low = (np.take_along_axis(curves, i[..., None], -1)[..., 0] for i in (before, after))
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where((high > low) & np.isfinite(high), (high - target) / (high - low), 1.0)
    steps = xs[before] + share * (xs[after] - xs[before])
    return np.where(is_there.any(-1), steps, np.inf)


def steps_ratio(curves: Array, xs: Array, reference: Array, reference_xs: Array) -> tuple[Array, Array]:
    """Return the steps of curves as a share of a reference's, to the higher of their final losses.

    The loss is one that both reach: the reference's final one if the other reaches it, else the other's.
    A curve that reaches it within a hundredth of the horizon counts as one that needs so long; one that is
    never finite has the greatest ratio that there is, 100.

    Args:
        curves: (..., E), never rising.
        xs: (E,), steps of the evaluations.
        reference: (..., F), never rising.
        reference_xs: (F,).

    Returns:
        (...), ratio, below 1 if it is faster than the reference; and whether it reaches the reference's loss.
    """
    horizon = float(xs[-1])
    least = SHORTEST * horizon
    own, its = curves[..., -1], reference[..., -1]
    reached, both_lost = own <= its, ~np.isfinite(own) & ~np.isfinite(its)
    target = np.maximum(own, its)
    steps = steps_to(target, curves, xs).clip(least, horizon)
    its_steps = steps_to(target, reference, reference_xs).clip(least, horizon)
    ratio = np.select(
        [both_lost, ~np.isfinite(own), ~np.isfinite(its)], [1.0, 1 / SHORTEST, SHORTEST], steps / its_steps
    )
    return ratio, reached
