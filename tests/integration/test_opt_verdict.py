"""The closing summary of a session that was given an optimizer: is it better than the others?"""

from __future__ import annotations

import pytest
from checkpoints import written

from optsuite import verdict

from .conftest import TASK, TASKS_GLOB, text

OWN = """
import torch


class Mine(torch.optim.SGD):
    pass
"""

MINE = "--opt-optimizer=mine.py:Mine"


@pytest.fixture
def mine(bench):
    (bench.path / "mine.py").write_text(OWN)
    return bench


def verdicts(result):
    return [line for line in result.outlines if line.startswith("Mine against ")]


def test_it_is_judged_against_what_the_store_has(mine):
    result = mine.run(MINE, "--opt-sets=AdamLR_10_R2", sets="MineLR_10_R2", tasks=TASKS_GLOB)
    result.assert_outcomes(passed=60)
    (line,) = verdicts(result)
    assert line.startswith("Mine against tuned Adam on 2 tasks: ")
    at = result.outlines.index(line)
    assert "average rank" in result.outlines[at + 1]
    assert result.outlines[at + 2].startswith("Best lr ")
    assert "2 tasks, 2 paired seeds, 10 steps, stand-in data" in text(result)


def test_what_was_archived_before_is_company(mine):
    mine.run(sets="AdamLR_10_R2")
    result = mine.run(MINE, sets="MineLR_10_R2")
    (line,) = verdicts(result)
    assert line.startswith(f"Mine against tuned Adam on {TASK}: ")


def test_without_company_it_says_so(mine):
    result = mine.run(MINE, sets="MineLR_10_R2")
    result.assert_outcomes(passed=15)
    assert "no verdict on MineLR_10_R2: there is nothing to compare `MineLR_10_R2` with" in text(result)


def test_an_incomplete_cell_has_no_verdict_and_fails_nothing(mine):
    result = mine.run(MINE, "-k", "lr0.1", sets="MineLR_10_R2")
    result.assert_outcomes(passed=1)
    assert "no verdict on MineLR_10_R2: " in text(result)


def test_a_mistake_of_ours_does_not_cost_the_session(mine, monkeypatch):
    def break_down(*_arguments, **_options):
        raise ZeroDivisionError("no")

    monkeypatch.setattr(verdict, "judge", break_down)
    result = mine.run(MINE, sets="MineLR_10_R2")
    result.assert_outcomes(passed=15)
    assert "no verdict on MineLR_10_R2: ZeroDivisionError: no" in text(result)


def test_a_learned_optimizer_is_judged(bench):
    written(bench.path / "rate.safetensors")
    bench.run(sets="AdamLR_10_R2")
    result = bench.run("--opt-lopt=Rate=rate.safetensors", sets="LOpt_10_R2")
    assert "LOpt against tuned Adam on " in text(result)
    assert "One setting for all tasks, Rate." in text(result)


def test_sessions_without_an_optimizer_of_their_own_have_none(bench):
    result = bench.run(sets="TinyLR_10_R2")
    assert " against " not in text(result)


@pytest.mark.slow
def test_workers_of_xdist_leave_it_to_the_controller(mine):
    result = mine.run(MINE, "--opt-sets=AdamLR_10_R2", "-n", "2", sets="MineLR_10_R2")
    assert len(verdicts(result)) == 1
