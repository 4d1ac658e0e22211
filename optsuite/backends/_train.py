"""Training a job in this process and recording each curve."""

from collections.abc import Callable, Iterator

import torch

from optsuite import curves, trainer
from optsuite.curves import Curve
from optsuite.errors import StorageError
from optsuite.storage import Store
from optsuite.sweep import Job
from optsuite.tasks import get_task
from optsuite.trainer import Outcome


def run_job(
    job: Job,
    *,
    device: torch.device | str | None = None,
    tell: Callable[[int, int], None] = lambda _done, _total: None,
) -> Iterator[Outcome]:
    """Train a job's trials, write each curve as soon as it ends, and give every outcome.

    Args:
        job: The job.
        device: Where to train; None takes CUDA if there is one.
        tell: Called now and then with the number of trial-steps done and of those to do in all.

    Raises:
        DataError: The data are missing or damaged.
        StorageError: The store cannot be listed.
    """
    done, total = 0, job.num_steps

    def count(steps: int) -> None:
        nonlocal done
        done += steps
        tell(done, total)

    task = get_task(job.task_name)
    layouts = trainer.choose_layouts(task, job.trials, mode=job.source, device=device)
    for outcome in trainer.run(task, job.trials, layouts=layouts, mode=job.source, device=device, tell=count):
        yield _written(outcome, job.store, replace=job.rerun == "all")


def _written(outcome: Outcome, store: Store, *, replace: bool) -> Outcome:
    """Write an outcome's curve; where that fails, the error is the outcome."""
    if isinstance(outcome.result, Curve):
        try:
            curves.write_curve(outcome.result, store.curves, replace=replace)
        except StorageError as error:  # the next curve may still be written
            return Outcome(outcome.trial, error)
    return outcome
