"""--opt-steps and --opt-reps."""

from __future__ import annotations

import pytest

from .conftest import TASK, read_curves, text


def test_they_replace_those_of_the_set_and_its_name_says_so(bench):
    result = bench.run("--opt-steps=3", "--opt-reps=1")
    result.assert_outcomes(passed=2)
    curves = read_curves(bench.path).values()
    assert [curve["train/loss"].shape for curve in curves] == [(4,)] * 2
    assert bench.archive_files == [f"curves_archives_synthetic/{TASK}/TinyLR_3_R1.npz"]


def test_nothing_is_called_best_that_was_evaluated_before_the_first_step_only(bench):
    result = bench.run("--opt-steps=9", "--junitxml=junit.xml")
    result.stdout.fnmatch_lines([f"{TASK} * not evaluated after training * 0 of 4 trials"])
    assert "final_train_loss" not in (bench.path / "junit.xml").read_text()


def test_sets_that_become_equal_are_one(bench):
    ids = bench.ids("--opt-preset=full", "--opt-steps=3", "--opt-reps=1", sets="SGDLR_*")
    assert len(ids) == 15
    assert {name.split("-")[1] for name in ids} == {"SGDLR_3_R1"}


@pytest.mark.parametrize("option", ["steps", "reps"])
@pytest.mark.parametrize("value", ["0", "-1", "1.5", "many", "٣"])
def test_anything_but_a_positive_whole_number_is_a_usage_error(bench, option, value):
    result = bench.run(f"--opt-{option}={value}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert f"--opt-{option}: a whole number of at least 1 is needed (got '{value}')" in text(result)
