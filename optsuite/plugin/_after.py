"""After the tests: archives, normalizers, figures and the report. What goes wrong becomes a warning."""

from __future__ import annotations

import platform
import secrets
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import torch

from optsuite import data, normalizers, statistics, storage, sweep
from optsuite.archives import Absent
from optsuite.curves import package_version
from optsuite.errors import in_face
from optsuite.plugin._terminal import Result
from optsuite.statistics import Results

if TYPE_CHECKING:
    from optsuite.plugin._session import Session
    from optsuite.report import SessionFacts

__all__ = ["Built", "build"]

_P = ParamSpec("_P")
_T = TypeVar("_T")

_Scales = dict[str, dict[str, normalizers.Normalizer]]


@dataclass
class Built:
    """What was made of the curves."""

    num_archives: int = 0
    report: str | None = None
    """URL of the page."""
    warnings: list[str] = field(default_factory=list)

    def attempt(self, what: str, step: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T | None:
        """Take a step; one that fails leaves a warning and gives None."""
        try:
            return step(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - the curves are recorded: nothing may fail the session now
            self.warnings.append(f"no {what}: {in_face(error, 'pytest')}")
            return None


def build(session: Session, results: Sequence[Result], built: Built, *, with_report: bool) -> None:
    """Make all that can be made of the curves.

    Args:
        session: The session.
        results: Of its settings.
        built: Is told what was made.
        with_report: Draw figures and write the page too.
    """
    shown, scales = list[Results | Absent](), _Scales()
    for source, cells in (built.attempt("archives", _cells_by_source, session, results, built) or {}).items():
        root = storage.Store.at(*session.options.roots, source).archives
        complete = [_names(cell) for cell in cells if _archive(cell, source, session.options.roots, built)]
        updated = built.attempt("normalizers", normalizers.update, complete, root)
        built.warnings += updated.problems if updated else []
        if with_report:
            shown += built.attempt("results to report", statistics.read_cells, complete, root) or []
            shown += [_incomplete(cell, root) for cell in cells if _names(cell) not in complete]
            scales_here = (
                built.attempt("scales to show", normalizers.load_for, complete, root, built.warnings) or {}
            )
            for name, scale in scales_here.items():
                scales.setdefault(name, {}).update(scale)
    if with_report:
        built.report = built.attempt("report", _write_report, session, results, shown, scales, built)


def _names(cell: sweep.Cell) -> tuple[str, str]:
    return cell.task_name, cell.hparam_set.name


def _archive(cell: sweep.Cell, source: str, roots: tuple[str | None, str | None], built: Built) -> bool:
    """Whether the cell is complete, and so archived."""
    url = built.attempt(f"archive of {cell.name}", sweep.archive_cell, cell, source, roots)
    built.num_archives += url is not None
    return url is not None


def _incomplete(cell: sweep.Cell, root: str) -> Absent:
    """A cell that is not complete; an archive of it that is there is older than its curves."""
    url = storage.archive_path(*_names(cell), root)
    error = storage.MissingFileError(f"no archive of {cell.name}: some of its trials are not recorded")
    return Absent(task=cell.task_name, hparam_set=cell.hparam_set.name, url=url, error=error)


def _cells_by_source(
    session: Session, results: Sequence[Result], built: Built
) -> dict[str, list[sweep.Cell]]:
    """The cells of the results, by their kind of data; those whose data are missing are left out."""
    known = {cell.name: cell for cell in session.matrix.cells}
    sources: dict[str, str] = {}
    for result in results:
        sources[result.cell_name] = result.source or sources.get(result.cell_name, "")
    cells: dict[str, list[sweep.Cell]] = {}
    for name, recorded in sources.items():
        if name not in known:
            built.warnings.append(f"no archive of {name}: its task or set is registered in workers only")
        elif source := recorded or session.source(known[name]):
            cells.setdefault(source, []).append(known[name])
    return cells


def _write_report(
    session: Session,
    results: Sequence[Result],
    shown: Sequence[Results | Absent],
    scales: _Scales,
    built: Built,
) -> str:
    from optsuite import report  # draws: matplotlib and seaborn take seconds to import

    root = storage.Store.reports(session.options.roots[0])
    folder = f"{session.began:%Y%m%d_%H%M%S}_{secrets.token_hex(2)}"
    written = report.write_report(
        storage.join_url(root, folder, "report.html"),
        shown,
        figures_url=storage.join_url(root, "figures"),
        facts=_facts(session, results, built.warnings),
        normalizers=scales,
    )
    built.warnings += written.problems
    return written.url


def _facts(session: Session, results: Sequence[Result], warnings: Sequence[str]) -> SessionFacts:
    from optsuite.report import SessionFacts

    stores = session.stores(result.source for result in results)
    return SessionFacts(
        started=session.began,
        seconds=(datetime.now(UTC) - session.began).total_seconds(),
        command=shlex.join(("pytest", *map(str, session.config.invocation_params.args))),
        device=_device_words(session.device),
        preset=session.matrix.preset,
        versions={"Python": platform.python_version()}
        | {name: package_version(name) for name in ("torch", "optsuite")},
        data={
            data.get_dataset(name).title: "real" if source == "real" else "STAND-IN"
            for name, source in _sources(session, results).items()
        },
        trained=sum(result.num_trained for result in results),
        recorded=sum(result.num_recorded for result in results),
        failures=[(f"{r.cell_name}-{r.label}", r.cause) for r in results if r.cause],
        left_out=[cell.name for cell in session.left_out],
        warnings=tuple(warnings),
        curves=[store.curves for store in stores],
        archives=[store.archives for store in stores],
    )


def _sources(session: Session, results: Sequence[Result]) -> dict[str, str]:
    """Kind of data by dataset, of the tasks that this process knows."""
    known = {cell.task_name: cell.task for cell in session.matrix.cells}
    return {known[r.task].dataset.dataset: r.source for r in results if r.source and r.task in known}


def _device_words(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"{device} ({torch.get_num_threads()} threads)"
