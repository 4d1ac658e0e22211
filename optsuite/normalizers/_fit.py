"""Fitting a normalizer to archives."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from optsuite import storage
from optsuite._types import Array
from optsuite.archives import Archive, read_archive
from optsuite.errors import OptsuiteError
from optsuite.normalizers._normalizer import Normalizer
from optsuite.statistics import ema, evaluated_loss

NUM_KNOTS = 512

_DECAY = 0.95


class Envelope(NamedTuple):
    """Lowest loss among the configs of a set, each smoothed."""

    xs: Array
    """(E,), int64, steps of the evaluations."""
    loss: Array
    """(E,), float32; infinite from the step on at which every config has diverged."""


def build(
    task: str, sets: Sequence[str], *, num_knots: int = NUM_KNOTS, root: str | None = None
) -> Normalizer:
    """Fit a normalizer to the archives of a task.

    Args:
        task: Name of the task.
        sets: Names of the hparam sets, one or more, with the same evaluation steps.
        num_knots: Number of steps at which the lowest loss is kept, evenly from 0 to the last; 2 or more.
        root: Root of the archives; `storage.archives_dir()` if `None`.

    Raises:
        StorageError: An archive is missing or cannot be read.
        OptsuiteError: The sets differ in their evaluation steps, are evaluated once only, or all their
            configs diverged.
    """
    envelopes = storage.thread_map(lambda name: envelope(read_archive(task, name, root)), sets)
    return fit(task, dict(zip(sets, envelopes, strict=True)), num_knots)


def envelope(archive: Archive) -> Envelope:
    """Return the envelope of one archive.

    Raises:
        StorageError: It lacks evaluations, or they are damaged.
    """
    xs, loss_HSE = evaluated_loss(archive)
    with np.errstate(over="ignore", invalid="ignore"):
        loss_HE = ema(loss_HSE.mean(axis=1), _DECAY)
    return Envelope(xs, np.where(np.isfinite(loss_HE), loss_HE, np.inf).min(axis=0))


def fit(task: str, envelopes: Mapping[str, Envelope], num_knots: int) -> Normalizer:
    """Fit a normalizer as `build` does, to the lowest of envelopes by name of the set.

    Raises:
        OptsuiteError: The envelopes differ in their steps, have one step only, or are infinite.
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
