"""Final results of a setting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from optsuite.curves import Curve

__all__ = ["Summary", "summarize"]


class Summary(NamedTuple):
    """Final results of one config of a cell."""

    final: dict[str, float]
    """Mean over seeds of the loss in the last evaluation, by split; NaN if a seed diverged."""
    num_diverged: int
    num_trials: int


def summarize(recorded: Sequence[Curve]) -> Summary:
    """Summarise the repetitions of one config, by the rules of `statistics.summarize`."""
    diverged = [_has_diverged(curve) for curve in recorded]
    final = {
        split: np.nan if any(diverged) else float(np.mean([c[f"eval/{split}/loss"][-1] for c in recorded]))
        for split in ("train", "outer_valid", "test")
        if all(f"eval/{split}/loss" in curve for curve in recorded)
    }
    return Summary(final, sum(diverged), len(recorded))


def _has_diverged(curve: Curve) -> bool:
    return curve.is_diverged or not all(np.isfinite(curve.get("eval/train/loss", [0.0])[-1:]))
