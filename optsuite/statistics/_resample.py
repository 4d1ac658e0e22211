"""Bootstrap of one task: seeds are drawn jointly for all optimizers, and the best setting is chosen anew."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, final

import numpy as np

from optsuite._types import Array
from optsuite.errors import OptsuiteError
from optsuite.statistics._evaluations import Evaluations
from optsuite.statistics._reach import falling, steps_ratio
from optsuite.statistics._rules import Rule, curves, last_losses

NUM_RESAMPLES = 2000

_BY_OPTIMIZER = ("chosen", "final", "steps_ratio", "reached", "score", "score_of_all")


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Resampled:
    """Numbers of optimizers on one task: for the seeds as they are (first), then for B draws of them.

    Draws are as `around` has them, so that `interval` covers although the best setting was chosen on the
    seeds that judge it.
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
    """Return draws of a number whose mean and spread tell how far the number may be off.

    A draw chooses settings anew. On the drawn seeds they look better than on all seeds, by as much as the
    settings that were chosen on all seeds look better than they are; so the mean over draws of the
    difference is the bias. The spread is that of the differences or that of the drawn numbers, whichever is
    larger: the first misses that another setting might have been chosen, the second is too small where
    settings are alike.

    Args:
        drawn: (1 + B, ...), number on the drawn seeds, with settings chosen on them; first all seeds.
        of_all: (1 + B, ...), number on all seeds, with the same settings.

    Source: the difference is the optimism of Efron, 1983, Estimating the Error Rate of a Prediction Rule.
    """
    differences = drawn - of_all
    mean = differences[1:].mean(0)
    plain = drawn - drawn[1:].mean(0) + mean
    moved: Array = drawn[0] + np.where(plain[1:].std(0) > differences[1:].std(0), plain, differences)
    moved[0] = drawn[0]
    return moved


def draw_seeds(num_seeds: int, num_resamples: int, key: int, stream: str) -> Draws:
    """Draw seeds with replacement; different streams are independent."""
    digest = hashlib.sha256(stream.encode(errors="surrogatepass")).digest()
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
    curves_HSE: Array
    """Curves of each seed, never rising."""
    curves_HE: Array
    """Curves over all seeds, never rising."""
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
    its = _choose(cells[reference], seeds, rule, draws)
    found: dict[str, dict[str, Any]] = {field: {} for field in _BY_OPTIMIZER}
    for name, cell in cells.items():
        one = _choose(cell, seeds, rule, draws)
        index = int(one.setting[draws.row[0]])
        found["chosen"][name] = None if index < 0 else index
        found["final"][name] = one.final
        found["score"][name], found["score_of_all"][name] = _scores(one, its, draws)
        if name != reference:
            found["steps_ratio"][name], found["reached"][name] = _ratio(one, its, draws)
    return Resampled(
        task=cells[reference].task,
        reference=reference,
        rule=rule,
        optimizers=tuple(cells),
        seeds=seeds,
        **found,
    )


def _choose(cell: Evaluations, seeds: Array, rule: Rule, draws: Draws) -> _Best:
    """Choose the best setting of one optimizer in each draw."""
    at = [cell.seeds.tolist().index(seed) for seed in seeds.tolist()]
    choice_HS, judged_HS = (
        last_losses(cell, split, rule.smooth)[:, at] for split in (rule.chooses_on, rule.judges_on)
    )
    curves_HSE = curves(cell, rule.judges_on)[:, at]
    never_lost = np.flatnonzero(np.isfinite(choice_HS).all(1) & np.isfinite(judged_HS).all(1))
    mean_UE = np.full((len(draws.shares), len(cell.xs)), np.inf)
    if not len(never_lost):
        lost = np.full(len(draws.row), np.inf)
        lost_HSE = np.full_like(curves_HSE, np.inf)
        return _Best(np.full(len(mean_UE), -1), lost, mean_UE, lost_HSE, lost_HSE[:, 0], cell.xs)
    setting = never_lost[(draws.shares @ choice_HS[never_lost].T).argmin(1)]
    for index in np.unique(setting):
        rows = setting == index
        with np.errstate(invalid="ignore"):  # a loss that is not finite before the end
            mean_UE[rows] = draws.shares[rows] @ curves_HSE[index]
    final = (draws.shares * judged_HS[setting]).sum(1)
    return _Best(
        setting=setting,
        final=draws.around(final, judged_HS.mean(1)[setting]),
        mean_curve=falling(mean_UE),
        curves_HSE=falling(curves_HSE),
        curves_HE=falling(curves_HSE.mean(1)),
        xs=cell.xs,
    )


def _ratio(one: _Best, its: _Best, draws: Draws) -> tuple[Array, bool]:
    """Return the steps ratio of one optimizer to the reference, and whether it reaches the latter's loss."""
    drawn, reached = steps_ratio(one.mean_curve, one.xs, its.mean_curve, its.xs)
    curves_UE, reference_UE = (best.curves_HE[best.setting] for best in (one, its))
    of_all, _ = steps_ratio(curves_UE, one.xs, reference_UE, its.xs)
    return np.exp(draws.around(np.log(drawn), np.log(of_all))), bool(reached[draws.row[0]])


def _scores(one: _Best, its: _Best, draws: Draws) -> tuple[Array, Array]:
    """Return the scores of drawn seeds, and those of all seeds with the same settings."""
    drawn_US, of_all_US = np.empty((2, len(one.setting), one.curves_HSE.shape[1]))
    for index in np.unique(one.setting):
        rows = one.setting == index
        references = its.mean_curve[rows], its.curves_HE[its.setting[rows]]
        for scores_US, reference_UE in zip((drawn_US, of_all_US), references, strict=True):
            scores_US[rows] = 1 / steps_ratio(one.curves_HSE[index], one.xs, reference_UE[:, None], its.xs)[0]
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
