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
    """Numbers of optimizers on one task: for the seeds as they are (first), then for B draws of them.

    A draw chooses the best settings anew. It tells by how much these differ, on the drawn seeds, from
    themselves on all seeds; this is added to the number for the seeds as they are. The mean over draws is
    then off by as much as choosing and judging on the same seeds flatters, which `interval` puts right.
    """

    task: str
    reference: str
    rule: Rule
    optimizers: tuple[str, ...]
    seeds: Array
    """(S,), int64, seeds that all optimizers have, which were drawn from."""
    chosen: Mapping[str, int | None]
    """Index of the best setting for the seeds as they are, by optimizer; None if each diverged with one."""
    final: Mapping[str, Array]
    """(1 + B,) by optimizer, judged loss of the best setting; infinite if there is none."""
    steps_ratio: Mapping[str, Array]
    """(1 + B,) by optimizer but the reference, steps to its final loss as a share of its own.

    Below 1 is faster. Where it does not reach that loss: steps to the final loss of the other, which the
    reference reaches earlier."""
    reached: Mapping[str, bool]
    """Whether it reaches the reference's final loss with the seeds as they are, likewise."""
    score: Mapping[str, Array]
    """(1 + B, S) by optimizer, speed-up of each drawn seed over the mean curve of the reference.

    2 is twice as fast, 1 the final loss of the reference."""
    score_of_all: Mapping[str, Array]
    """(1 + B, S) by optimizer, score of each seed once, with the settings that the draw chose."""

    @property
    def num_seeds(self) -> int:
        """Number of seeds that all optimizers have."""
        return len(self.seeds)


class Draws(NamedTuple):
    """Draws of seeds with replacement; U of them differ by more than their order."""

    seeds: Array
    """(1 + B, S), index of the seed at each place; first each seed once."""
    shares: Array
    """(U, S), share of each seed among the drawn ones."""
    row: Array
    """(1 + B,), row of `shares` that each draw has."""

    def around(self, drawn: Array, of_all: Array) -> Array:
        """Return numbers of draws as `Resampled` has them.

        Args:
            drawn: (U,), number on the drawn seeds, with the settings chosen on them.
            of_all: (U,), number on all seeds, with the same settings.

        Returns:
            (1 + B,).
        """
        return around(drawn[self.row], of_all[self.row])


def around(drawn: Array, of_all: Array) -> Array:
    """Return the first number, and around it how far each draw is from the same settings on all seeds.

    Args:
        drawn: (1 + B, ...), finite.
        of_all: (1 + B, ...), finite.
    """
    moved: Array = drawn[0] + (drawn - of_all)
    return moved


def draw_seeds(num_seeds: int, num_resamples: int, key: int, stream: str) -> Draws:
    """Draw seeds with replacement; different streams are independent."""
    digest = hashlib.sha256(stream.encode()).digest()
    random = np.random.default_rng([key, *np.frombuffer(digest, np.uint32).tolist()])
    drawn = random.integers(num_seeds, size=(num_resamples, num_seeds))
    seeds = np.concatenate([np.arange(num_seeds)[None], drawn])
    counts = (seeds[..., None] == np.arange(num_seeds)).sum(1)
    counts, row = np.unique(counts, axis=0, return_inverse=True)
    return Draws(seeds, counts / num_seeds, row.ravel())


class _Best(NamedTuple):
    """Best setting of one optimizer in each of U draws; if each setting diverged, all losses are infinite."""

    setting: Array
    """(U,), -1 if there is none."""
    final: Array
    """(1 + B,)"""
    mean_curve: Array
    """(U, E), over the drawn seeds, never rising."""
    mean_curve_of_all: Array
    """(U, E), over all seeds."""
    curves: Array
    """(U, S, E), of each seed."""
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
    each draw chooses the best setting of each optimizer anew. A setting that diverged with one of these
    seeds is never chosen.

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
    draws = draw_seeds(len(seeds), num_resamples, key, cells[reference].task)
    best = {name: _choose(cell, seeds, rule, draws) for name, cell in cells.items()}
    its = best[reference]
    others = {name: one for name, one in best.items() if name != reference}
    ratios = {name: _ratio(one, its, draws) for name, one in others.items()}
    scores = {name: _scores(one, its, draws) for name, one in best.items()}
    first = {name: int(one.setting[draws.row[0]]) for name, one in best.items()}
    return Resampled(
        task=cells[reference].task,
        reference=reference,
        rule=rule,
        optimizers=tuple(cells),
        seeds=seeds,
        chosen={name: None if index < 0 else index for name, index in first.items()},
        final={name: one.final for name, one in best.items()},
        steps_ratio={name: ratio for name, (ratio, _) in ratios.items()},
        reached={name: reached for name, (_, reached) in ratios.items()},
        score={name: drawn for name, (drawn, _) in scores.items()},
        score_of_all={name: of_all for name, (_, of_all) in scores.items()},
    )


def _choose(cell: Evaluations, seeds: Array, rule: Rule, draws: Draws) -> _Best:
    """Choose the best setting of one optimizer in each draw."""
    at = [cell.seeds.tolist().index(seed) for seed in seeds.tolist()]
    choice_HS, judged_HS = (
        last_losses(cell, split, rule.smooth)[:, at] for split in (rule.chooses_on, rule.judges_on)
    )
    curves_HSE = curves(cell, rule.judges_on)[:, at]
    never_lost = np.flatnonzero(np.isfinite(choice_HS).all(1) & np.isfinite(judged_HS).all(1))
    num_draws = len(draws.shares)
    if not len(never_lost):
        lost_UE = np.full((num_draws, len(cell.xs)), np.inf)
        curves_USE = np.repeat(lost_UE[:, None], len(seeds), axis=1)
        lost = np.full(len(draws.row), np.inf)
        return _Best(np.full(num_draws, -1), lost, lost_UE, lost_UE, curves_USE, cell.xs)
    setting = never_lost[(draws.shares @ choice_HS[never_lost].T).argmin(1)]
    final = np.einsum("us,us->u", draws.shares, judged_HS[setting])
    curves_USE = curves_HSE[setting]
    with np.errstate(invalid="ignore"):  # a loss that is not finite before the end, of a trial that recovered
        mean_UE = np.matmul(draws.shares[:, None], curves_USE)[:, 0]
    mean_HE = falling(curves_HSE.mean(1))
    return _Best(
        setting=setting,
        final=draws.around(final, judged_HS.mean(1)[setting]),
        mean_curve=falling(mean_UE),
        mean_curve_of_all=mean_HE[setting],
        curves=falling(curves_HSE)[setting],
        xs=cell.xs,
    )


def _ratio(one: _Best, its: _Best, draws: Draws) -> tuple[Array, bool]:
    """Return the steps ratio of one optimizer to the reference, and whether it reaches the reference's loss."""
    drawn, reached = steps_ratio(one.mean_curve, one.xs, its.mean_curve, its.xs)
    of_all, _ = steps_ratio(one.mean_curve_of_all, one.xs, its.mean_curve_of_all, its.xs)
    return np.exp(draws.around(np.log(drawn), np.log(of_all))), bool(reached[draws.row[0]])


def _scores(one: _Best, its: _Best, draws: Draws) -> tuple[Array, Array]:
    """Return the scores of drawn seeds, and those of all seeds with the same settings."""
    num_seeds = one.curves.shape[1]
    drawn_US, of_all_US = (
        1 / steps_ratio(one.curves, one.xs, np.repeat(mean_UE[:, None], num_seeds, axis=1), its.xs)[0]
        for mean_UE in (its.mean_curve, its.mean_curve_of_all)
    )
    return drawn_US[draws.row[:, None], draws.seeds], of_all_US[draws.row]


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
