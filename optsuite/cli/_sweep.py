"""The commands `plan` and `run`: choose cells, and show what the runner tells."""

from __future__ import annotations

import argparse
import contextlib
import shlex
import sys
import time
from collections.abc import Callable, Sequence

from optsuite import _arguments, runner, sweep
from optsuite.cli._own_sets import add_own_sets
from optsuite.cli._text import explained
from optsuite.errors import OptsuiteError, parameter
from optsuite.hparam_sets import Trial
from optsuite.sweep import Cell
from optsuite.trainer import Outcome
from optsuite.verdict import Verdict
from optsuite.words import counted

_PRESET = "full"
_TELL_SECONDS = 15.0


def plan(args: argparse.Namespace) -> int:
    """Print what training cells would cost, cell by cell."""
    training = make_runner(args, Display())
    planned = make_plan(training, _cells(args, training), "as named")
    print("\n".join(sweep.plan_table(planned)))
    for cell, error in planned.without_data.items():
        print(f"{cell.name}: no plan: {explained(error)}", file=sys.stderr)
    return 1 if planned.without_data else 0


def run(args: argparse.Namespace) -> int:
    """Train cells, record their curves, archive and report them.

    Raises:
        OptsuiteError: A trial failed; the others are recorded.
    """
    display = Display()
    training = make_runner(args, display)
    planned = make_plan(training, _cells(args, training), "as named")
    cells = [*planned.cells, *planned.without_data]
    train(training, display, cells, args.typed, _PRESET)
    return 0 if len(training.archived) == len(cells) else 1


def make_runner(args: argparse.Namespace, display: Display) -> runner.Runner:
    """Return the runner that the options describe; it tells what happens to a display."""
    given = {name: getattr(args, name) for name in _arguments.RUN}
    options = runner.RunOptions(**given | {"report": args.report == "on"})
    return runner.Runner(options, display.take, explained)


def make_plan(training: runner.Runner, cells: Sequence[Cell], chosen_by: str) -> sweep.Plan:
    """Return the plan of cells, and print it with what is left out of it."""
    planned = training.plan({cell: cell.hparam_set.configs for cell in cells})
    stores = training.options.stores(planned.sources.values())
    lines = sweep.plan_lines(planned, stores, training.device, chosen_by)
    for line in (*lines, *sweep.over_budget_lines(planned.over_budget, training.options.budget)):
        print(line)
    return planned


def train(
    training: runner.Runner,
    display: Display,
    cells: Sequence[Cell],
    typed: Sequence[str],
    preset: str,
    judge: Callable[[], Verdict | None] = lambda: None,
) -> None:
    """Train cells, archive and report them.

    Args:
        training: The runner.
        display: Display that it tells what happens.
        cells: The cells.
        typed: Words after `optsuite`, for the page.
        preset: Words on what chose the cells, for the page.
        judge: Gives the verdict that the page begins with, if any.

    Raises:
        OptsuiteError: A trial failed; the others are recorded.
    """
    has_ended = False
    try:
        with contextlib.closing(training):
            training.take({cell: cell.hparam_set.configs for cell in cells})
            training.connect()
            training.train_all()
        has_ended = True
    finally:  # who interrupts keeps the archives of the cells that ended, and does not wait for figures
        results = [result for cell in cells for result in display.results.get(cell, ())]
        command = shlex.join(["optsuite", *typed])
        training.build(cells, results, command=command, preset=preset, with_report=has_ended, judge=judge)
    if training.gone is not None:
        raise training.gone
    print(f"complete cells archived: {len(training.archived)} of {len(cells)}")
    if training.report:
        print(f"report: {training.report}")
    if display.num_failed:
        raise OptsuiteError(
            f"{counted(display.num_failed, 'trial')} failed; run again to try those alone, with "
            f"{parameter('rerun', 'failed')} where a curve cannot be read"
        )


def _cells(args: argparse.Namespace, training: runner.Runner) -> Sequence[Cell]:
    add_own_sets(args)
    matrix = sweep.make_matrix(
        preset=_PRESET, tasks=args.task, sets=args.set, precision=args.precision, device=training.device
    )
    return matrix.cells


class Display:
    """Says how far cells are and what became of them, and remembers it without the curves."""

    def __init__(self) -> None:
        self.results: dict[Cell, list[runner.Result]] = {}
        """Results of the cells that ended."""
        self.num_failed = 0
        self._outcomes: dict[Cell, dict[Trial, Outcome]] = {}
        self._steps: dict[Cell, tuple[int, int]] = {}
        self._causes: set[tuple[Cell, str]] = set()
        self._told = time.monotonic()

    def take(self, event: runner.Event) -> None:
        """Show an event."""
        match event:
            case runner.Started(cell, num_steps):
                self._steps[cell] = (0, num_steps)
            case runner.Progress(cell, num_done, num_steps):
                self._steps[cell] = (num_done, num_steps)
                self._show_progress()
            case runner.Outcomes(cell, outcomes):
                self._outcomes.setdefault(cell, {}).update({outcome.trial: outcome for outcome in outcomes})
                self._show_failures(cell, outcomes)
            case runner.Ended(cell, num_trained, num_trials):
                self._end(cell)
                if num_trials:
                    print(f"{cell.name}: {num_trained} of {counted(num_trials, 'trial')} trained", flush=True)
            case runner.Said(line):
                print(line, file=sys.stderr)
            case runner.Warned(text):
                print(f"warning: {text}", file=sys.stderr)

    def _show_progress(self) -> None:
        if time.monotonic() - self._told >= _TELL_SECONDS:
            self._told = time.monotonic()
            done, total = map(sum, zip(*self._steps.values(), strict=True))
            print(f"{done / total:.0%} of all trial-steps done", file=sys.stderr)

    def _show_failures(self, cell: Cell, outcomes: Sequence[Outcome]) -> None:
        """Count the trials that failed, and tell each cause once."""
        errors = [outcome.result for outcome in outcomes if isinstance(outcome.result, Exception)]
        self.num_failed += len(errors)
        for cause in map(explained, errors):
            if (cell, cause) not in self._causes:
                self._causes.add((cell, cause))
                print(f"{cell.name}: failed: {cause}", file=sys.stderr)

    def _end(self, cell: Cell) -> None:
        outcomes = self._outcomes.pop(cell, {})
        self.results[cell] = [
            runner.result_of(cell, config, outcomes, explained) for config in cell.hparam_set.configs
        ]
        if cell in self._steps:
            self._steps[cell] = (self._steps[cell][1],) * 2
