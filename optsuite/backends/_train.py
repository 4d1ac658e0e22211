"""Training a job in this process: what others do not train already, and recording each curve."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import final

import torch

from optsuite import curves, spool, storage, sweep, trainer
from optsuite.backends._keeper import StoreKeeper
from optsuite.backends._stop import Stop
from optsuite.errors import OptsuiteError, StoppedError, StorageError, quoted
from optsuite.hparam_sets import Trial
from optsuite.storage import Holder
from optsuite.sweep import GroupFile, Job
from optsuite.tasks import get_task
from optsuite.trainer import Group, Outcome


class ElsewhereError(OptsuiteError):
    """A trial is trained by another process that lives."""


class StoreGoneError(StorageError):
    """The store can no longer be reached or written to, so that a run has to end."""


def run_job(
    job: Job,
    *,
    device: torch.device | str | None = None,
    tell: Callable[[int, int], None] = lambda _done, _total: None,
    stop: Stop | None = None,
) -> Iterator[Outcome]:
    """Train a job's trials, write each curve as soon as it ends, and give every outcome.

    Trials that another process trains have an `ElsewhereError` as their outcome; those that were recorded
    meanwhile have none.

    Args:
        job: The job.
        device: Where to train; None takes CUDA if there is one.
        tell: Called now and then with the number of trial-steps done and of those to do in all.
        stop: Wish to stop; None: never.

    Raises:
        DataError: The data are missing or damaged.
        StoppedError: It was stopped; what was trained is saved.
        StoreGoneError: The store cannot be reached or written to. Curves that were trained are in the spool.
    """
    training = _Training(job, trainer.resolve_device(device), tell, Stop() if stop is None else stop)
    try:
        yield from training.outcomes()
    except storage.UnreachableError as error:
        raise StoreGoneError(quoted(error)) from error


@final
class _Training:
    """The training of one job; arguments as for `run_job`."""

    def __init__(self, job: Job, device: torch.device, tell: Callable[[int, int], None], stop: Stop) -> None:
        self._job, self._device, self._stop = job, device, stop
        self._task = get_task(job.task_name)
        self._trials = sweep.trials_by_id(job)
        self._tell, self._done = tell, 0
        self._gone: StoreGoneError | None = None
        self._ended: set[Trial] = set()

    def outcomes(self) -> Iterator[Outcome]:
        shares = sweep.gather(self._job, self._device)
        yield from self._elsewhere({one: _trained_by(holder) for one, holder in shares.taken.items()})
        taken, wanted = dict[str, str](), set(self._job.trials)
        groups = self._claimed(shares.free, taken)
        with contextlib.closing(groups):
            try:
                trained = trainer.run(
                    self._task, groups, mode=self._job.source, device=self._device, tell=self._count
                )
                # A group may hold trials of other parts of the job too, and some that were recorded before.
                yield from (one for one in map(self._written, trained) if one.trial in wanted)
            except StoppedError:
                if self._stop.is_wished:
                    raise
                # Another process has taken over a group: what is left is looked at once more.
                lost = ElsewhereError("another process took it over from this one, which was slow")
                yield from (Outcome(trial, lost) for trial in self._job.trials if trial not in self._ended)
                return
        if self._gone is not None:
            raise self._gone
        if self._stop.is_wished:
            raise StoppedError("training was stopped, and what had ended is recorded; run again to go on")
        yield from self._elsewhere(taken)

    def _claimed(self, files: list[GroupFile], taken: dict[str, str]) -> Generator[tuple[Group, StoreKeeper]]:
        """Claim one group after the other; each is over when the next is asked for.

        Args:
            files: Groups that were free.
            taken: Told of the trials of groups that are not free any more, and why.
        """
        for file in files:
            if self._stop.is_wished:
                return
            claim = storage.claim(file.stem, self._facts)
            if isinstance(claim, Holder):
                taken |= dict.fromkeys(file.trial_ids, _trained_by(claim))
                continue
            try:
                group = file.of(self._trials)
                missing = self._missing(group)
                if not storage.exists(file.url):  # its last owner ended it since, and may have failed
                    ids = (trial.id(self._job.source) for trial in missing)
                    taken |= dict.fromkeys(ids, "another process has ended its group since")
                    continue
                if missing:
                    recorded = [trial for trial in group.trials if trial not in missing]
                    keeper = StoreKeeper(
                        file, self._task, self._job.save_every_s, self._stop, recorded, claim
                    )
                    with self._stop.saving_first():
                        yield group, keeper
                    if self._gone is not None:
                        return
                if not claim.is_lost:
                    with contextlib.suppress(StorageError):  # all of it is recorded: the next run deletes it
                        file.remove()
            finally:
                with contextlib.suppress(StorageError):  # unrenewed, it ends by itself
                    claim.release()

    def _missing(self, group: Group) -> set[Trial]:
        job = self._job
        return set(sweep.missing_trials(group.trials, job.store, job.source, job.rerun))

    def _elsewhere(self, taken: Mapping[str, str]) -> Iterator[Outcome]:
        for trial in self._job.trials:
            if why := taken.get(trial.id(self._job.source)):
                yield Outcome(trial, ElsewhereError(why))

    def _written(self, outcome: Outcome) -> Outcome:
        """Write an outcome's curve; once the store is known to be gone, put it into the spool."""
        self._ended.add(outcome.trial)
        if isinstance(outcome.result, Exception):
            with contextlib.suppress(StorageError):
                sweep.note_failure(self._job, outcome.trial, outcome.result)
            return outcome
        root, replace = self._job.store.curves, self._job.rerun == "all"
        if self._gone is None:
            try:
                curves.write_curve(outcome.result, root, replace=replace)
            except StorageError as error:
                self._gone = StoreGoneError(quoted(error))
            else:
                return outcome
        try:
            kept = f"kept in `{spool.keep(outcome.result, root, replace=replace)}`"
        except StorageError as error:
            kept = f"lost ({quoted(error)})"
        words = f"{quoted(self._gone)}; its curve is {kept}"
        advice = "the next run on this store, or `optsuite upload`, takes curves from there"
        return Outcome(outcome.trial, StoreGoneError(f"{words}; {advice}"))

    def _count(self, steps: int) -> None:
        self._done += steps
        self._tell(self._done, self._job.num_steps)

    def _facts(self) -> dict[str, int]:
        return {"done": self._done, "total": self._job.num_steps}


def _trained_by(holder: Holder) -> str:
    return f"it is trained by {holder}"
