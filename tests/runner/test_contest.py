"""Contests: who competes, what is trained for it, and what the package has already."""

from __future__ import annotations

from dataclasses import replace

import pytest
from examples import make_archive, sgd
from verdict.values import archive

from optsuite import archives, baselines
from optsuite.errors import OptsuiteError, UnknownNameError
from optsuite.runner import make_contest
from optsuite.suites import get_suite

QUICK = get_suite("cpu-quick")
F8, F16, F32 = QUICK.tasks


def held(of="LionLR", **changes):
    return make_contest(QUICK, of, data="synthetic", **changes)


def cells(contest):
    return [(cell.task_name, cell.hparam_set.name) for cell in contest.cells]


@pytest.fixture
def packaged(monkeypatch):
    """Pretend that the package has these baselines."""

    def pretend(*there):
        monkeypatch.setattr(
            baselines, "available", lambda task=None: [one for one in there if task in (None, one[0])]
        )

    pretend()
    return pretend


def test_the_reference_comes_first_and_the_optimizer_is_no_opponent(packaged):
    assert held().opponents[0] == "AdamLR"
    assert set(held().opponents) == set(QUICK.families) - {"LionLR"}
    assert held(reference="AdamW+cosine").opponents[0] == "AdamWLR_cosine"


def test_the_optimizer_and_the_reference_are_trained_on_each_task(packaged):
    assert cells(held()) == [(t, f"{f}LR_2000_R5") for t in QUICK.tasks for f in ("Lion", "Adam")]


def test_baselines_of_real_data_are_not_trained(packaged):
    packaged((F8, "AdamLR_2000_R5"), (F16, "AdamLR_2000_R5"), (F8, "LionLR_2000_R5"))
    real = replace(held(), source="real")
    assert cells(real) == [
        (F8, "LionLR_2000_R5"),
        (F16, "LionLR_2000_R5"),
        (F32, "LionLR_2000_R5"),
        (F32, "AdamLR_2000_R5"),
    ]
    assert len(cells(held())) == 6  # of stand-ins there are none


def test_those_that_are_named_are_trained_where_there_is_no_baseline(packaged):
    packaged(*((task, f"{rule}LR_2000_R5") for task in QUICK.tasks for rule in ("Adam", "Yogi")))
    real = replace(held(opponents=["Yogi", "SGD"]), source="real")
    assert real.opponents == ("AdamLR", "YogiLR", "SGDLR")
    assert {name for _, name in cells(real)} == {"LionLR_2000_R5", "SGDLR_2000_R5"}


def test_globs_are_over_the_families_of_the_suite_and_of_baselines_as_long(packaged):
    packaged((F8, "YogiLR_2000_R5"), (F8, "SM3LR_10000_R5"))
    assert held(opponents=["Yog*"]).opponents == ("AdamLR", "YogiLR")
    with pytest.raises(UnknownNameError, match=r"unknown opponent `SM3\*`"):
        held(opponents=["SM3*"])


def test_who_lacks_results_is_known(packaged, tmp_path):
    packaged((F8, "SGDLR_2000_R5"), (F16, "SGDLR_2000_R5"))
    real = replace(held(opponents=["SGD*"]), source="real")
    root = str(tmp_path)
    assert real.lacking(root) == ["SGDLR", "SGDMLR"]
    archives.write_archive(F32, "SGDLR_2000_R5", make_archive(sgd(0.1)), root=root)
    assert real.lacking(root) == ["SGDMLR"]


def test_an_optimizer_needs_another_one_beside_it(packaged):
    with pytest.raises(OptsuiteError, match="`AdamLR` is the reference of the contest too"):
        held("AdamLR")
    assert held("AdamLR", reference="SGD").reference == "SGDLR"


def test_a_reference_without_results_leaves_it_undecided(packaged, tmp_path):
    root = str(tmp_path)
    with pytest.raises(OptsuiteError, match="no task has all trials of `LionLR_2000_R5` yet"):
        held().judge(root)
    archive(root, "LionLR", (1.0, 0.5), task=F8, steps=2000, seeds=range(5))
    found = held(opponents=["SGD"]).judge(root)
    assert found.outcome == "undecided"
    assert {f"{F8}/AdamLR_2000_R5", f"{F8}/SGDLR_2000_R5", f"{F16}/LionLR_2000_R5"} <= set(found.missing)
