"""The runner: hands cells to a back end and tells what becomes of them."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from types import ModuleType

from optsuite import backends, spool, storage, sweep, trainer
from optsuite.curves import Curve
from optsuite.errors import OptsuiteError, quoted
from optsuite.hparam_sets import Config, Trial
from optsuite.runner._build import build
from optsuite.runner._events import Ended, Event, Outcomes, Progress, Said, Started, Teller
from optsuite.runner._options import RunOptions
from optsuite.runner._page import RunFacts, write_page
from optsuite.runner._results import Result
from optsuite.storage import Store
from optsuite.sweep import Cell, Job
from optsuite.trainer import Outcome
from optsuite.verdict import Verdict
from optsuite.words import counted

# Time between two looks at trials that other processes train, where there is nothing else to do.
_AWAIT_SECONDS = 2.0


class Runner:
    """Runs cells on one back end.

    Args:
        options: How to run, and where results lie.
        tell: Called with each event, by one thread at a time.
        explain: Puts an error into the words of the face.

    Attributes:
        options: The options.
        device: Where this process trains.
        began: When this runner was made.
        archived: Cells that `build` found complete; each has its archive.
        report: URL of the page that `build` wrote; None if there is none.
        warnings: Problems so far that cost no curve.
        gone: Reason why nothing can be recorded any more, from when on nothing is trained; None if it can.

    Raises:
        OptsuiteError: The device does not exist, or a budget is asked for that nobody can keep.
        UnsupportedError: The device has not the precision that is asked for.
    """

    def __init__(
        self, options: RunOptions, tell: Callable[[Event], None], explain: Callable[[Exception], str] = str
    ) -> None:
        if options.budget and options.dask_address:
            raise OptsuiteError(
                "a budget needs to know the machines, and those of a running Dask cluster are not asked: "
                "name fewer tasks and sets instead"
            )
        self.options = options
        self.device = trainer.resolve_device(options.device)
        if options.backend == "local":
            trainer.check_precision(options.precision, self.device)
        self.began = datetime.now(UTC).astimezone()
        self._teller, self._explain = Teller(tell, explain), explain
        self.archived, self.warnings = self._teller.archived, self._teller.warnings
        self.report: str | None = None
        self.gone: backends.StoreGoneError | None = None
        self._run = secrets.token_hex(8)
        self._cells: dict[Cell, list[Config]] = {}
        self._modules: list[ModuleType] = []
        self._taken: set[tuple[Cell, Config]] = set()
        self._in_hand: dict[str, _InHand] = {}
        self._num_running = 0
        self._awaited: list[Job] = []
        self._signed: list[Store] = []

    def plan(self, cells: Mapping[Cell, Sequence[Config]]) -> sweep.Plan:
        """Look at the store, estimate what training the rest costs, and keep what fits the budget.

        Args:
            cells: The configs to run, by cell.

        Raises:
            HParamError: An optimizer class does not fit the parameters of a task.
            OptsuiteError: Not one cell fits the budget, or the store cannot be listed.
        """
        _check_fit(cells)
        options = self.options
        plan = sweep.plan(
            cells,
            roots=options.roots,
            mode=options.data,
            rerun=options.rerun,
            device=self.device,
            num_workers=backends.count_workers(options),
        )
        return plan.within(options.budget) if options.budget else plan

    def take(self, cells: Mapping[Cell, Sequence[Config]], modules: Iterable[ModuleType] = ()) -> None:
        """Remember what this run is for; nothing happens yet.

        Args:
            cells: The configs to run, by cell.
            modules: Modules that register tasks, optimizers or hparam sets, which other processes import too.
        """
        self._cells = {cell: list(configs) for cell, configs in cells.items()}
        self._modules = list(modules)

    def connect(self) -> None:
        """See that all can be trained and results be written, and start the back end.

        Raises:
            HParamError: An optimizer class does not fit the parameters of a task.
            StorageError: Results could not be written.
            RemoteError: There is no such cluster, or it is not like this process.
            UnsupportedError: A package is missing.
        """
        _check_fit(self._cells)
        by_length = sorted(self._cells, key=lambda cell: len(cell.hparam_set.name))  # it may be too long
        by_task = {(self.options.source(cell), cell.task_name): cell for cell in by_length}
        for (source, _), cell in by_task.items():
            if source:
                sweep.check_writable(cell, self.options.store(source))
        for store in self.options.stores(source for source, _ in by_task):
            for root in store:
                storage.sweep_temporaries(root)
            self._teller.attempt(
                "curves of an earlier run, which lie in the spool", self._take_spooled, store
            )
        if self._cells:
            self._backend  # noqa: B018 - starts when it is first asked for

    def train_all(self) -> None:
        """Train what is not recorded of all cells, and return when every one has ended.

        Trials that other processes train are awaited, after all others.
        """
        self._submit(self._cells)
        self._wait_while(lambda: bool(self._in_hand))

    def train(self, cell: Cell, configs: Sequence[Config]) -> None:
        """Train what is not recorded of one cell, and return when it has ended.

        The other configs of the cell that were taken train with it. A back end of other processes is given
        all cells that were taken, which go on while nobody waits. Where other processes train the cell, other
        cells that were taken are trained until these are done.

        Args:
            cell: The cell.
            configs: The configs that are asked for.
        """
        self._wait_while(lambda: cell.name in self._in_hand)
        chosen = {cell: [*self._cells.get(cell, ()), *configs]}
        is_all = self.gone is None and self._backend.is_concurrent
        self._submit(self._cells | chosen if is_all else chosen)
        self._wait_while(lambda: cell.name in self._in_hand)

    def forget(self, cell: Cell, config: Config) -> None:
        """Look at the store again, and train what is not there, when a config is next asked for."""
        self._taken.discard((cell, config))

    def close(self) -> None:
        """Give up what still trains, end what was started, and remove the marks of this run."""
        try:
            self._close_backend()
        finally:
            while self._signed:
                self._leave(self._signed.pop())

    def build(
        self,
        cells: Iterable[Cell],
        results: Sequence[Result],
        *,
        command: str,
        preset: str,
        left_out: Sequence[Cell] = (),
        with_report: bool = True,
        judge: Callable[[], Verdict | None] = lambda: None,
    ) -> None:
        """Archive complete cells, update normalizers, draw figures and write the page.

        What goes wrong is told as a warning, since the curves are recorded.

        Args:
            cells: The cells that may have results.
            results: What became of their configs; cells without any are left alone.
            command: What the user typed, for the page.
            preset: Preset that the cells were chosen from, for the page.
            left_out: Cells that the preset left out, for the page.
            with_report: False writes no page, whatever the options say.
            judge: Gives the verdict that the page begins with, if any; called once cells are archived.
        """
        if self.gone is not None:
            self._teller.warn("nothing was archived or drawn: the store is gone")
            return
        found = build(self.options, self._teller, cells, results)
        if self.options.report and with_report:
            facts = RunFacts(self.began, self.device, command, preset, left_out)
            judged = self._teller.attempt("verdict", judge)
            self.report = write_page(self.options, self._teller, found, results, facts, judged)

    @cached_property
    def _backend(self) -> backends.Backend:
        return backends.open_backend(
            self.options, self._site, self._tell_progress, lambda line: self._teller.tell(Said(line))
        )

    @cached_property
    def _site(self) -> backends.Site:
        return backends.Site.of_this_process(self._modules)

    def _close_backend(self) -> None:
        if backend := vars(self).pop("_backend", None):
            backend.close()

    def _take_spooled(self, store: Store) -> None:
        """Record curves that an earlier run could not write to a store."""
        root = store.absolute().curves
        if spool.waiting(root):
            uploaded = spool.upload(root)
            count = sum(map(len, uploaded.urls.values()))
            self._teller.tell(Said(f"optsuite: {counted(count, 'curve')} taken from the spool"))
            for problem in uploaded.problems:
                self._teller.warn(problem)

    def _sign(self, store: Store) -> None:
        """Mark a store, so that workers elsewhere know that they see the same one."""
        if self.options.backend != "local" and store not in self._signed:
            self._signed.append(store)
            self._site.sign(store)

    def _leave(self, store: Store) -> None:
        try:
            self._site.leave(store)
        except OptsuiteError as error:
            self._teller.warn(f"a mark of this run stays: {self._explain(error)}")

    def _submit(self, cells: Mapping[Cell, Sequence[Config]]) -> None:
        """Have the back end train what is not recorded of cells, unless that was done before."""
        jobs = {}
        for cell, configs in cells.items():
            if job := self._prepare(cell, configs):
                jobs[cell] = job
        if not jobs:
            return
        shared_out = sweep.share_out(list(jobs.values()), self._backend.num_workers)
        for (cell, job), parts in zip(jobs.items(), shared_out, strict=True):
            self._in_hand[cell.name] = _InHand(cell, job, [0] * len(parts), len(parts))
            self._teller.tell(Started(cell, job.num_steps))
            for part in parts:
                self._submit_job(part)

    def _submit_job(self, job: Job) -> None:
        self._num_running += 1
        self._backend.submit(job)

    def _prepare(self, cell: Cell, configs: Sequence[Config]) -> Job | None:
        """Tell what is recorded of configs that were not asked for before; return the rest as a job."""
        new = [config for config in dict.fromkeys(configs) if (cell, config) not in self._taken]
        if not new:
            return None
        self._taken.update((cell, config) for config in new)
        options = self.options
        try:
            if self.gone is not None:
                raise self.gone
            job, outcomes = sweep.prepare(
                cell,
                new,
                roots=options.roots,
                mode=options.data,
                rerun=options.rerun,
                run=self._run,
                save_every_s=options.checkpoint,
            )
            if job.trials:
                self._sign(job.store)
            sweep.tidy(job)
        except Exception as error:  # noqa: BLE001 - it is the outcome of all trials
            if isinstance(error, storage.UnreachableError) and self.gone is None:
                error = self.gone = backends.StoreGoneError(quoted(error))
            job, outcomes = None, [Outcome(trial, error) for trial in cell.trials(new)]
        if outcomes:
            self._teller.tell(Outcomes(cell, outcomes))
        if job and job.trials:
            return job
        self._teller.tell(Ended(cell, 0, 0))
        return None

    def _wait_while(self, is_going: Callable[[], bool]) -> None:
        """Take in what ends; try again, now and then, what other processes trained."""
        try:
            with backends.interrupted_by_sigterm():
                while is_going():
                    self._wait()
        except KeyboardInterrupt:  # a face may have much to say before it closes this runner
            self._close_backend()
            raise

    def _wait(self) -> None:
        """Take in the next job that ends."""
        if not self._num_running:
            if not self._start_another():
                time.sleep(_AWAIT_SECONDS)
            self._try_again()
        job, outcomes = next(self._backend.as_completed())
        self._num_running -= 1
        is_awaited = self._take_in(self._in_hand[job.name], job, outcomes)
        if self.gone is not None:
            self._give_up()
        elif not is_awaited:
            self._try_again()

    def _take_in(self, one: _InHand, job: Job, outcomes: Sequence[Outcome]) -> bool:
        """Tell the outcomes of a job; return whether other processes train some of its trials."""
        awaited = [o for o in outcomes if isinstance(o.result, backends.ElsewhereError)]
        ended = [o for o in outcomes if not isinstance(o.result, backends.ElsewhereError)]
        one.num_trained += sum(o.is_new and isinstance(o.result, Curve) for o in ended)
        one.ended.update(outcome.trial for outcome in ended)
        one.failed.update(outcome.trial for outcome in ended if isinstance(outcome.result, Exception))
        gone = (o.result for o in ended if isinstance(o.result, backends.StoreGoneError))
        self.gone = self.gone or next(gone, None)
        if ended:
            self._teller.tell(Outcomes(one.cell, ended))
        if awaited:
            self._say_awaited(one, awaited)
            self._awaited.append(replace(job, trials=tuple(outcome.trial for outcome in awaited)))
        else:
            one.num_parts_left -= 1
            if not one.num_parts_left:
                self._end(one)
        return bool(awaited)

    def _end(self, one: _InHand) -> None:
        del self._in_hand[one.job.name]
        if self.gone is None:
            with contextlib.suppress(OptsuiteError):  # the next run does it
                sweep.end_recorded(replace(one.job, trials=tuple(one.failed)))
        self._teller.tell(Ended(one.cell, one.num_trained, len(one.job.trials)))

    def _give_up(self) -> None:
        """End everything that trains, since nothing of it could be recorded."""
        assert self.gone is not None
        self._close_backend()
        self._awaited, self._num_running = [], 0
        for one in list(self._in_hand.values()):
            lost = [Outcome(trial, self.gone) for trial in one.job.trials if trial not in one.ended]
            self._teller.tell(Outcomes(one.cell, lost))
            self._end(one)

    def _say_awaited(self, one: _InHand, awaited: Sequence[Outcome]) -> None:
        if not one.is_awaited:
            one.is_awaited = True
            words = f"{one.cell.name}: {counted(len(awaited), 'trial')} not trained here: {awaited[0].result}"
            self._teller.tell(Said(f"{words}; its curves are awaited"))

    def _start_another(self) -> bool:
        """Submit the next cell that nobody has asked for yet, rather than wait for other processes."""
        for cell, configs in self._cells.items():
            if any((cell, config) not in self._taken for config in configs):
                self._submit({cell: configs})
                if self._num_running:
                    return True
        return False

    def _try_again(self) -> None:
        awaited, self._awaited = self._awaited, []
        for job in awaited:
            self._submit_job(job)

    def _tell_progress(self, job: Job, done: int, _total: int) -> None:
        with self._teller.lock:  # parts of a cell tell from threads of their own
            one = self._in_hand[job.name]
            one.done[job.part] = max(one.done[job.part], done)  # trials that were awaited count anew
            self._teller.tell(Progress(one.cell, sum(one.done), one.job.num_steps))


def _check_fit(cells: Mapping[Cell, Sequence[Config]]) -> None:
    for cell, configs in cells.items():
        for config in configs[:1]:
            trainer.check_fit(cell.task, config)


@dataclass
class _InHand:
    """A cell that the back end has in hand, as one job or several."""

    cell: Cell
    job: Job
    """All of it."""
    done: list[int]
    """Number of trial-steps that are done, by part."""
    num_parts_left: int
    num_trained: int = 0
    """Number of trials that were trained and recorded."""
    ended: set[Trial] = field(default_factory=set)
    """Trials whose outcomes were told."""
    failed: set[Trial] = field(default_factory=set)
    """Trials among these that are not recorded."""
    is_awaited: bool = False
    """Whether it was said that other processes train a part of it."""
