"""Jobs in this process, one after the other."""

from collections import deque
from collections.abc import Iterator
from functools import partial

from optsuite.backends._backend import Backend, BackendOptions, Say, Tell
from optsuite.backends._stop import Stop
from optsuite.backends._train import run_job
from optsuite.backends._work import Site
from optsuite.errors import StoppedError
from optsuite.hparam_sets import Trial
from optsuite.sweep import Job, recorded
from optsuite.trainer import Outcome


class LocalBackend(Backend):
    """Runs jobs in this process, in the order of their submission, when their outcomes are asked for."""

    is_concurrent = False
    num_workers = 1

    def __init__(self, options: BackendOptions, site: Site, tell: Tell, say: Say) -> None:  # noqa: ARG002 - no other process
        self._options, self._tell, self._say = options, tell, say
        self._jobs: deque[Job] = deque()

    @classmethod
    def count_workers(cls, options: BackendOptions) -> int:  # noqa: ARG003 - always itself
        """Return 1, for this process."""
        return 1

    def submit(self, job: Job) -> None:
        """Take a job."""
        self._jobs.append(job)

    def as_completed(self) -> Iterator[tuple[Job, list[Outcome]]]:
        """Run the jobs that were submitted, one after the other."""
        while self._jobs:
            job = self._jobs.popleft()
            yield job, self._run(job)

    def _run(self, job: Job) -> list[Outcome]:
        outcomes, stop = list[Outcome](), Stop(self._say, is_patient=self._options.is_patient)

        def without() -> list[Trial]:
            done = {outcome.trial for outcome in outcomes}
            return [trial for trial in job.trials if trial not in done]

        try:
            with stop.on_signals():
                tell = partial(self._tell, job)
                outcomes.extend(run_job(job, device=self._options.device, tell=tell, stop=stop))
            outcomes += recorded(without(), job.store, job.source)  # by another process, since
        except StoppedError as stopped:
            self._say(f"optsuite: {stopped}")
            raise stop.interrupt from None
        except Exception as error:  # noqa: BLE001 - it is the outcome of the trials without one
            outcomes += [Outcome(trial, error) for trial in without()]
        return outcomes

    def close(self) -> None:
        """Forget the jobs that have not run."""
        self._jobs.clear()
