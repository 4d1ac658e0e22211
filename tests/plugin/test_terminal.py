"""The words of the summary and the plan, without a session."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from optsuite import get_hparam_set
from optsuite.plugin._terminal import (
    Result,
    cell_of,
    places_lines,
    setting_of,
    table_lines,
)
from optsuite.storage import Store
from optsuite.sweep import Cell, Summary

NODE = "benchmarks/test_baselines.py::test_baseline"
TASK = "ImageMLP_FashionMnist8_Relu32"


def result(label, train=1.0, *, task="T", diverged=0, trials=2, source="real", **losses):
    final = {"train": train, **losses}
    return Result(task, "AdamLR_10_R2", label, source, Summary(final, diverged, trials))


def failed(label, *, task="T", source=""):
    return Result(task, "AdamLR_10_R2", label, source, None)


def rows(*results):
    """The table's cells, split at two spaces or more."""
    return [[word.strip() for word in line.split("  ") if word.strip()] for line in table_lines(results)[2:]]


def test_the_best_setting_has_the_smallest_final_training_loss():
    (row,) = rows(result("a", 2.0), result("b", 0.5, outer_valid=0.6, test=0.7), result("c", 1.0))
    assert row == ["T", "AdamLR_10_R2", "real", "b", "0.5", "0.6", "0.7", "0 of 6 trials"]


@pytest.mark.parametrize("worst", [math.nan, math.inf])
def test_diverged_settings_come_last_wherever_they_stand(worst):
    wild, calm = result("wild", worst, diverged=2), result("calm", 1e9)
    for both in ((wild, calm), (calm, wild)):
        (row,) = rows(*both)
        assert row[3] == "calm"
        assert row[-1] == "2 of 4 trials"


def test_a_cell_that_diverged_altogether_says_so():
    (row,) = rows(*(result(label, math.nan, diverged=2, test=math.nan) for label in "ab"))
    assert row == ["T", "AdamLR_10_R2", "real", "all diverged", "-", "-", "-", "4 of 4 trials"]


def test_failed_settings_are_counted():
    (row,) = rows(result("a"), failed("b"), failed("c"))
    assert row[-1] == "0 of 2 trials, 2 settings failed"
    (row,) = rows(result("a"), failed("b"))
    assert row[-1].endswith(", 1 setting failed")


def test_a_cell_that_failed_altogether_has_no_best_setting():
    (row,) = rows(failed("a"), failed("b"))
    assert row == ["T", "AdamLR_10_R2", "-", "-", "-", "-", "-", "2 settings failed"]


def test_a_split_that_was_not_evaluated_is_a_dash():
    (row,) = rows(result("a", 0.5))
    assert row[4:7] == ["0.5", "-", "-"]


def test_cells_are_rows_in_the_order_they_ran():
    table = rows(result("a", task="Second"), result("a", task="First"), result("b", 0.1, task="Second"))
    assert [(row[0], row[3]) for row in table] == [("Second", "b"), ("First", "a")]


def test_stand_ins_are_told_from_real_data():
    assert [row[2] for row in rows(result("a", source="synthetic"))] == ["stand-in"]
    assert [row[2] for row in rows(failed("a"), result("b", source="real"))] == ["real"]


def test_columns_are_aligned():
    head, rule, *lines = table_lines([result("a" * 30, 0.123456789, task="T"), result("b", task="Longer")])
    assert set(rule) == {"-"}
    assert len(rule) == max(map(len, [head, *lines]))
    for title in ("hparam set", "data", "best setting", "train"):
        start = head.index(title)
        assert all(line[start - 1] == " " and line[start] != " " for line in lines)
    assert "0.1235" in lines[0]


def report(properties, outcome="passed"):
    return pytest.TestReport("id", ("f", 1, "d"), {}, outcome, None, "call", user_properties=properties)


@given(
    losses=st.dictionaries(st.sampled_from(["train", "outer_valid", "test"]), st.floats(allow_nan=False)),
    diverged=st.integers(0, 9),
)
def test_a_result_survives_its_properties(losses, diverged):
    before = Result("T", "S", "Adam_lr0.1", "real", Summary(losses, diverged, 9))
    assert Result.from_report(report([*before.properties(), ("other", "x")])) == before


def test_properties_are_flat_and_plain():
    properties = dict(result("a", 0.5, test=0.7).properties())
    assert properties == {
        "optsuite_task": "T",
        "optsuite_set": "AdamLR_10_R2",
        "optsuite_label": "a",
        "optsuite_data": "real",
        "optsuite_final_train_loss": 0.5,
        "optsuite_final_test_loss": 0.7,
        "optsuite_diverged": 0,
        "optsuite_trials": 2,
        "optsuite_trained": 0,
        "optsuite_recorded": 0,
    }


def test_a_report_of_another_test_has_no_result():
    assert Result.from_report(report([("other", "x"), ("optsuite_mine", 1)])) is None


def test_a_report_that_failed_has_no_summary():
    assert Result.from_report(report(result("a").properties(), "failed")).summary is None
    assert Result.from_report(report(failed("a").properties())).summary is None


@pytest.mark.parametrize("label", ["Adam_lr0.001", "SGD_lr1e-07", "a-b-c", "x_R5-y"])
def test_ids_tell_setting_and_cell(label):
    nodeid = f"{NODE}[{TASK}-AdamLR_200_R2-{label}]"
    assert setting_of(nodeid) == f"{TASK}-AdamLR_200_R2-{label}"
    assert cell_of(nodeid) == f"{TASK}-AdamLR_200_R2"


@pytest.mark.parametrize("tail", ["", "[x]", "[a-b]", "[a-b-c]", "[a-b_R1]", "[a-b_R1-c]::more"])
def test_other_ids_tell_nothing(tail):
    assert setting_of(NODE + tail) is cell_of(NODE + tail) is None


CELL = Cell(TASK, get_hparam_set("SGDLR_5_R2"))
CPU = torch.device("cpu")
STORES = [Store("/c", "/a")]


def test_places_need_results():
    assert places_lines([], 0) == []
    assert places_lines(STORES, 2) == [
        "",
        "curves in /c, archives in /a",
        "complete cells archived: 2",
    ]
