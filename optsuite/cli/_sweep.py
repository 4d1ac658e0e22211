"""Commands that train: plan, run."""

from __future__ import annotations

import argparse
import contextlib
import functools
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence

from optsuite import backends, storage, sweep, trainer
from optsuite.cli._text import explained, roots
from optsuite.errors import OptsuiteError
from optsuite.trainer import Outcome
from optsuite.words import counted

__all__ = ["plan", "run"]

_TELL_SECONDS = 15.0


def _planned(args: argparse.Namespace) -> sweep.Plan:
    """The plan of the cells that are asked for, with what is left out of it told."""
    if args.budget and args.dask_address:
        raise OptsuiteError("--budget needs to know the machines, and those of --dask-address are not asked")
    device = trainer.resolve_device(args.device)
    if args.backend == "local":
        trainer.check_precision(args.precision, device)
    matrix = sweep.make_matrix(
        preset="full", tasks=args.task, sets=args.set, precision=args.precision, device=device
    )
    plan = sweep.plan(
        {cell: cell.hparam_set.configs for cell in matrix.cells},
        roots=roots(args),
        mode=args.data,
        rerun=args.rerun,
        device=device,
        num_workers=backends.count_workers(
            args.backend, device=args.device, num_workers=args.workers, dask_address=args.dask_address
        ),
    )
    left_out: list[sweep.Cell] = []
    if args.budget:
        plan, left_out = plan.within(args.budget)
    stores = [storage.Store.at(*roots(args), s) for s in sorted(set(plan.sources.values()))]
    for line in (
        *sweep.plan_lines(plan, stores, device, "as named"),
        *sweep.over_budget_lines(left_out, args.budget),
    ):
        print(line)
    return plan


def plan(args: argparse.Namespace) -> int:
    """Print what training the cells that are asked for would cost."""
    print("\n".join(sweep.plan_table(_planned(args))))
    return 0


def run(args: argparse.Namespace) -> int:
    """Train the cells that are asked for, record their curves and archive complete cells."""
    progress = _Progress()
    cells = list(_planned(args).cells)
    jobs = []
    for cell in cells:
        job, outcomes = sweep.prepare(
            cell, cell.hparam_set.configs, roots=roots(args), mode=args.data, rerun=args.rerun
        )
        progress.take(job.name, [outcome for outcome in outcomes if isinstance(outcome.result, Exception)])
        jobs += [job] if job.trials else []
    for store in dict.fromkeys(job.store for job in jobs):
        store.check_writable()
    with _backend(args, jobs, progress) as backend:
        for parts in sweep.share_out(jobs, backend.num_workers):
            progress.begin(parts)
            for part in parts:
                backend.submit(part)
        for job, outcomes in backend.as_completed():
            progress.take(job.name, outcomes)
            progress.end(job)
    archived = [sweep.archive_cell(cell, cell.source(args.data), roots(args)) for cell in cells]
    print(f"complete cells archived: {sum(url is not None for url in archived)} of {len(archived)}")
    if progress.num_failed:
        raise OptsuiteError(
            f"{counted(progress.num_failed, 'trial')} failed; run again to try those alone, with --rerun "
            "failed where a curve cannot be read"
        )
    return 0


class _Progress:
    """Says how far cells are, and what became of them."""

    def __init__(self) -> None:
        self.num_failed = 0
        self._jobs: dict[str, dict[int, sweep.Job]] = {}
        self._done: dict[tuple[str, int], int] = {}
        self._trained: Counter[str] = Counter()
        self._ended: Counter[str] = Counter()
        self._causes: set[tuple[str, str]] = set()
        self._told = time.monotonic()
        self._lock = threading.Lock()

    def begin(self, parts: Sequence[sweep.Job]) -> None:
        """A cell, as one job or several."""
        self._jobs[parts[0].name] = {job.part: job for job in parts}

    def tell(self, job: sweep.Job, done: int, _total: int) -> None:
        """Trial-steps of a job that are done, now and then in a line on stderr."""
        with self._lock:
            self._done[job.name, job.part] = done
            if time.monotonic() - self._told < _TELL_SECONDS:
                return
            self._told = time.monotonic()
            total = sum(job.num_steps for parts in self._jobs.values() for job in parts.values())
            print(f"{sum(self._done.values()) / total:.0%} of all trial-steps done", file=sys.stderr)

    def take(self, name: str, outcomes: Sequence[Outcome]) -> None:
        """Count outcomes of a cell and tell each cause once."""
        errors = [outcome.result for outcome in outcomes if isinstance(outcome.result, Exception)]
        self._trained[name] += len(outcomes) - len(errors)
        self.num_failed += len(errors)
        for cause in map(explained, errors):
            if (name, cause) not in self._causes:
                self._causes.add((name, cause))
                print(f"{name}: failed: {cause}", file=sys.stderr)

    def end(self, job: sweep.Job) -> None:
        """A job; with the last of its cell, say what was trained."""
        parts = self._jobs[job.name]
        with self._lock:
            self._done[job.name, job.part] = job.num_steps
            self._ended[job.name] += 1
        if self._ended[job.name] == len(parts):
            total = sum(len(part.trials) for part in parts.values())
            print(f"{job.name}: {self._trained[job.name]} of {counted(total, 'trial')} trained", flush=True)


@contextlib.contextmanager
def _backend(
    args: argparse.Namespace, jobs: list[sweep.Job], progress: _Progress
) -> Iterator[backends.Backend]:
    """The back end that is asked for, closed in the end, with no mark of it left in the stores."""
    site = backends.Site.of_this_process()
    with contextlib.ExitStack() as stack:
        for store in dict.fromkeys(job.store for job in jobs if args.backend != "local"):
            site.sign(store)
            stack.callback(_leave, site, store)
        backend = backends.open_backend(
            args.backend,
            site,
            progress.tell,
            functools.partial(print, file=sys.stderr),
            device=args.device,
            num_workers=args.workers,
            dask_address=args.dask_address,
        )
        stack.callback(backend.close)
        yield backend


def _leave(site: backends.Site, store: storage.Store) -> None:
    try:
        site.leave(store)
    except OptsuiteError as error:
        print(f"a mark of this run stays: {explained(error)}", file=sys.stderr)
