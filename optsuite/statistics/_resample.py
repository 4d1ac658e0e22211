"""Bootstrap of one task: seeds are drawn jointly for all optimizers, and the best setting is chosen anew."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, final

import numpy as np

from optsuite._types import Array
from optsuite.errors import OptsuiteError
from optsuite.statistics._evaluations import Evaluations
from optsuite.statistics._reach import falling, steps_ratio
from optsuite.statistics._rules import Rule, curves, last_losses

NUM_RESAMPLES = 2000


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Resampled:
    """Numbers of optimizers on one task, for the seeds as they are (first), then for B draws of them."""

    task: str
    reference: str
    rule: Rule
    optimizers: tuple[str, ...]
    seeds: Array
    """(S,), seeds that all optimizers have, which were drawn from."""
    chosen: Mapping[str, int | None]
    """Index of the best setting for the seeds as they are, by optimizer; None if all diverged."""
    final: Mapping[str, Array]
    """(1 + B,) by optimizer, judged loss of the best setting; infinite if all diverged."""
    steps_ratio: Mapping[str, Array]
    """(1 + B,) by optimizer but the reference, steps to its final loss as a share of its own; below 1 is faster."""
    reached: Mapping[str, Array]
    """(1 + B,) by optimizer but the reference, bool, whether it reaches the reference's final loss."""
    score: Mapping[str, Array]
    """(1 + B, S) by optimizer, speed-up of each drawn seed over the mean curve of the reference: 2 is twice as fast."""

    @property
    def num_seeds(self) -> int:
        """Number of seeds that all optimizers have."""
        return len(self.seeds)


class Draws(NamedTuple):
    """Draws of seeds with replacement; U of them differ by more than their order."""

    seeds: Array
    """(1 + B, S), index of the seed at each place; first each seed once."""
    counts: Array
    """(U, S), how often each seed was drawn."""
    row: Array
    """(1 + B,), row of `counts` that each draw has."""


def draw_seeds(num_seeds: int, num_resamples: int, key: int, stream: str) -> Draws:
    """Draw seeds with replacement; different streams are independent."""
    digest = hashlib.sha256(stream.encode()).digest()
    random = np.random.default_rng([key, *np.frombuffer(digest, np.uint32).tolist()])
    drawn = random.integers(num_seeds, size=(num_resamples, num_seeds))
    seeds = np.concatenate([np.arange(num_seeds)[None], drawn])
    counts = (seeds[..., None] == np.arange(num_seeds)).sum(1)
    counts, row = np.unique(counts, axis=0, return_inverse=True)
    return Draws(seeds, counts, row.ravel())


def drawn_means(counts: Array, values: Array) -> Array:
    """Return means over drawn seeds, infinite where a drawn one is.

    Args:
        counts: (U, S).
        values: (S, N).

    Returns:
        (U, N).
    """
    is_lost = np.isinf(values)
    means = counts @ np.where(is_lost, 0.0, values) / counts.sum(1, keepdims=True)
    return np.where(counts @ is_lost.astype(np.float64) > 0, np.inf, means) if is_lost.any() else means


def best_settings(choice: Array) -> Array:
    """Return the index of the setting with the smallest loss, -1 where none is finite.

    Args:
        choice: (U, H).
    """
    best = choice.argmin(1)
    return np.where(np.isfinite(choice.min(1)), best, -1)


class _Best(NamedTuple):
    """Best setting of one optimizer in each of U draws."""

    setting: Array
    """(U,)"""
    final: Array
    """(U,)"""
    mean_curve: Array
    """(U, E), never rising."""
    curves: Array
    """(H, S, E), never rising."""
    xs: Array


def resample(
    cells: Mapping[str, Evaluations],
    reference: str,
    rule: Rule,
    *,
    num_resamples: int = NUM_RESAMPLES,
    key: int = 0,
) -> Resampled:
    """Resample the seeds of one task.

    Seeds that all optimizers have are drawn with replacement, the same for all optimizers and settings, and
    each draw chooses the best setting of each optimizer anew.

    Args:
        cells: Evaluations by name of the optimizer, all of one task.
        reference: Name of the one that ratios refer to.
        rule: Rule by which the best setting is chosen and judged.
        num_resamples: Number of draws B.
        key: Seed of the draws; they differ by task.

    Raises:
        OptsuiteError: The cells have different tasks, data, or horizons, no seed in common, or lack a split.
    """
    seeds = _shared_seeds(cells)
    task = cells[reference].task
    draws = draw_seeds(len(seeds), num_resamples, key, task)
    best = {name: _choose(cell, seeds, rule, draws.counts) for name, cell in cells.items()}
    its = best[reference]
    ratios = {
        name: steps_ratio(one.mean_curve, one.xs, its.mean_curve, its.xs)
        for name, one in best.items()
        if name != reference
    }
    places = np.arange(len(seeds))
    first = draws.row[0]
    chosen = {name: int(one.setting[first]) for name, one in best.items()}
    return Resampled(
        task=task,
        reference=reference,
        rule=rule,
        optimizers=tuple(cells),
        seeds=seeds,
        chosen={name: None if index < 0 else index for name, index in chosen.items()},
        final={name: one.final[draws.row] for name, one in best.items()},
        steps_ratio={name: ratio[draws.row] for name, (ratio, _) in ratios.items()},
        reached={name: reached[draws.row] for name, (_, reached) in ratios.items()},
        score={
            name: _scores(one, its, places)[draws.row[:, None], draws.seeds] for name, one in best.items()
        },
    )


def _choose(cell: Evaluations, seeds: Array, rule: Rule, counts: Array) -> _Best:
    """Choose the best setting of one optimizer in each draw."""
    at = np.searchsorted(cell.seeds, seeds, sorter=np.argsort(cell.seeds))
    at = np.argsort(cell.seeds)[at]
    choice_HS, judged_HS = (
        last_losses(cell, split, rule.smooth)[:, at] for split in (rule.chooses_on, rule.judges_on)
    )
    setting = best_settings(drawn_means(counts, choice_HS.T))
    final = drawn_means(counts, judged_HS.T)[np.arange(len(setting)), setting]
    curves_HSE = curves(cell, rule.judges_on)[:, at]
    mean_UE = np.full((len(counts), curves_HSE.shape[-1]), np.inf)
    for index in np.unique(setting[setting >= 0]):
        rows = setting == index
        mean_UE[rows] = drawn_means(counts[rows], curves_HSE[index])
    return _Best(
        setting, np.where(setting < 0, np.inf, final), falling(mean_UE), falling(curves_HSE), cell.xs
    )


def _scores(one: _Best, its: _Best, places: Array) -> Array:
    """Return the speed-up of each seed with the setting of each draw, (U, S)."""
    curves_USE = one.curves[one.setting[:, None], places]
    curves_USE = np.where(one.setting[:, None, None] < 0, np.inf, curves_USE)
    reference = np.broadcast_to(its.mean_curve[:, None], (*curves_USE.shape[:2], its.mean_curve.shape[-1]))
    return 1 / steps_ratio(curves_USE, one.xs, reference, its.xs)[0]


def _shared_seeds(cells: Mapping[str, Evaluations]) -> Array:
    """Return the seeds that all cells have, sorted, of cells that can be compared."""
    for what, needed in (
        ("task", "one task"),
        ("data_source", "one kind of data"),
        ("num_steps", "one horizon"),
    ):
        values = {name: getattr(cell, what) for name, cell in cells.items()}
        if len(set(values.values())) > 1:
            told = ", ".join(f"{name} {value}" for name, value in values.items())
            raise OptsuiteError(f"optimizers are compared on {needed} (got {told}): choose sets that agree")
    seeds = sorted(set.intersection(*(set(cell.seeds.tolist()) for cell in cells.values())))
    if not seeds:
        told = ", ".join(f"{name} {cell.seeds.tolist()}" for name, cell in cells.items())
        raise OptsuiteError(
            f"optimizers are compared on seeds that all have (got {told}): train the same ones"
        )
    return np.array(seeds)
