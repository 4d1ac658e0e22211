"""Results as properties of reports, which JUnit and xdist carry from one process to another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from optsuite.runner import Result

_PREFIX = "optsuite_"


class Recorder:
    """Collects the results that reports carry, from this process or from xdist's workers."""

    def __init__(self) -> None:
        self._results: dict[tuple[str, str], Result] = {}

    @property
    def results(self) -> list[Result]:
        """One result a config, though several tests may have asked for it."""
        return list(self._results.values())

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep a benchmark's result; a test that passed without training has none."""
        result = from_report(report) if report.when != "teardown" else None
        if result is None or (result.summary is None and report.passed):
            return
        key = result.cell_name, result.label
        if result.summary is not None or key not in self._results:
            self._results[key] = result


def properties_of(result: Result) -> list[tuple[str, Any]]:
    """Return a result as flat and plain properties, as JUnit and xdist need them."""
    named: dict[str, Any] = {
        "task": result.task,
        "set": result.set,
        "label": result.label,
        "data": result.source,
    }
    if result.summary is not None:
        named |= {f"final_{split}_loss": loss for split, loss in result.summary.final.items()}
        named |= {"diverged": result.summary.num_diverged, "trials": result.summary.num_trials}
    named |= {"trained": result.num_trained, "recorded": result.num_recorded, "failed": result.num_failed}
    return [(_PREFIX + name, value) for name, value in named.items()]


def from_report(report: pytest.TestReport) -> Result | None:
    """Return the result that a report carries; None if it is not a benchmark's."""
    named: dict[str, Any] = {
        name.removeprefix(_PREFIX): value
        for name, value in report.user_properties
        if name.startswith(_PREFIX)
    }
    if "label" not in named:
        return None
    from optsuite.runner import Result
    from optsuite.statistics import Summary

    final = {
        name.removeprefix("final_").removesuffix("_loss"): float(value)
        for name, value in named.items()
        if name.startswith("final_")
    }
    has_summary = report.passed and "trials" in named
    return Result(
        named["task"],
        named["set"],
        named["label"],
        named["data"],
        Summary(final, named["diverged"], named["trials"]) if has_summary else None,
        num_trained=named["trained"],
        num_recorded=named["recorded"],
        num_failed=named["failed"],
        cause=_cause(report) if report.failed else "",
    )


def _cause(report: pytest.TestReport) -> str:
    """Return the message of a failed test, without its traceback."""
    crash = getattr(report.longrepr, "reprcrash", None)
    return crash.message.removeprefix("Failed: ") if crash else str(report.longrepr)
