"""--opt-data."""

from __future__ import annotations

from pathlib import Path

import pytest

from optsuite.data import DATASETS, find_files

from .conftest import LABELS, SET, TASK, read_curves, text

CIFAR_TASK = "ImageMLP_Cifar10BW8_Relu32"
FASHION_MNIST = DATASETS["fashion_mnist"]


def test_real_data_that_are_missing_are_an_error_that_says_how_to_get_them(bench):
    result = bench.run(data="real", tasks=CIFAR_TASK)
    result.assert_outcomes(errors=2)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "CIFAR-10 not found in" in text(result)
    assert "run `optsuite data fetch cifar10` or pass --opt-data synthetic" in text(result)
    assert "no plan" in text(result)
    assert bench.curve_files == bench.archive_files == []


def test_missing_data_of_one_task_do_not_stop_another(bench, monkeypatch):
    if not Path("/usr/share/datasets/fashion-mnist").is_dir():
        pytest.skip("needs Debian's dataset-fashion-mnist")
    monkeypatch.setitem(DATASETS, "fashion_mnist", FASHION_MNIST)
    keep_full_size(bench)
    result = bench.run(data="real", tasks="ImageMLP_[FC]*8_Relu32", sets="TinyLR_2_R1")
    result.assert_outcomes(passed=2, errors=4)  # Fashion-MNIST is there, Cifar10BW8 and Cifar10_8 are not


def keep_full_size(bench):
    """Real files have their published length."""
    conftest = bench.path / "conftest.py"
    conftest.write_text(conftest.read_text().replace("DATASETS.update", "dict"))


def test_synthetic_uses_stand_ins_and_says_so(bench):
    result = bench.run(data="synthetic")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        ["  data: fashion_mnist: STAND-IN, not Fashion-MNIST*", f"{TASK} *{SET} *stand-in *"]
    )
    curves = read_curves(bench.path / "curves_synthetic")
    assert {str(curve["data_source"]) for curve in curves.values()} == {"synthetic"}
    assert len(curves) == len(bench.curve_files) == 2 * len(LABELS)
    assert bench.archive_files == [f"curves_archives_synthetic/{TASK}/{SET}.npz"]


def test_auto_takes_stand_ins_for_what_is_missing(bench):
    result = bench.run("-k", "lr0.1", data="auto", tasks=CIFAR_TASK)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["  data: cifar10: STAND-IN, not CIFAR-10 (to get it: *fetch cifar10*"])
    assert [path.relative_to(bench.path).parts[0] for path in bench.curve_files] == ["curves_synthetic"] * 2


def test_auto_takes_real_data_that_are_there(bench, monkeypatch):
    monkeypatch.setitem(DATASETS, "fashion_mnist", FASHION_MNIST)
    keep_full_size(bench)
    if find_files(FASHION_MNIST) is None:
        pytest.skip("needs Fashion-MNIST, e.g. Debian's dataset-fashion-mnist")
    result = bench.run(data="auto")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["  data: fashion_mnist: real", f"{TASK} *{SET} *real *"])
    curves = read_curves(bench.path / "curves")
    assert {str(curve["data_source"]) for curve in curves.values()} == {"real"}
    assert len(curves) == len(bench.curve_files) == 4
    assert bench.archive_files == [f"curves_archives/{TASK}/{SET}.npz"]


def test_the_environment_variable_is_the_default(bench, monkeypatch):
    monkeypatch.setenv("OPTSUITE_DATA", "real")
    result = bench.run("-k", "lr0.1", data=None, tasks=CIFAR_TASK)
    result.assert_outcomes(errors=1)


def test_another_word_is_a_usage_error(bench):
    assert bench.run(data="fake").ret == pytest.ExitCode.USAGE_ERROR
