"""One pytest session of benchmarks: what it selects, what it trains, what came of it."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from types import ModuleType, TracebackType
from typing import Any, NamedTuple

import pytest
import torch
from _pytest.mark import ParameterSet

from optsuite import backends, storage, sweep, trainer
from optsuite.curves import Curve
from optsuite.errors import OptsuiteError, in_face
from optsuite.hparam_sets import Config, HParamSet, Trial, register_lr_family
from optsuite.plugin import _after, _options, _terminal
from optsuite.plugin._progress import Progress
from optsuite.plugin._terminal import Result

__all__ = ["CurveStore", "Recorder", "Session", "Setting"]


class Setting(NamedTuple):
    """One config of one cell: an item of the matrix."""

    cell: sweep.Cell
    config: Config

    @property
    def task_name(self) -> str:
        """Name of the task."""
        return self.cell.task_name

    @property
    def hparam_set(self) -> HParamSet:
        """The hparam set."""
        return self.cell.hparam_set

    @property
    def trials(self) -> list[Trial]:
        """The repetitions."""
        return self.hparam_set.trials_of(self.config, self.task_name, self.cell.precision)

    @property
    def id(self) -> str:
        """`<task>-<set>-<config label>`."""
        return f"{self.cell.name}-{self.config.label}"


class Recorder:
    """Collects the results that reports carry, from this process or from xdist's workers."""

    def __init__(self) -> None:
        self._results: dict[tuple[str, str], Result] = {}

    @property
    def results(self) -> list[Result]:
        """One a setting, though several tests may have asked for it."""
        return list(self._results.values())

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep a benchmark's result; a test that passed without training has none."""
        result = Result.from_report(report) if report.when != "teardown" else None
        if result is None or (result.summary is None and report.passed):
            return
        key = result.cell_name, result.label
        if result.summary is not None or key not in self._results:
            self._results[key] = result


class Session:
    """The state of one session; made when its first benchmark is seen."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.options = _options.read(config)
        for optimizer in self.options.optimizers:
            register_lr_family(optimizer)
        self.selected: dict[sweep.Cell, list[Config]] = {}
        self.left_out: list[sweep.Cell] = []
        self.over_budget: list[sweep.Cell] = []
        self._within_budget: sweep.Plan | None = None
        self.began = datetime.now(UTC).astimezone()
        self.built = _after.Built()
        self._signed: list[tuple[backends.Site, storage.Store]] = []
        self.device = trainer.resolve_device(self.options.device or _worker_device(config))
        if self.options.backend == "local":
            trainer.check_precision(self.options.precision, self.device)

    @cached_property
    def matrix(self) -> sweep.Matrix:
        """The cells that the options ask for."""
        options = self.options
        return sweep.make_matrix(
            preset=options.preset,
            tasks=options.tasks,
            sets=options.sets,
            num_steps=options.steps,
            repetitions=options.reps,
            precision=options.precision,
            device=self.device,
        )

    @cached_property
    def curve_store(self) -> CurveStore:
        """Trains and remembers."""
        return CurveStore(self)

    def setting_params(self) -> list[ParameterSet]:
        """Every setting of the matrix, with its id and its marker."""
        params = []
        for cell in self.matrix.cells:
            for config in cell.hparam_set.configs:
                setting = Setting(cell, config)
                mark = pytest.mark.optsuite(
                    task=cell.task_name,
                    set=cell.hparam_set.name,
                    opt=cell.hparam_set.opt,
                    label=config.label,
                )
                params.append(pytest.param(setting, id=setting.id, marks=mark))
        return params

    def task_names(self) -> list[str]:
        """The tasks of the matrix that have a cell within its budget."""
        first = {cell.task_name: cell for cell in reversed(self.matrix.cells)}
        return [name for name, cell in first.items() if not self.matrix.leaves_out(cell)]

    def select(self, settings: Mapping[pytest.Item, Setting]) -> list[pytest.Item]:
        """Take the settings that pytest chose; return the items that preset or budget leave out.

        Raises:
            pytest.UsageError: Not one cell fits the budget.
        """
        chosen: dict[sweep.Cell, list[Config]] = {}
        for setting in settings.values():
            chosen.setdefault(setting.cell, []).append(setting.config)
        self.left_out = [cell for cell in chosen if self.matrix.leaves_out(cell)]
        self.selected = _without(chosen, self.left_out)
        if self.options.budget:
            try:
                # What lacks its data costs nothing, and says so in its own tests.
                known = {cell: configs for cell, configs in self.selected.items() if self.source(cell)}
                self._within_budget, self.over_budget = self._plan(known).within(self.options.budget)
            except OptsuiteError as error:
                raise pytest.UsageError(f"optsuite: {in_face(error, 'pytest')}") from None
            self.selected = _without(self.selected, self.over_budget)
        dropped = {*self.left_out, *self.over_budget}
        return [item for item, setting in settings.items() if setting.cell in dropped]

    def select_ids(self, ids: Sequence[str]) -> bool:
        """Take the settings that a worker of xdist chose; whether there are any, the first time."""
        if self.selected:
            return False
        names = {name for nodeid in ids if (name := _terminal.setting_of(nodeid))}
        for cell in self.matrix.cells if names else []:
            configs = [c for c in cell.hparam_set.configs if Setting(cell, c).id in names]
            if configs:
                self.selected[cell] = configs
        return bool(self.selected)

    def plan_lines(self) -> list[str]:
        """The plan in words."""
        if self.config.option.collectonly and not self.options.plan:
            return []
        try:
            plan = self._within_budget
            if plan is None or plan.cells.keys() != self.selected.keys():
                plan = self._plan(self.selected)
        except OptsuiteError as error:
            return [f"optsuite: no plan: {in_face(error, 'pytest')}"]
        preset = f"preset {self.matrix.preset}"
        return [
            *sweep.plan_lines(plan, self.stores(plan.sources.values()), self.device, preset),
            *(f"  {line}" for line in sweep.plan_table(plan) if self.options.plan and plan.cells),
            *sweep.left_out_lines(
                self.left_out,
                preset,
                "that take too long; --opt-tasks NAME or --opt-preset full brings them back",
            ),
            *sweep.over_budget_lines(self.over_budget, self.options.budget),
        ]

    def _plan(self, cells: Mapping[sweep.Cell, Sequence[Config]]) -> sweep.Plan:
        options = self.options
        return sweep.plan(
            cells,
            roots=options.roots,
            mode=options.data,
            rerun=options.rerun,
            device=self.device,
            num_workers=backends.count_workers(
                options.backend,
                device=options.device,
                num_workers=options.workers,
                dask_address=options.dask_address,
            ),
        )

    def stores(self, sources: Iterable[str]) -> list[storage.Store]:
        """Where results on those kinds of data lie."""
        return [storage.Store.at(*self.options.roots, source) for source in sorted(set(sources) - {""})]

    def print_lines(self, lines: Sequence[str]) -> None:
        """Write lines to the terminal, if there is one."""
        if reporter := self.config.pluginmanager.getplugin("terminalreporter"):
            reporter.ensure_newline()
            for line in lines:
                reporter.write_line(line)

    def before_tests(self) -> bool | None:
        """True to end the session after its plan.

        Raises:
            pytest.UsageError: The results could not be written.
        """
        if self.options.plan:
            return True
        for store in self.stores(map(self.source, self.selected)):
            try:
                store.check_writable()
            except OptsuiteError as error:
                raise pytest.UsageError(f"optsuite: {in_face(error, 'pytest')}") from None
        if self.options.backend != "local" and self.selected:
            try:
                self.curve_store.connect()
            except OptsuiteError as error:
                raise pytest.UsageError(f"optsuite: {in_face(error, 'pytest')}") from None
        return None

    def source(self, cell: sweep.Cell) -> str:
        """Kind of data of a cell; empty where it is missing, which its own tests report."""
        try:
            return cell.source(self.options.data)
        except OptsuiteError:
            return ""

    def check_data(self, setting: Setting) -> None:
        """Fail the test if its data were asked for and are not there."""
        try:
            setting.cell.source(self.options.data)
        except OptsuiteError as error:
            pytest.fail(in_face(error, "pytest"), pytrace=False)

    def make_backend(self, tell: backends.Tell) -> backends.Backend:
        """The back end that the options ask for.

        Raises:
            RemoteError: There is no such cluster, or it is not like this process.
            StorageError: The store cannot be marked.
            UnsupportedError: A package is missing.
        """
        options = self.options
        site = backends.Site.of_this_process(_conftests(self.config))
        is_local = options.backend == "local"
        for store in [] if is_local else self.stores(map(self.source, self.selected)):
            site.sign(store)
            self._signed.append((site, store))
        return backends.open_backend(
            options.backend,
            site,
            tell,
            lambda line: self.print_lines([line]),
            device=self.device if is_local else options.device,
            num_workers=options.workers,
            dask_address=options.dask_address,
        )

    def close(self) -> None:
        """Give up what still trains elsewhere, and leave no mark."""
        self.curve_store.close()
        for site, store in self._signed:
            try:
                site.leave(store)
            except OptsuiteError as error:
                self.built.warnings.append(f"a mark of this session stays: {in_face(error, 'pytest')}")

    def after_tests(self, results: Sequence[Result], *, is_interrupted: bool) -> None:
        """Make archives, normalizers and the report; nothing of it fails the session."""
        with_report = self.options.report == "on" and not is_interrupted
        try:
            _after.build(self, results, self.built, with_report=with_report)
        except KeyboardInterrupt:
            self.built.warnings.append("interrupted: what was left to archive, draw and report is not done")

    def summary_lines(self, results: Sequence[Result]) -> list[str]:
        """The summary in words."""
        stores = self.stores(result.source for result in results)
        built = self.built
        return [
            *_terminal.table_lines(results),
            *_terminal.places_lines(stores, built.num_archives, built.report),
            *(f"warning: {text}" for text in built.warnings),
        ]


class CurveStore:
    """Gives the curves of settings; the first setting of a cell trains all that were selected."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._outcomes: dict[sweep.Cell, dict[Trial, Curve | Exception]] = {}
        self._submitted: dict[str, _Submitted] = {}
        self._lock = threading.Lock()
        self._trained: set[Trial] = set()
        self._tracebacks: dict[Exception, TracebackType | None] = {}
        self._progress: Progress | None = None

    def curves(self, setting: Setting) -> list[Curve]:
        """The curves of a setting's repetitions, by seed.

        Raises:
            Exception: What kept a repetition from being trained; an `OptsuiteError` fails the test in words.
        """
        outcomes = self._outcomes_of(setting)
        for trial in setting.trials:
            error = outcomes[trial]
            if isinstance(error, OptsuiteError):
                pytest.fail(in_face(error, "pytest"), pytrace=False)
            if isinstance(error, Exception):
                # Trials that failed together share the error, and each raise would lengthen its traceback.
                raise error.with_traceback(self._tracebacks.setdefault(error, error.__traceback__))
        return [curve for trial in setting.trials if isinstance(curve := outcomes[trial], Curve)]

    def properties(self, setting: Setting) -> list[tuple[str, Any]]:
        """What a report says about a setting."""
        outcomes, trials = self._outcomes.get(setting.cell, {}), setting.trials
        recorded = [curve for trial in trials if isinstance(curve := outcomes.get(trial), Curve)]
        num_trained = len(self._trained.intersection(trials))
        result = Result(
            task=setting.task_name,
            set=setting.hparam_set.name,
            label=setting.config.label,
            source=str(recorded[0]["data_source"]) if recorded else "",
            summary=sweep.summarize(recorded) if len(recorded) == len(trials) else None,
            num_trained=num_trained,
            num_recorded=len(recorded) - num_trained,
        )
        return result.properties()

    def connect(self) -> None:
        """Start the back end.

        Raises:
            OptsuiteError: As `Session.make_backend`.
        """
        self._backend  # noqa: B018 - starts when it is first asked for

    def close(self) -> None:
        """Give up what still trains elsewhere."""
        if "_backend" in vars(self):
            self._backend.close()

    @cached_property
    def _backend(self) -> backends.Backend:
        return self._session.make_backend(self._tell)

    def _outcomes_of(self, setting: Setting) -> dict[Trial, Curve | Exception]:
        cell = setting.cell
        if cell not in self._outcomes or cell.name in self._submitted:
            self._run(setting)
        return self._outcomes[cell]

    def _run(self, setting: Setting) -> None:
        """Fill in the outcomes of a setting's cell."""
        with Progress(self._session.config, setting.cell.name) as self._progress, warnings.catch_warnings():
            # What compilers and optimizers warn of is told at the end, and never costs a curve.
            warnings.simplefilter("default")
            try:
                selected = self._session.selected
                cells = {setting.cell: selected.get(setting.cell, [setting.config])}
                self._submit(cells | selected if self._backend.is_concurrent else cells)
                self._wait_for(setting.cell.name)
            except KeyboardInterrupt:
                # Compiled code has frames without line numbers, which pytest fails to print.
                raise KeyboardInterrupt from None

    def _submit(self, cells: Mapping[sweep.Cell, list[Config]]) -> None:
        """Have cells trained, unless that was done before."""
        jobs = {cell: job for cell, configs in cells.items() if (job := self._prepared(cell, configs))}
        shared_out = sweep.share_out(list(jobs.values()), self._backend.num_workers)
        for (cell, job), parts in zip(jobs.items(), shared_out, strict=True):
            self._submitted[job.name] = _Submitted(cell, job.num_steps, [0] * len(parts), len(parts))
            for part in parts:
                self._backend.submit(part)

    def _prepared(self, cell: sweep.Cell, configs: Sequence[Config]) -> sweep.Job | None:
        """What is to be trained of a cell, if there is anything."""
        if cell in self._outcomes:
            return None
        options = self._session.options
        try:
            job, outcomes = sweep.prepare(
                cell, configs, roots=options.roots, mode=options.data, rerun=options.rerun
            )
        except Exception as error:  # noqa: BLE001 - it is the outcome of all trials
            self._outcomes[cell] = dict.fromkeys(cell.trials(configs), error)
            return None
        self._outcomes[cell] = {outcome.trial: outcome.result for outcome in outcomes}
        return job if job.trials else None

    def _wait_for(self, name: str) -> None:
        """Take in what ends until a cell has ended."""
        ended = self._backend.as_completed()
        while name in self._submitted:
            job, outcomes = next(ended)
            submitted = self._submitted[job.name]
            self._outcomes[submitted.cell] |= {outcome.trial: outcome.result for outcome in outcomes}
            self._trained |= {o.trial for o in outcomes if o.is_new and isinstance(o.result, Curve)}
            submitted.num_parts_left -= 1
            if not submitted.num_parts_left:
                del self._submitted[job.name]

    def _tell(self, job: sweep.Job, done: int, _total: int) -> None:
        with self._lock:  # parts of a cell tell from threads of their own
            submitted = self._submitted[job.name]
            submitted.done[job.part] = done
            if self._progress is not None and job.name == self._progress.name:
                self._progress.tell(sum(submitted.done), submitted.num_steps)


@dataclass
class _Submitted:
    """A cell that a back end has in hand, as one job or several."""

    cell: sweep.Cell
    num_steps: int
    done: list[int]
    """Trial-steps, by part."""
    num_parts_left: int


def _without(
    chosen: Mapping[sweep.Cell, list[Config]], cells: Sequence[sweep.Cell]
) -> dict[sweep.Cell, list[Config]]:
    dropped = set(cells)
    return {cell: configs for cell, configs in chosen.items() if cell not in dropped}


def _conftests(config: pytest.Config) -> list[ModuleType]:
    """Where users register what is theirs."""
    plugins = config.pluginmanager.get_plugins()
    modules = [plugin for plugin in plugins if isinstance(plugin, ModuleType)]
    return [module for module in modules if module.__name__.rpartition(".")[2] == "conftest"]


def _worker_device(config: pytest.Config) -> str | None:
    """The device of this worker of xdist; None in a process of its own."""
    workerinput: Mapping[str, Any] | None = getattr(config, "workerinput", None)
    if workerinput is None:
        return None
    number, count = int(workerinput["workerid"].removeprefix("gw")), int(workerinput["workercount"])
    if torch.cuda.is_available():
        return f"cuda:{number % torch.cuda.device_count()}"
    # Workers that each start a thread a core would spend their time waiting for one another.
    torch.set_num_threads(max(1, backends.num_cores() // count))
    return "cpu"
