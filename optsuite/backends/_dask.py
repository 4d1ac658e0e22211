"""Jobs on the workers of a Dask cluster: https://distributed.dask.org."""

import asyncio
import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

from optsuite.backends._backend import Backend, BackendOptions, Say, Tell, num_cores
from optsuite.backends._child import Child
from optsuite.backends._work import Report, Site, Work, collect, versions
from optsuite.errors import RemoteError, UnsupportedError, import_extra, in_words
from optsuite.sweep import Job
from optsuite.trainer import Outcome

_CONNECT_SECONDS = 10


class DaskBackend(Backend):
    """The workers of a Dask cluster, each of which trains in a child process.

    Where workers declare the resource `GPU`, each job takes one, unless the device is the CPU.

    A job whose worker is lost runs again on another; one that has lost several is given up. Where there is no
    worker yet, the first is waited for. Without the address of a scheduler, a cluster is started on this
    machine, with as many workers as the options say, or one a core. It tells no progress.
    """

    is_concurrent = True

    def __init__(self, options: BackendOptions, site: Site, tell: Tell, say: Say) -> None:  # noqa: ARG002 - no progress
        needed_by = "the back end `dask` needs distributed"
        distributed = import_extra("distributed", "dask", needed_by, UnsupportedError)
        self._site, self._device = site, options.device
        self._cluster, address = None, options.dask_address
        if address is None:
            self._cluster = distributed.LocalCluster(
                n_workers=self.count_workers(options), threads_per_worker=1, dashboard_address=":0"
            )
        try:
            self._client = distributed.Client(self._cluster or address, timeout=_CONNECT_SECONDS)
        except (OSError, ValueError) as cause:  # a time-out is an OSError
            raise RemoteError(
                f"no Dask scheduler answers at {address} ({type(cause).__name__}: {cause}): start one with "
                "`dask scheduler`, and workers with `dask worker ADDRESS`"
            ) from cause
        self._jobs: dict[Any, Job] = {}
        self._ended = distributed.as_completed()
        if not self._workers():
            say(f"optsuite: no worker has joined {self._client.scheduler.address} yet: waiting for the first")
            self._client.wait_for_workers(1)
        self._check_workers()
        if self._cluster is not None:
            self._client.run(_ignore_interrupts)
        workers = self._workers()
        num_gpus = int(sum(worker["resources"].get("GPU", 0) for worker in workers))
        self._resources = {"GPU": 1} if num_gpus and options.device != "cpu" else None
        self.num_workers = (num_gpus if self._resources else 0) or max(1, sum(w["nthreads"] for w in workers))

    @classmethod
    def count_workers(cls, options: BackendOptions) -> int:
        """Return the number of workers of the cluster that is started; 1 for a running one, not asked yet."""
        return 1 if options.dask_address else options.workers or num_cores()

    def _workers(self) -> list[dict[str, Any]]:
        return list(self._client.scheduler_info(n_workers=-1)["workers"].values())

    def _check_workers(self) -> None:
        here = self._site.versions
        try:
            found = self._client.run(versions)
        except Exception as cause:
            self.close()
            raise RemoteError(f"a Dask worker cannot import optsuite ({cause}): install it there") from cause
        for worker, there in found.items():
            if there != here:
                self.close()
                raise RemoteError(f"Dask worker {worker} has {there}, this process {here}: install the same")

    def submit(self, job: Job) -> None:
        """Run a job as soon as a worker is free."""
        work = Work(job, self._site, self._device)
        key = f"{job.name}-{job.part}-{self._site.mark}"
        future = self._client.submit(_work, work, key=key, pure=False, resources=self._resources)
        self._jobs[future] = job
        self._ended.add(future)

    def as_completed(self) -> Iterator[tuple[Job, list[Outcome]]]:
        """Give the outcomes of each submitted job as it ends."""
        while self._jobs:
            future = next(self._ended)
            job = self._jobs.pop(future)
            try:
                report = future.result()
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - it is the outcome of the job
                report = Report(lost=f"the cluster gave it up: {in_words(error)}")
            yield job, collect(job, report)

    def close(self) -> None:
        """Take back jobs that have not ended, end the children of all workers, and our own cluster."""
        with contextlib.suppress(OSError):  # a cluster that is gone needs no orders
            self._client.cancel(list(self._jobs), force=True)
            self._client.run(_end_children, self._site.mark, on_error="ignore")
        self._client.close()
        if self._cluster is not None:
            self._cluster.close()


def _ignore_interrupts() -> None:
    """Let Ctrl-C end the session alone, which then ends its workers; a terminal sends it to all of them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


_children: dict[tuple[str, int], Child] = {}
"""Children of a worker, by the mark of the run and the thread that they serve."""


def _work(work: Work) -> Report:
    """Do a job in a worker."""
    from distributed import get_worker

    where = f"Dask worker {get_worker().address}"
    key = work.site.mark, threading.get_ident()
    child = _children.setdefault(key, Child(where, {}))
    return child.do(work, lambda _done, _total: None)


def _end_children(mark: str) -> None:
    """End the children of a worker that serve one run."""
    mine = [_children.pop(key) for key in list(_children) if key[0] == mark]
    for child in mine:
        child.stop()
    for child in mine:
        child.close()
