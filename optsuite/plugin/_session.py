"""One pytest session of benchmarks: what it selects, and what the runner told of it."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from types import ModuleType
from typing import Any

import pytest
import torch
from _pytest.mark import ParameterSet

from optsuite import backends, sweep
from optsuite.errors import OptsuiteError
from optsuite.hparam_sets import Config, register_checkpoint, register_grid, register_lr_family
from optsuite.plugin import _compare, _options, _terminal, _verdict
from optsuite.plugin._curve_store import CellConfig, CurveStore
from optsuite.plugin._ids import config_of
from optsuite.plugin._options import explained
from optsuite.plugin._progress import uncaptured
from optsuite.runner import Event, Result, Runner, Said
from optsuite.suites import Suite, get_suite
from optsuite.words import counted


class Session:
    """The state of one session; made when its first benchmark is seen."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.options = _options.read(config)
        self._added = self._register()
        options = self.options.run
        device = options.device or _worker_device(config)
        # Who interrupts xdist has its workers interrupted twice.
        options = replace(options, device=device, is_patient=hasattr(config, "workerinput"))
        self.runner = Runner(options, self._take, explained)
        self.curve_store = CurveStore(config, self.runner)
        self.selected: dict[sweep.Cell, list[Config]] = {}
        self.left_out: list[sweep.Cell] = []
        self._plan: sweep.Plan | None = None
        self._compared: _compare.Compared | None = None
        self._judged: list[_verdict.Judged] | None = None

    def _register(self) -> list[str]:
        """Register the optimizers that options add; returns their families."""
        families = [register_lr_family(optimizer) for optimizer in self.options.optimizers]
        for checkpoint in self.options.checkpoints:
            register_checkpoint(checkpoint)
        families += ["LOpt"] * bool(self.options.checkpoints)
        return [*families, *map(register_grid, self.options.grids)]

    @cached_property
    def suite(self) -> Suite | None:
        """The suite that is asked for."""
        return get_suite(self.options.suite) if self.options.suite else None

    @property
    def chosen_by(self) -> str:
        """Words on what chose the cells."""
        return f"suite {self.suite.label}" if self.suite else f"preset {self.matrix.preset}"

    @cached_property
    def matrix(self) -> sweep.Matrix:
        """The cells that the options ask for."""
        options = self.options
        if suite := self.suite:
            added = [suite.set_of(family) for family in self._added]
            return sweep.make_matrix(
                preset="full",
                tasks=suite.tasks,
                sets=[*added, *options.sets] or [suite.set_of(family) for family in suite.families],
                num_steps=suite.num_steps,
                repetitions=suite.num_seeds,
                precision=options.run.precision,
                device=self.runner.device,
            )
        return sweep.make_matrix(
            preset=options.preset,
            tasks=options.tasks,
            sets=options.sets,
            num_steps=options.steps,
            repetitions=options.reps,
            precision=options.run.precision,
            device=self.runner.device,
        )

    def config_params(self, is_chosen: Callable[[str], bool]) -> list[ParameterSet]:
        """Return the configs of the cells of the matrix whose id is chosen, with their ids and markers."""
        found = [CellConfig(cell, config) for cell in self.matrix.cells for config in cell.hparam_set.configs]
        chosen = [one for one in found if is_chosen(one.id)]
        # Of no configs pytest would make an item of its own; it drops the first one by itself.
        return [_param(one) for one in chosen or found[:1]]

    def task_names(self) -> list[str]:
        """Return the tasks of the matrix that have a cell which the preset does not leave out."""
        first = {cell.task_name: cell for cell in reversed(self.matrix.cells)}
        return [name for name, cell in first.items() if not self.matrix.leaves_out(cell)]

    def select(self, cell_configs: Mapping[pytest.Item, CellConfig]) -> list[pytest.Item]:
        """Take the configs that pytest chose; return the items that preset or budget leave out.

        Raises:
            pytest.UsageError: Not one cell fits the budget.
        """
        chosen: dict[sweep.Cell, list[Config]] = {}
        for cell, config in cell_configs.values():
            chosen.setdefault(cell, []).append(config)
        self.left_out = [cell for cell in chosen if self.matrix.leaves_out(cell)]
        dropped = set(self.left_out)
        if self.options.run.budget:
            try:
                self._plan = self.runner.plan(_without(chosen, dropped))
            except OptsuiteError as error:
                raise pytest.UsageError(f"optsuite: {explained(error)}") from None
            dropped |= set(self._plan.over_budget)
        self._take_cells(_without(chosen, dropped))
        return [item for item, (cell, _) in cell_configs.items() if cell in dropped]

    def select_ids(self, ids: Sequence[str]) -> bool:
        """Take the configs that a worker of xdist chose; return whether there are any, the first time."""
        if self.selected:
            return False
        names = {name for nodeid in ids if (name := config_of(nodeid))}
        chosen = {
            cell: configs
            for cell in (self.matrix.cells if names else ())
            if (configs := [c for c in cell.hparam_set.configs if CellConfig(cell, c).id in names])
        }
        self._take_cells(chosen)
        return bool(chosen)

    def _take_cells(self, cells: dict[sweep.Cell, list[Config]]) -> None:
        self.selected = cells
        self.runner.take(cells, _conftests(self.config))

    def plan_lines(self) -> list[str]:
        """Return the plan in words."""
        if self.config.option.collectonly and not self.options.plan:
            return []
        try:
            plan = self._plan or self.runner.plan(self.selected)
        except OptsuiteError as error:
            return [f"optsuite: no plan: {explained(error)}"]
        chosen_by, options = self.chosen_by, self.options.run
        causes = [explained(error) for error in plan.without_data.values()]
        advice = "that take too long; --opt-tasks NAME or --opt-preset full brings them back"
        return [
            *sweep.plan_lines(plan, options.stores(plan.sources.values()), self.runner.device, chosen_by),
            *(f"  {line}" for line in sweep.plan_table(plan) if self.options.plan and plan.cells),
            *(
                f"optsuite: no plan of {counted(causes.count(cause), 'cell')}: {cause}"
                for cause in dict.fromkeys(causes)
            ),
            *sweep.left_out_lines(self.left_out, chosen_by, advice),
            *sweep.over_budget_lines(plan.over_budget, options.budget),
        ]

    def print_lines(self, lines: Sequence[str]) -> None:
        """Write lines to the terminal, if there is one."""
        if reporter := self.config.pluginmanager.getplugin("terminalreporter"):
            with uncaptured(self.config):
                reporter.ensure_newline()
                for line in lines:
                    reporter.write_line(line)

    def before_tests(self) -> bool | None:
        """Return True to end the session after its plan; otherwise make everything ready to train.

        Raises:
            pytest.UsageError: The results could not be written, there is no such back end, or nothing to
                compare with.
        """
        if self.options.plan:
            return True
        try:
            if self.options.compare:
                _compare.check(self.options, self._sources())
            self.runner.connect()
        except OptsuiteError as error:
            raise pytest.UsageError(f"optsuite: {explained(error)}") from None
        return None

    def _sources(self) -> set[str]:
        """Return the kinds of data that the selected cells train on, as far as their data are there."""
        found = set[str]()
        for cell in self.selected:
            with suppress(OptsuiteError):
                found.add(cell.source(self.options.run.data))
        return found

    def check_data(self, cell_config: CellConfig) -> None:
        """Fail the test if its data were asked for and are not there."""
        cause = ""
        try:
            cell_config.cell.source(self.options.run.data)
        except OptsuiteError as error:
            cause = explained(error)
        if cause:  # raised in the block above, it would be shown together with the error itself
            pytest.fail(cause, pytrace=False)

    def after_tests(self, results: Sequence[Result], *, is_interrupted: bool) -> None:
        """Make archives, normalizers and the report, and compare; only the gate can fail the session."""
        try:
            self.runner.build(
                self.matrix.cells,
                results,
                command=shlex.join(("pytest", *map(str, self.config.invocation_params.args))),
                preset=self.suite.label if self.suite else self.matrix.preset,
                left_out=self.left_out,
                with_report=not is_interrupted,
                judge=lambda: _verdict.first(self._judge(results)),
            )
        except KeyboardInterrupt:
            self.runner.warnings.append("interrupted: what was left to archive, draw and report is not done")
        if self.options.compare and not is_interrupted:
            self._compared = _compare.compare(self.options, results)

    @property
    def is_gate_shut(self) -> bool:
        """Whether the session fails by what its archives were compared with."""
        return self.options.compare_fail and self._compared is not None and self._compared.fails

    def summary_lines(self, results: Sequence[Result]) -> list[str]:
        """Return the summary in words."""
        stores = self.options.run.stores(result.source for result in results)
        return [
            *_terminal.table_lines(results),
            *_terminal.places_lines(stores, len(self.runner.archived), self.runner.report),
            *(["", *self._compared.lines] if self._compared else []),
            *(["", "FAILED by --opt-compare-fail"] if self.is_gate_shut else []),
            *_verdict.verdict_lines(self._judge(results)),
            *(f"warning: {text}" for text in self.runner.warnings),
        ]

    def _judge(self, results: Sequence[Result]) -> list[_verdict.Judged]:
        """Judge the added optimizers, once."""
        if self._judged is None:
            self._judged = _verdict.judge_added(self.options, results, self.suite)
        return self._judged

    def _take(self, event: Event) -> None:
        if isinstance(event, Said):
            self.print_lines([event.line])
        else:
            self.curve_store.take(event)


def _param(cell_config: CellConfig) -> ParameterSet:
    cell, config = cell_config.cell, cell_config.config
    mark = pytest.mark.optsuite(
        task=cell.task_name, set=cell.hparam_set.name, opt=cell.hparam_set.opt, label=config.label
    )
    return pytest.param(cell_config, id=cell_config.id, marks=mark)


def _without(
    chosen: Mapping[sweep.Cell, list[Config]], dropped: set[sweep.Cell]
) -> dict[sweep.Cell, list[Config]]:
    return {cell: configs for cell, configs in chosen.items() if cell not in dropped}


def _conftests(config: pytest.Config) -> list[ModuleType]:
    """Return the conftest modules, in which users register what is theirs."""
    plugins = config.pluginmanager.get_plugins()
    modules = [plugin for plugin in plugins if isinstance(plugin, ModuleType)]
    return [module for module in modules if module.__name__.rpartition(".")[2] == "conftest"]


def _worker_device(config: pytest.Config) -> str | None:
    """Return the device of this worker of xdist; None in a process of its own."""
    workerinput: Mapping[str, Any] | None = getattr(config, "workerinput", None)
    if workerinput is None:
        return None
    number, count = int(workerinput["workerid"].removeprefix("gw")), int(workerinput["workercount"])
    if torch.cuda.is_available():
        return f"cuda:{number % torch.cuda.device_count()}"
    # Workers that each start a thread a core would spend their time waiting for one another.
    torch.set_num_threads(max(1, backends.num_cores() // count))
    return "cpu"
