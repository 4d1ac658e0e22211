"""--opt-precision."""

from __future__ import annotations

import pytest

from .conftest import read_curves, text


def test_results_are_recorded_and_archived_apart(bench):
    bench.run("--opt-precision=bf16").assert_outcomes(passed=2)
    curves = read_curves(bench.path)
    assert {str(curve["precision"]) for curve in curves.values()} == {"bf16"}
    assert [file.split("/")[0] for file in bench.archive_files] == ["curves_bf16_archives_synthetic"]
    again = bench.run("--opt-precision=bf16", "--opt-plan")
    assert "0 trials to train" in text(again)
    bench.run().assert_outcomes(passed=2)
    assert [file.split("/")[0] for file in bench.archive_files] == [
        "curves_archives_synthetic",
        "curves_bf16_archives_synthetic",
    ]
    assert read_curves(bench.path / "curves_bf16_synthetic").keys() == curves.keys()
    assert not any("precision" in curve for curve in read_curves(bench.path / "curves_synthetic").values())


def test_what_the_device_has_not_ends_the_session(bench):
    result = bench.run("--opt-precision=tf32", "--opt-device=cpu")
    assert "tf32 is a precision of later CUDA devices, not of `cpu`" in text(result)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert bench.results() == []
