"""--opt-precision."""

from __future__ import annotations

import pytest

from .conftest import read_curves, text


def test_results_are_recorded_and_archived_apart(bench):
    bench.run("--opt-precision=bf16").assert_outcomes(passed=2)
    curves = read_curves(bench.path)
    assert {str(curve["precision"]) for curve in curves.values()} == {"bf16"}
    assert len(bench.archive_files) == 1
    again = bench.run("--opt-precision=bf16", "--opt-plan")
    assert "0 trials to train" in text(again)
    bench.run().assert_outcomes(passed=2)
    both = read_curves(bench.path)
    assert curves.keys() < both.keys()
    assert len(both) == 2 * len(curves)


def test_it_needs_a_storage_of_its_own(bench):
    result = bench.run("--opt-precision=bf16", storage=None)
    assert "--opt-precision bf16 needs a storage of its own: pass --opt-storage" in text(result)
    assert result.ret == pytest.ExitCode.USAGE_ERROR


def test_what_the_device_has_not_ends_the_session(bench):
    result = bench.run("--opt-precision=tf32", "--opt-device=cpu")
    assert "tf32 is a precision of CUDA devices, not of `cpu`" in text(result)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert bench.results() == []
