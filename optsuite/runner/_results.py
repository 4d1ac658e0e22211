"""Fate of one config of a cell, in few numbers: for terminals, JUnit and the page."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from optsuite import sweep
from optsuite.curves import Curve
from optsuite.hparam_sets import Config, Trial
from optsuite.statistics import Summary, summarize_curves
from optsuite.trainer import Outcome


class Result(NamedTuple):
    """Fate of one config of a cell."""

    task: str
    set: str
    label: str
    source: str
    """Kind of data; empty if nothing is recorded."""
    summary: Summary | None
    """Final results; None if a repetition is missing. Without losses where nothing was evaluated after
    training."""
    num_trained: int = 0
    """Number of repetitions that this run trained."""
    num_recorded: int = 0
    """Number of repetitions that were recorded before."""
    num_failed: int = 0
    """Number of repetitions that could not be trained, or whose curve cannot be read."""
    cause: str = ""
    """Reason why it failed; empty if it did not."""

    @property
    def cell_name(self) -> str:
        """`<task>-<set>`."""
        return f"{self.task}-{self.set}"


def result_of(
    cell: sweep.Cell,
    config: Config,
    outcomes: Mapping[Trial, Outcome],
    explain: Callable[[Exception], str] = str,
) -> Result:
    """Summarise what became of a config.

    Args:
        cell: The cell.
        config: One of its configs.
        outcomes: The outcomes that are known, by trial; those of other configs are left alone.
        explain: Puts the error of a trial into words.
    """
    trials = cell.hparam_set.trials_of(config, cell.task_name, cell.precision)
    mine = [outcomes[trial] for trial in trials if trial in outcomes]
    curves = [outcome.result for outcome in mine if isinstance(outcome.result, Curve)]
    errors = [outcome.result for outcome in mine if isinstance(outcome.result, Exception)]
    num_trained = sum(outcome.is_new and isinstance(outcome.result, Curve) for outcome in mine)
    return Result(
        cell.task_name,
        cell.hparam_set.name,
        config.label,
        source=str(curves[0]["data_source"]) if curves else "",
        summary=summarize_curves(curves) if len(curves) == len(trials) else None,
        num_trained=num_trained,
        num_recorded=len(curves) - num_trained,
        num_failed=len(errors),
        cause=explain(errors[0]) if errors else "",
    )
