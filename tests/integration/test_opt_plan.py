"""--opt-plan."""

from __future__ import annotations

from .conftest import CELL, SET, TASK, text


def test_the_plan_is_printed_and_nothing_else_happens(bench):
    result = bench.run("--opt-plan")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "optsuite: 1 cell, preset *: 4 trials to train, 0 recorded already; about * s on *, * of curves",
            "  data: fashion_mnist: STAND-IN, *",
            "  curves in *curves_synthetic, archives in *curves_archives_synthetic",
            "  task * hparam set * to train * recorded * time * operations * memory * curves",
            f"  {TASK} * {SET} * 4 * 0 * s * MFLOP * MB * MB",
        ]
    )
    assert bench.results() == []
    assert "passed" not in text(result)
    assert f"{CELL}:" not in text(result)


def test_it_counts_what_is_recorded(bench):
    bench.run("-k", "lr0.1").assert_outcomes(passed=1)
    result = bench.run("--opt-plan")
    assert "2 trials to train, 2 recorded already" in text(result)


def test_it_follows_the_selection(bench):
    assert "2 trials to train" in text(bench.run("--opt-plan", "-k", "lr0.1"))


def test_it_works_with_collect_only(bench):
    result = bench.run("--opt-plan", "--collect-only")
    assert "4 trials to train" in text(result)
    assert bench.results() == []


def test_collect_only_alone_looks_at_no_storage(bench):
    result = bench.run("--collect-only")
    assert "to train" not in text(result)
    assert bench.results() == []
