"""The protocol of back ends, and the back end that trains in this process."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Protocol, TypeAlias

import torch

from optsuite.backends._train import run_job
from optsuite.sweep import Job
from optsuite.trainer import Outcome

Tell: TypeAlias = Callable[[Job, int, int], None]
"""Function called now and then with a job and its trial-steps: the number done, and the number in all."""


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

    def submit(self, job: Job) -> None:
        """Take a job."""

    def as_completed(self) -> Iterator[tuple[Job, list[Outcome]]]:
        """Give the outcomes of each submitted job as it ends; an interrupt ends only the waiting."""

    def close(self) -> None:
        """Give up jobs that have not ended, and end everything that was started; what was recorded stays."""


class LocalBackend:
    """Runs jobs in this process, in the order of their submission, when their outcomes are asked for."""

    is_concurrent = False
    num_workers = 1

    def __init__(self, device: torch.device | str | None, tell: Tell) -> None:
        self._device, self._tell = device, tell
        self._jobs: deque[Job] = deque()

    def submit(self, job: Job) -> None:
        """Take a job."""
        self._jobs.append(job)

    def as_completed(self) -> Iterator[tuple[Job, list[Outcome]]]:
        """Run the jobs that were submitted, one after the other."""
        while self._jobs:
            job = self._jobs.popleft()
            yield job, self._run(job)

    def _run(self, job: Job) -> list[Outcome]:
        outcomes: list[Outcome] = []
        try:
            outcomes.extend(run_job(job, device=self._device, tell=partial(self._tell, job)))
        except Exception as error:  # noqa: BLE001 - it is the outcome of the trials without one
            done = {outcome.trial for outcome in outcomes}
            outcomes += [Outcome(trial, error) for trial in job.trials if trial not in done]
        return outcomes

    def close(self) -> None:
        """Forget the jobs that have not run."""
        self._jobs.clear()
