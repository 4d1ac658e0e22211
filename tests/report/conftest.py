"""Cells to report on, and plots that cost little and are counted."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape

import pytest
from examples import make_archive, sgd

from optsuite import archives, statistics, vis
from optsuite.report import SessionFacts

SETS = ("AdamLR_20_R2", "SGDLR_20_R2")


@pytest.fixture
def root(tmp_path):
    """Root of the archives."""
    return str(tmp_path / "archives")


@pytest.fixture
def add(root):
    """Writes the archive of a cell: of random losses that are the same for the same lrs, or of one loss."""

    def add(task="T", hparam_set=SETS[0], *, lrs=(0.1, 0.2), root=root, **changes):
        archives.write_archive(task, hparam_set, make_archive(sgd(*lrs), **changes), root)

    return add


@pytest.fixture
def read(root):
    """Reads the cells of an archives root."""
    return lambda tasks="*", sets="*", root=root: statistics.read_results(tasks, sets, root)


@pytest.fixture
def drawn(monkeypatch):
    """Plots of next to nothing in place of those of `vis`; lists which were drawn, of which cells."""
    calls = []

    def stand_in(name):
        def draw(results, *others, **options):
            cells = results if isinstance(results, list) else []  # of a verdict there are numbers alone
            calls.append((name, [(one.task, one.hparam_set) for one in cells]))
            return escape(cells[0].task if cells else name)

        monkeypatch.setattr(vis, name, draw)

    of_results = ("draw_curves", "draw_lr_sensitivity", "draw_final_losses", "draw_normalized")
    for name in (*of_results, "draw_best_of", "draw_profiles", "draw_ranks"):
        stand_in(name)
    files = {"svg": '<svg><g id="figure_1"><text>{}</text></g></svg>', "png": "PNG {}"}
    monkeypatch.setattr(vis, "render", lambda task, kind: files[kind].format(task).encode())
    return calls


@pytest.fixture
def facts():
    """Makes the facts of a session, with some of them changed."""

    def facts(**changes):
        return SessionFacts(
            **{
                "started": datetime(2026, 11, 23, 21, 13, tzinfo=UTC),
                "seconds": 200.0,
                "command": "pytest benchmarks -k 'Cifar10 and Adam'",
                "device": "cpu (2 threads)",
                "preset": "quick",
                "versions": {"Python": "3.12.4"},
                "data": {"CIFAR-10": "real"},
                "trained": 1200,
                "recorded": 30,
                "failures": [],
                "left_out": [],
                "warnings": [],
                "curves": ["/data/curves"],
                "archives": ["/data/archives"],
                **changes,
            }
        )

    return facts
