"""From archives to a normalizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from optsuite import storage
from optsuite.archives import load_archive
from optsuite.errors import OptsuiteError
from optsuite.normalizers._normalizer import Normalizer
from optsuite.statistics import check_curves, ema

if TYPE_CHECKING:
    from optsuite._types import Array

NUM_KNOTS = 512

_DECAY = 0.95
_KEYS = ("eval/xs", "eval/train/loss")


class Envelope(NamedTuple):
    """The lowest loss among the configs of a set, each smoothed."""

    xs: Array
    """(E,), int64, steps of the evaluations."""
    loss: Array
    """(E,), float32, infinite from where on every config has diverged."""


def build(
    task: str, sets: Sequence[str], *, num_knots: int = NUM_KNOTS, root: str | None = None
) -> Normalizer:
    """Fit a normalizer to the archives of a task.

    Args:
        task: Name of the task.
        sets: Names of the hparam sets, one or more, with the same evaluation steps.
        num_knots: Steps at which the lowest loss is kept, evenly from 0 to the last one; 2 or more.
        root: Root of the archives; `storage.archives_dir()` if `None`.

    Raises:
        StorageError: An archive is missing or cannot be read.
        OptsuiteError: The sets differ in their evaluation steps, are evaluated once only, or all their
            configs diverged.
    """
    envelopes = storage.thread_map(lambda name: read_envelope(task, name, root), sets)
    return fit(task, dict(zip(sets, envelopes, strict=True)), num_knots)


def read_envelope(task: str, hparam_set: str, root: str | None) -> Envelope:
    """The envelope of one archive.

    Raises:
        StorageError: It is missing or cannot be read.
    """
    archive = load_archive(task, hparam_set, root, {"train/loss", "eval_batches", *_KEYS})
    check_curves(archive, storage.archive_path(task, hparam_set, root), _KEYS)
    with np.errstate(over="ignore", invalid="ignore"):
        loss_HE = ema(archive["eval/train/loss"].mean(axis=1), _DECAY)
    return Envelope(archive["eval/xs"][0, 0], np.where(np.isfinite(loss_HE), loss_HE, np.inf).min(axis=0))


def fit(task: str, envelopes: Mapping[str, Envelope], num_knots: int) -> Normalizer:
    """Fit to the lowest of envelopes, given by name of the set; else as `build`.

    Raises:
        OptsuiteError: They differ in their steps, have one step only, or are infinite.
    """
    xs = _shared_steps(task, envelopes)
    loss = np.min([envelope.loss for envelope in envelopes.values()], axis=0)
    if np.isinf(loss).any():
        raise OptsuiteError(
            f"cannot normalize task `{task}`: every config of {', '.join(envelopes)} diverged, "
            f"from step {xs[np.isinf(loss).argmax()]} on"
        )
    knots = np.linspace(0, xs[-1], num_knots)
    return Normalizer(knots, np.minimum.accumulate(np.interp(knots, xs, loss)))


def _shared_steps(task: str, envelopes: Mapping[str, Envelope]) -> Array:
    first, *others = (envelope.xs for envelope in envelopes.values())
    if not all(np.array_equal(first, xs) for xs in others):
        steps = (f"{name} {len(e.xs)} times up to step {e.xs[-1]}" for name, e in envelopes.items())
        raise OptsuiteError(
            f"cannot normalize task `{task}`: its sets must be evaluated at the same steps "
            f"(got {', '.join(steps)})"
        )
    if len(first) == 1:
        raise OptsuiteError(
            f"cannot normalize task `{task}`: its sets must be evaluated more than once "
            f"(got {', '.join(envelopes)} at step {first[0]} only)"
        )
    return first
