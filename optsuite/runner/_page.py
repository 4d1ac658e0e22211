"""The page of a run, with its figures."""

from __future__ import annotations

import platform
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import torch

from optsuite import data, normalizers, statistics, storage
from optsuite.curves import package_version
from optsuite.errors import StorageError
from optsuite.runner._build import Found, names
from optsuite.runner._events import Teller
from optsuite.runner._options import RunOptions
from optsuite.runner._results import Result
from optsuite.statistics import Absent, Results
from optsuite.sweep import Cell
from optsuite.verdict import Verdict
from optsuite.words import counted

if TYPE_CHECKING:
    from optsuite.report import SessionFacts

_Scales = dict[str, dict[str, normalizers.Normalizer]]


class RunFacts(NamedTuple):
    """Facts that the page states about a run besides its results."""

    began: datetime
    device: torch.device
    command: str
    """Command that the user typed."""
    preset: str
    """Preset that the cells were chosen from."""
    left_out: Sequence[Cell]
    """Cells that the preset left out."""


def write_page(
    options: RunOptions,
    teller: Teller,
    found: Sequence[Found],
    results: Sequence[Result],
    facts: RunFacts,
    verdict: Verdict | None = None,
) -> str | None:
    """Draw the figures, write the page, and return its URL; None if it could not be written.

    Args:
        options: Where results lie.
        teller: Told of what goes wrong.
        found: Cells with results.
        results: What became of their configs.
        facts: What else the page says.
        verdict: The verdict that it begins with.
    """
    shown, scales = list[Results | Absent](), _Scales()
    for source, complete, incomplete in found:
        root = options.store(source).archives
        shown += teller.attempt("results to report", statistics.read_cells, names(complete), root) or []
        shown += [_absent(cell, reason, root) for cell, reason in incomplete.items()]
        problems: list[str] = []
        loaded = teller.attempt("scales to show", normalizers.load_for, names(complete), root, problems)
        for problem in problems:
            teller.warn(problem)
        for name, scale in (loaded or {}).items():
            scales.setdefault(name, {}).update(scale)
    session = _session_facts(options, teller, found, results, facts)
    return teller.attempt("report", _write, options, teller, shown, scales, session, verdict)


def _absent(cell: Cell, reason: StorageError, root: str) -> Absent:
    """Say why a cell has no archive, whether or not an older one of it lies there."""
    url = storage.archive_path(cell.task_name, cell.hparam_set.name, root)
    return Absent(task=cell.task_name, hparam_set=cell.hparam_set.name, url=url, error=reason)


def _write(
    options: RunOptions,
    teller: Teller,
    shown: Sequence[Results | Absent],
    scales: _Scales,
    session: SessionFacts,
    verdict: Verdict | None,
) -> str:
    from optsuite import report  # matplotlib and seaborn take seconds to import

    root = storage.Store.reports(options.storage, options.precision)
    folder = f"{session.started:%Y%m%d_%H%M%S}_{secrets.token_hex(2)}"
    url, figures_url = storage.join_url(root, folder, "report.html"), storage.join_url(root, "figures")
    written = report.write_report(
        url, shown, figures_url=figures_url, facts=session, normalizers=scales, verdict=verdict
    )
    for problem in written.problems:
        teller.warn(problem)
    return written.url


def _session_facts(
    options: RunOptions, teller: Teller, found: Sequence[Found], results: Sequence[Result], facts: RunFacts
) -> SessionFacts:
    from optsuite.report import SessionFacts

    stores = options.stores(result.source for result in results)
    datasets = {
        cell.task.dataset.dataset: source
        for source, complete, incomplete in found
        for cell in (*complete, *incomplete)
    }
    return SessionFacts(
        started=facts.began,
        seconds=(datetime.now(UTC) - facts.began).total_seconds(),
        command=facts.command,
        device=_device_words(facts.device),
        preset=facts.preset,
        versions={"Python": platform.python_version()}
        | {name: package_version(name) for name in ("torch", "optsuite")},
        data={
            info.title: "real" if source == "real" else "STAND-IN"
            for name, source in datasets.items()
            for info in data.get_datasets(name)
        },
        trained=sum(result.num_trained for result in results),
        recorded=sum(result.num_recorded for result in results),
        failures=[(f"{r.cell_name}-{r.label}", r.cause) for r in results if r.cause],
        left_out=[cell.name for cell in facts.left_out],
        warnings=tuple(teller.warnings),
        curves=[store.curves for store in stores],
        archives=[store.archives for store in stores],
    )


def _device_words(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"{device} ({counted(torch.get_num_threads(), 'thread')})"
