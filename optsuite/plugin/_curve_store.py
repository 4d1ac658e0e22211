"""The fixtures' values: one config of one cell, and the store that gives its curves."""

import warnings
from types import TracebackType
from typing import NamedTuple

import pytest

from optsuite.curves import Curve
from optsuite.errors import OptsuiteError
from optsuite.hparam_sets import Config, HParamSet, Trial
from optsuite.plugin._options import explained
from optsuite.plugin._progress import Progress
from optsuite.runner import Event, Outcomes, Result, Runner, result_of
from optsuite.runner import Progress as HasProgressed
from optsuite.sweep import Cell
from optsuite.trainer import Outcome


class CellConfig(NamedTuple):
    """One config of one cell: an item of the matrix."""

    cell: Cell
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


class CurveStore:
    """Gives the curves of a config; the first config of a cell trains all of the cell that were selected."""

    def __init__(self, config: pytest.Config, runner: Runner) -> None:
        self._config, self._runner = config, runner
        self._outcomes: dict[Cell, dict[Trial, Outcome]] = {}
        self._tracebacks: dict[Exception, TracebackType | None] = {}
        self._progress: Progress | None = None

    def curves(self, cell_config: CellConfig) -> list[Curve]:
        """Return the curves of a config's repetitions, by seed.

        Raises:
            Exception: What kept a repetition from being trained; an `OptsuiteError` fails the test in words.
        """
        trials = cell_config.trials
        outcomes = self._outcomes.setdefault(cell_config.cell, {})
        if not all(trial in outcomes for trial in trials):
            self._run(cell_config)
        results = [outcomes[trial].result for trial in trials]
        for result in results:
            if isinstance(result, OptsuiteError):
                pytest.fail(explained(result), pytrace=False)
            if isinstance(result, Exception):
                # Trials that failed together share the error, and each raise would lengthen its traceback.
                raise result.with_traceback(self._tracebacks.setdefault(result, result.__traceback__))
        return [result for result in results if isinstance(result, Curve)]

    def result(self, cell_config: CellConfig) -> Result:
        """Return what became of a config so far."""
        return result_of(cell_config.cell, cell_config.config, self._outcomes.get(cell_config.cell, {}))

    def forget_failures(self, cell_config: CellConfig) -> None:
        """Let what failed of a config be trained again when it is next asked for."""
        outcomes = self._outcomes.get(cell_config.cell, {})
        failed = [
            trial
            for trial in cell_config.trials
            if trial in outcomes and isinstance(outcomes[trial].result, Exception)
        ]
        for trial in failed:
            del outcomes[trial]
        if failed:
            self._runner.forget(cell_config.cell, cell_config.config)

    def take(self, event: Event) -> None:
        """Remember outcomes, and show the progress of the cell that is waited for."""
        match event:
            case Outcomes(cell, outcomes):
                known = self._outcomes.setdefault(cell, {})
                for outcome in outcomes:
                    known.setdefault(
                        outcome.trial, outcome
                    )  # what was trained before a rerun is not recorded
            case HasProgressed(cell, num_done, num_steps):
                if self._progress is not None and cell.name == self._progress.name:
                    self._progress.tell(num_done, num_steps)

    def _run(self, cell_config: CellConfig) -> None:
        with Progress(self._config, cell_config.cell.name) as self._progress, warnings.catch_warnings():
            # What compilers and optimizers warn of is told at the end, and never costs a curve.
            warnings.simplefilter("default")
            try:
                self._runner.train(cell_config.cell, [cell_config.config])
            except KeyboardInterrupt as interrupt:
                # Compiled code has frames without line numbers, which pytest fails to print.
                raise KeyboardInterrupt(*interrupt.args) from None
