"""The protocol of back ends, and the options that all of them are given."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from optsuite.backends._work import Site
from optsuite.sweep import Job
from optsuite.trainer import Outcome

Tell: TypeAlias = Callable[[Job, int, int], None]
"""Function called now and then with a job and its trial-steps: the number done, and the number in all."""

Say: TypeAlias = Callable[[str], None]
"""Function that shows the user a line at once."""


@dataclass(frozen=True, kw_only=True)
class BackendOptions:
    """Choice of a back end, and how it is to run; None leaves a choice to the back end."""

    backend: str = "local"
    """Name of the back end, one of `choices.BACKENDS`."""
    device: str | None = None
    """Device to train on; None takes CUDA if there is one, and leaves it to a back end of other processes."""
    workers: int | None = None
    """Number of processes, or of workers of the cluster that is started."""
    dask_address: str | None = None
    """Scheduler of a running cluster; None starts one on this machine."""
    is_patient: bool = False
    """Whether a second signal ends no training before it is saved, as where others send signals twice."""


def num_cores() -> int:
    """Return the number of cores that this process may use."""
    # Not every system tells a process which cores it may use.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Backend(Protocol):
    """A place where jobs run; its methods are called from one thread."""

    is_concurrent: bool
    """Whether jobs run while nobody waits for outcomes, so that all should be submitted at once."""
    num_workers: int
    """Number of jobs that run at once."""

    def __init__(self, options: BackendOptions, site: Site, tell: Tell, say: Say) -> None:
        """Start the back end; arguments and errors as for `open_backend`."""

    @classmethod
    def count_workers(cls, options: BackendOptions) -> int:
        """Return how many workers it would have, without starting it."""

    def submit(self, job: Job) -> None:
        """Take a job."""

    def as_completed(self) -> Iterator[tuple[Job, list[Outcome]]]:
        """Give the outcomes of each submitted job as it ends; an interrupt ends only the waiting.

        Trials that other processes train have an `ElsewhereError`; where the store is gone, all that could
        not be recorded have a `StoreGoneError`.
        """

    def close(self) -> None:
        """Give up jobs that have not ended, and end everything that was started; what was recorded stays."""
