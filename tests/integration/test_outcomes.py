"""Recorded and diverged pass, with their numbers; a crash fails with its own error."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import numpy as np
import pytest

from .conftest import CELL, EXTENSIONS, SET, TASK, read_curves, text


def junit(bench):
    """Properties of each test case, by label."""
    tree = ET.parse(bench.path / "junit.xml")
    return {
        case.get("name").rsplit("-", 1)[1].rstrip("]"): {
            prop.get("name"): prop.get("value") for prop in case.iter("property")
        }
        for case in tree.iter("testcase")
    }


def test_what_is_recorded_passes_and_is_summarised(bench):
    result = bench.run()
    result.assert_outcomes(passed=2)
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "optsuite: 1 cell, *: 4 trials to train, 0 recorded already; *",
            f"{CELL}: trained, 44 trial-steps in *",
            "=* optsuite =*",
            "task * hparam set * data * best config * train * outer_valid * test * diverged",
            f"{TASK} *{SET} *stand-in *SGD_lr* 0 of 4 trials",
            "complete cells archived: 1",
        ]
    )


def test_the_best_config_is_that_of_the_curves(bench):
    result = bench.run()
    final = {}
    for curve in read_curves(bench.path).values():
        final.setdefault(str(curve["opt_name"]), []).append(curve["eval/train/loss"][-1])
    best = min(final, key=lambda label: np.mean(final[label]))
    result.stdout.fnmatch_lines([f"{TASK} * {best} *{np.mean(final[best]):.4g} *"])


def test_what_diverged_passes_and_is_counted(bench):
    result = bench.run("--junitxml=junit.xml", sets="WildLR_10_R2")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines([f"{TASK} *WildLR_10_R2 *SGD_lr0.1 * 2 of 4 trials"])
    curves = read_curves(bench.path).values()
    assert sum(np.isnan(curve["train/loss"][-1]) for curve in curves) == 2


def test_a_cell_that_diverged_altogether_says_so(bench):
    result = bench.run("-k", "lr1e30", sets="WildLR_10_R2")
    result.stdout.fnmatch_lines([f"{TASK} *WildLR_10_R2 *all diverged * - * - * - * 2 of 2 trials"])


def test_junit_has_the_numbers_of_every_config(bench):
    bench.run("--junitxml=junit.xml", sets="WildLR_10_R2")
    properties = junit(bench)
    assert properties.keys() == {"SGD_lr0.1", "SGD_lr1e30"}
    calm, wild = properties["SGD_lr0.1"], properties["SGD_lr1e30"]
    assert calm.items() >= {
        ("optsuite_task", TASK),
        ("optsuite_set", "WildLR_10_R2"),
        ("optsuite_label", "SGD_lr0.1"),
        ("optsuite_data", "synthetic"),
        ("optsuite_diverged", "0"),
        ("optsuite_trials", "2"),
    }
    for split in ("train", "outer_valid", "test"):
        assert np.isfinite(float(calm[f"optsuite_final_{split}_loss"]))
        assert np.isnan(float(wild[f"optsuite_final_{split}_loss"]))
    assert wild["optsuite_diverged"] == "2"


def test_a_crash_fails_with_its_own_error_and_others_pass(bench):
    bench.pytester.makeconftest(EXTENSIONS.replace('"Breaks"', '"ImageMLP_Breaks8_Relu32"'))
    result = bench.run("--junitxml=junit.xml", tasks="ImageMLP_[BF]*s*8_Relu32", sets="TinyLR_2_R1")
    result.assert_outcomes(passed=2, failed=2)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "E * ArithmeticError: the loss is broken",
            "ImageMLP_Breaks8_Relu32 *TinyLR_2_R1 * - * - * - * - * 2 configs failed",
            f"{TASK} *TinyLR_2_R1 * 0 of 2 trials",
        ]
    )
    assert "conftest.py" in text(result)  # its traceback leads into the user's code


def test_every_failure_shows_the_way_to_the_error_and_no_other(bench):
    result = bench.run(tasks="Breaks")
    result.assert_outcomes(failed=2)
    first, second = result.stdout.str().split("= FAILURES =")[1].split("= optsuite =")[0].split("_ test_")[1:]
    for failure in (first, second):
        assert failure.count("conftest.py:") == 1
        assert failure.count("test_baselines.py:") == 1
        assert "_pytest" not in failure


def test_last_failed_runs_just_those_and_trains_only_them(bench):
    bench.pytester.makeconftest(EXTENSIONS.replace('"Breaks"', '"ImageMLP_Breaks8_Relu32"'))
    options = {"tasks": "ImageMLP_[BF]*s*8_Relu32", "sets": "TinyLR_2_R1"}
    bench.run(**options).assert_outcomes(passed=2, failed=2)
    before = bench.stamps()
    (bench.path / "fixed").touch()
    result = bench.run("--lf", **options)
    result.assert_outcomes(passed=2)
    assert "2 trials to train, 0 recorded already" in text(result)
    after = bench.stamps()
    assert len(after) == 4
    assert before.items() < after.items()


def test_exitfirst_stops_before_the_next_cell_trains(bench):
    bench.pytester.makeconftest(EXTENSIONS.replace('"Breaks"', '"ImageMLP_Breaks8_Relu32"'))
    result = bench.run("-x", tasks="ImageMLP_[BF]*s*8_Relu32", sets="TinyLR_2_R1")
    result.assert_outcomes(failed=1)
    assert bench.curve_files == []


def test_a_task_whose_cost_cannot_be_counted_fails_its_items_only(bench):
    bench.pytester.makeconftest(
        EXTENSIONS.replace('outputs.device.type != "meta" and ', "").replace(
            "Breaks", "ImageMLP_Breaks8_Relu32"
        )
    )
    result = bench.run(tasks="ImageMLP_[BF]*s*8_Relu32", sets="TinyLR_2_R1")
    assert "INTERNALERROR" not in text(result)
    assert "ArithmeticError: the loss is broken" in text(result)
    result.assert_outcomes(passed=2, failed=2)
