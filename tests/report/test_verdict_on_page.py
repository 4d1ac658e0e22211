"""A verdict on the page: words, leaderboards, reservations, and its own figures."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from optsuite import report

from .pages import Page
from .verdicts import make_verdict

pytestmark = pytest.mark.usefixtures("drawn")


@pytest.fixture
def write(tmp_path):
    """Writes a page about a verdict and reads it."""

    def write(verdict, results=(), **arguments):
        written = report.write_report(str(tmp_path / "report.html"), results, verdict=verdict, **arguments)
        assert written.problems == []
        return Page((tmp_path / "report.html").read_text())

    return write


def test_sections_begin_with_the_verdict_and_its_leaderboard(write):
    sections = list(write(make_verdict()).text)
    assert sections == ["", "verdict", "leaderboard", "overview", "tasks", "summary", "session", "files"]


def test_the_words_say_what_they_rest_on(write):
    text = write(make_verdict(packaged=("Adam", "SGD"))).text["verdict"]
    assert text.startswith("Verdict Mine against")
    assert "2 tasks; real data; 200 steps; 3 seeds; 4 of 6 cells packaged; reference Adam." in text
    assert "Rule: chosen and judged by the last training loss." in text


def test_a_leaderboard_of_all_tasks_and_one_by_task(write):
    text = write(make_verdict(packaged=("Adam",))).text["leaderboard"]
    ratios = "0.800 [0.700, 1.50] not comparable 1.20 [1.00, 1.30] 0.900 [0.700, 1.00]"
    assert f"1.00 Mine {ratios} 2 of 2 0 of 2 better" in text
    assert "2.00 Adam reference" in text
    ratio = "0.800 [0.700, 0.900]"
    numbers = f"0.510 [0.410, 0.610] {ratio} not comparable {ratio}"
    assert f"T Mine Mine_lr0.01 {numbers} 0 of 9 3 200 real own" in text
    assert (
        "T Adam Adam_lr0.01 0.612 [0.512, 0.712] reference reference reference 0 of 9 3 200 real packaged"
        in text
    )


def test_one_task_has_one_leaderboard_and_no_ranks(write, tmp_path):
    page = write(make_verdict(("T",)))
    assert "All tasks together" not in page.text["leaderboard"]
    assert not list((tmp_path / "figures").glob("ranks-*"))


def test_where_there_is_no_number_there_are_words(write):
    verdict = make_verdict(("T",))
    mine = verdict.entries[0]
    lost = replace(
        mine, best=None, best_index=None, why_no_best="all diverged", final=None, best_of=[], plateau=None
    )
    page = write(replace(verdict, entries=[lost, *verdict.entries[1:]]))
    assert "T Mine all diverged all diverged" in page.text["leaderboard"]
    assert "All diverged 1 T-MineLR_200_R3" in page.text["gaps"]


def test_reservations_missing_cells_and_notes_are_told(write):
    page = write(make_verdict(("T",), words="two seeds only"))
    assert "two seeds only" in page.text["verdict"]
    assert "Mine : two seeds only" in page.text["tasks"]
    assert "Not in the verdict 1 two seeds only two seeds only" in page.text["gaps"]


def test_stand_ins_are_told(write):
    page = write(make_verdict(("T",), data_source="synthetic"))
    assert "All of these results were trained on stand-in data" in page.text["notice"]
    assert "stand-in own" in page.text["leaderboard"]


def test_a_verdict_has_figures_of_its_own_beside_the_page(write, tmp_path, monkeypatch):
    monkeypatch.undo()  # with the real plots
    page = write(make_verdict())
    stems = {re.sub(r"-[0-9a-f]{8}\.\w+$", "", path.name) for path in (tmp_path / "figures").iterdir()}
    assert {"profiles", "ranks", "T-best-of", "U-best-of", "T-curves", "T-lr", "final-losses"} <= stems
    assert "average ranks" in page.text["overview"]
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "figures").iterdir()}
    write(make_verdict())
    assert before == {path.name: path.stat().st_mtime_ns for path in (tmp_path / "figures").iterdir()}


def test_packaged_cells_are_no_archives_of_the_session(write):
    text = write(make_verdict(packaged=("Adam", "SGD"))).text["session"]
    assert "commit" not in text
