"""Evaluation curves of all settings of a cell, a user's or packaged ones: what verdicts read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, final

import numpy as np

from optsuite._types import Array
from optsuite.archives import Archive, RecordedConfig
from optsuite.curves import EVAL_SPLITS
from optsuite.hparam_sets import Schedule
from optsuite.statistics._results import TRAIN_LOSS, evaluated_loss

Source = Literal["own", "packaged"]


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluations:
    """Evaluation curves of one cell: H settings, S seeds, E evaluations."""

    task: str
    hparam_set: str
    source: Source
    """`own`: from an archive of the user's; `packaged`: from the baselines that come with optsuite."""
    configs: tuple[RecordedConfig, ...]
    """(H,), in the order of the set."""
    seeds: Array
    """(S,), int64, the same for each setting; seeds that other cells have too are pairs."""
    data_source: str
    """`real` or the kind of stand-in."""
    schedule: Schedule | None
    num_steps: int
    xs: Array
    """(E,), int64, steps of the evaluations."""
    losses: Mapping[str, Array]
    """(H, S, E), float64, by split (`train`, `outer_valid`, `test`); NaN from the step on at which a trial
    diverged."""
    accuracies: Mapping[str, Array]
    """(H, S, E), float64, likewise; empty where it was not recorded."""
    diverged: Array
    """(H, S), bool."""
    seconds_per_step: Array | None
    """(H, S), float64, wall-clock time of a trial's step; NaN where it was not measured."""
    flops_per_step: float | None
    device: str
    """Name of the device that trained it, empty if it is not known; times of others do not compare."""
    origin: str
    """URL of the archive; of packaged ones, their commit, versions and date in words."""
    has_seeds: bool = True
    """Whether the archive names its seeds; those of the original do not, and are numbered from 0."""


def evaluations(archive: Archive) -> Evaluations:
    """Return the evaluation curves of an archive.

    Raises:
        CorruptFileError: A key is missing, of a wrong shape or no numbers.
        NotEvaluatedError: There are no evaluations.
    """
    splits = [split for split in EVAL_SPLITS if f"eval/{split}/loss" in archive.arrays]
    losses = {f"eval/{split}/loss": split for split in splits}
    accuracies = {f"eval/{s}/accuracy": s for s in splits if f"eval/{s}/accuracy" in archive.arrays}
    curves = archive.curves("eval/xs", TRAIN_LOSS, *losses, *accuracies)
    xs = curves["eval/xs"][0, 0]
    is_lost_HSE = np.isnan(evaluated_loss(archive)[1])
    kept = {key: np.where(is_lost_HSE, np.nan, curves[key].astype(np.float64)) for key in curves}
    num_seeds = is_lost_HSE.shape[1]
    flops = archive.values("flops_per_step")
    return Evaluations(
        task=archive.task,
        hparam_set=archive.hparam_set,
        source="own",
        configs=archive.configs,
        seeds=np.arange(num_seeds) if archive.seeds is None else archive.seeds[0],
        data_source=archive.data_source or "real",
        schedule=archive.schedule,
        num_steps=archive.num_steps,
        xs=xs,
        losses={split: kept[key] for key, split in losses.items()},
        accuracies={split: kept[key] for key, split in accuracies.items()},
        diverged=~np.isfinite(kept[TRAIN_LOSS][..., -1]),
        seconds_per_step=archive.values("seconds_per_step"),
        flops_per_step=None if flops is None or flops.max() <= 0 else float(flops.max()),
        device=_device(archive),
        origin=archive.url,
        has_seeds=archive.seeds is not None,
    )


def _device(archive: Archive) -> str:
    """Return the name of the one device that trained all; empty if there were several."""
    kinds = archive.values("accelerator_kind", "U")
    names = set() if kinds is None else set(kinds.ravel().tolist())
    return str(names.pop()) if len(names) == 1 else ""
