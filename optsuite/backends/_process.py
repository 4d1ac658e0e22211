"""Jobs in child processes on this machine."""

import queue
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial

import torch

from optsuite._waiting import short_spins
from optsuite.backends._backend import Backend, BackendOptions, Say, Tell, num_cores
from optsuite.backends._child import Child
from optsuite.backends._work import Report, Site, Work, collect
from optsuite.errors import in_words
from optsuite.sweep import Job
from optsuite.trainer import Outcome


class ProcessBackend(Backend):
    """Child processes of this one, each with a device and its share of the cores.

    There are as many as `workers` says, or one a GPU, or one a core where there is none. All train on the
    device of the options; without one, each has a GPU, or takes the CPU if there is none.
    """

    is_concurrent = True

    def __init__(self, options: BackendOptions, site: Site, tell: Tell, say: Say) -> None:
        self._devices = _devices(options)
        self.num_workers = count = len(self._devices)
        self._site, self._tell, self._say = site, tell, say
        threads = {"OMP_NUM_THREADS": str(max(1, num_cores() // count)), **short_spins()}
        self._children = [Child(f"process {number}", threads) for number in range(count)]
        self._idle: queue.SimpleQueue[int] = queue.SimpleQueue()
        for number in range(count):
            self._idle.put(number)
        self._pool = ThreadPoolExecutor(count)
        self._jobs: dict[Future[Report], Job] = {}

    @classmethod
    def count_workers(cls, options: BackendOptions) -> int:
        """Return the number of processes."""
        return len(_devices(options))

    def submit(self, job: Job) -> None:
        """Run a job as soon as a process is free."""
        self._jobs[self._pool.submit(self._run, job)] = job

    def _run(self, job: Job) -> Report:
        number = self._idle.get()
        try:
            work = Work(job, self._site, self._devices[number])
            return self._children[number].do(work, partial(self._tell, job))
        finally:
            self._idle.put(number)

    def as_completed(self) -> Iterator[tuple[Job, list[Outcome]]]:
        """Give the outcomes of each submitted job as it ends."""
        while self._jobs:
            ended, _ = wait(self._jobs, return_when=FIRST_COMPLETED)
            for future in ended:
                job = self._jobs.pop(future)
                error = future.exception()
                report = Report(lost=in_words(error)) if error else future.result()
                yield job, collect(job, report)

    def close(self) -> None:
        """End every process, which saves what it trains first; an interrupt ends them at once."""
        running = [future for future in self._jobs if not future.cancel() and not future.done()]
        if running:
            words = "saving what child processes train, which takes some seconds"
            self._say(f"optsuite: {words}; again to stop at once")
        try:
            for child in self._children:
                child.stop()
            for child in self._children:
                child.close()
        finally:
            for child in self._children:
                child.end()
            self._pool.shutdown()


def _devices(options: BackendOptions) -> list[str]:
    """Return where each process trains."""
    gpus = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    devices = [options.device] if options.device else gpus or ["cpu"]
    count = options.workers or (num_cores() if devices == ["cpu"] else len(devices))
    return [devices[number % len(devices)] for number in range(count)]
