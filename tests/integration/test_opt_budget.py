"""--opt-budget."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from .conftest import LABELS, TASK, text

LARGE = "ImageMLP_Cifar10_16384x16384_Relu"


def test_what_does_not_fit_is_left_out_counted_and_named(bench):
    result = bench.run("--opt-budget=20s", "--opt-preset=full", tasks="*[86]*_Relu*", sets="TinyLR_10_R2")
    printed = text(result)
    assert "optsuite: the budget of 20 s leaves out " in printed
    assert f"{LARGE} (1 set)" in printed
    outcomes = result.parseoutcomes()
    assert outcomes["passed"] >= len(LABELS)
    assert outcomes["deselected"] >= len(LABELS)
    assert any(TASK in str(path) for path in bench.curve_files)
    assert not any(LARGE in str(path) for path in bench.curve_files)


def test_what_is_recorded_costs_nothing(bench):
    bench.run().assert_outcomes(passed=len(LABELS))
    bench.run("--opt-budget=0.001s").assert_outcomes(passed=len(LABELS))


def test_a_budget_that_cannot_be_met_is_said_before_anything_trains(bench):
    result = bench.run("--opt-budget=0.001s")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "no cell fits a budget of 1 s: the cheapest takes about" in text(result)
    assert not bench.curve_files


def test_a_budget_is_a_time(bench):
    result = bench.run("--opt-budget=soon")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "a time such as 90s, 45m, 2h or 1h30m is needed (got 'soon')" in text(result)


@pytest.mark.skipif(find_spec("xdist") is None, reason="no xdist")
def test_several_workers_cannot_keep_one_budget(bench):
    result = bench.run("--opt-budget=1h", "-n1")
    assert "--opt-budget is for one process to keep: pass --opt-backend process, not -n" in text(result)


def test_cells_without_their_data_keep_their_own_errors(bench):
    without = bench.run(data="real").parseoutcomes()
    assert bench.run("--opt-budget=1h", data="real").parseoutcomes() == without
    assert sum(without.values()) == len(LABELS)
