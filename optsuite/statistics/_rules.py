"""Rules by which the best setting is chosen and judged."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple, final

import numpy as np

from optsuite._types import Array
from optsuite.errors import OptsuiteError
from optsuite.statistics._evaluations import Evaluations
from optsuite.statistics._results import ema


@final
class Rule(NamedTuple):
    """Way to choose the best setting, and the loss on which it is judged."""

    name: str
    words: str
    """Rule in words, for pages."""
    chooses_on: str
    """Split whose loss, mean over seeds, is smallest for the best setting."""
    judges_on: str
    """Split whose loss is told, and whose curves are compared."""
    smooth: bool
    """Whether the last loss is the average of the last evaluations rather than the last one alone."""


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        rule.name: rule
        for rule in (
            Rule("last", "chosen and judged by the last training loss", "train", "train", False),
            Rule("smoothed", "chosen and judged by the smoothed training loss", "train", "train", True),
            Rule("validation", "chosen on outer_valid, judged on test", "outer_valid", "test", False),
        )
    }
)


def curves(evaluations: Evaluations, split: str) -> Array:
    """Return the loss curves of a split, infinite where it is not finite and after a trial diverged.

    Returns:
        (H, S, E), float64.

    Raises:
        OptsuiteError: The split was not evaluated, or nothing was after a step.
    """
    cell = f"`{evaluations.hparam_set}` on `{evaluations.task}`"
    if split not in evaluations.losses:
        raise OptsuiteError(
            f"{cell} needs losses on `{split}` (got {', '.join(evaluations.losses) or 'none'}): "
            f"choose another rule, or train it with this split evaluated"
        )
    if evaluations.xs[-1] <= 0:
        raise OptsuiteError(
            f"{cell} needs an evaluation after a step (got one at step 0 only): train it anew"
        )
    losses_HSE = evaluations.losses[split]
    return np.where(np.isfinite(losses_HSE), losses_HSE, np.inf)


def smoothed(curves: Array) -> Array:
    """Return curves averaged over about the last tenth of the horizon, infinite after an infinite loss.

    Args:
        curves: (..., E). The decay is that of normalizers, 0.95, for 200 evaluations after the first.
    """
    decay = max(0.0, 1 - 10 / max(1, curves.shape[-1] - 1))
    with np.errstate(over="ignore", invalid="ignore"):
        averaged = ema(curves, decay)
    return np.where(np.isfinite(averaged), averaged, np.inf)


def last_losses(evaluations: Evaluations, split: str, smooth: bool) -> Array:
    """Return the last loss of each trial, infinite if it diverged.

    Returns:
        (H, S), float64.
    """
    losses_HSE = curves(evaluations, split)
    last_HS = (smoothed(losses_HSE) if smooth else losses_HSE)[..., -1]
    return np.where(evaluations.diverged, np.inf, last_HS)
