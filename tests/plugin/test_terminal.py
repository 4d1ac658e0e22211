"""The words of the summary, without a session."""

from __future__ import annotations

import math

import pytest

from optsuite.plugin._terminal import places_lines, table_lines
from optsuite.runner import Result
from optsuite.statistics import Summary
from optsuite.storage import Store


def result(label, train=1.0, *, task="T", diverged=0, trials=2, source="real", **losses):
    final = {"train": train, **losses}
    return Result(task, "AdamLR_10_R2", label, source, Summary(final, diverged, trials))


def unevaluated(label, *, diverged=0):
    return Result("T", "AdamLR_10_R2", label, "real", Summary({}, diverged, 2))


def failed(label, *, task="T", source=""):
    return Result(task, "AdamLR_10_R2", label, source, None)


def rows(*results):
    """The table's cells, split at two spaces or more."""
    return [[word.strip() for word in line.split("  ") if word.strip()] for line in table_lines(results)[2:]]


def test_the_best_config_has_the_smallest_final_training_loss():
    (row,) = rows(result("a", 2.0), result("b", 0.5, outer_valid=0.6, test=0.7), result("c", 1.0))
    assert row == ["T", "AdamLR_10_R2", "real", "b", "0.5", "0.6", "0.7", "0 of 6 trials"]


@pytest.mark.parametrize("worst", [math.nan, math.inf])
def test_diverged_configs_come_last_wherever_they_stand(worst):
    wild, calm = result("wild", worst, diverged=2), result("calm", 1e9)
    for both in ((wild, calm), (calm, wild)):
        (row,) = rows(*both)
        assert row[3] == "calm"
        assert row[-1] == "2 of 4 trials"


def test_a_cell_that_diverged_altogether_says_so():
    (row,) = rows(*(result(label, math.nan, diverged=2, test=math.nan) for label in "ab"))
    assert row == ["T", "AdamLR_10_R2", "real", "all diverged", "-", "-", "-", "4 of 4 trials"]


def test_failed_configs_are_counted():
    (row,) = rows(result("a"), failed("b"), failed("c"))
    assert row[-1] == "0 of 2 trials, 2 configs failed"
    (row,) = rows(result("a"), failed("b"))
    assert row[-1].endswith(", 1 config failed")


def test_a_cell_that_failed_altogether_has_no_best_config():
    (row,) = rows(failed("a"), failed("b"))
    assert row == ["T", "AdamLR_10_R2", "-", "-", "-", "-", "-", "2 configs failed"]


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
    for title in ("hparam set", "data", "best config", "train"):
        start = head.index(title)
        assert all(line[start - 1] == " " and line[start] != " " for line in lines)
    assert "0.1235" in lines[0]


def test_a_cell_that_was_not_evaluated_after_training_has_no_best_config():
    (row,) = rows(unevaluated("a"), unevaluated("b", diverged=1))
    assert row == ["T", "AdamLR_10_R2", "real", "not evaluated after training", *"---", "1 of 4 trials"]


STORES = [Store("/c", "/a")]


def test_places_need_results():
    assert places_lines([], 0) == []
    assert places_lines(STORES, 2) == [
        "",
        "curves in /c, archives in /a",
        "complete cells archived: 2",
    ]
