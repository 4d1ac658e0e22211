"""--opt-compare and --opt-compare-fail: this session's archives against those of another."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from optsuite import storage

from .conftest import SET, TASK, text


@pytest.fixture
def last_night(bench):
    """Keep the archives of a first session as `last`, and forget the rest of it."""
    bench.run()
    shutil.move(bench.path / "curves_archives_synthetic", bench.path / "last_synthetic")
    shutil.rmtree(bench.path / "curves_synthetic")
    return bench.path / "last"


def shift(root, share):
    """Raise the evaluated losses of an archive by a share."""
    url = storage.archive_path(TASK, SET, f"{root}_synthetic")
    arrays = storage.read_npz(url)
    arrays["eval/train/loss"] = (arrays["eval/train/loss"] * (1 + share)).astype(np.float32)
    storage.write_npz(url, arrays)


def test_the_same_trials_are_identical(bench, last_night):
    result = bench.run(f"--opt-compare={last_night}", "--opt-compare-fail")
    assert result.ret == 0
    assert "1 cell compared, 1 identical bit for bit" in text(result)
    assert "no real change of loss" in text(result)


def test_a_real_change_fails_the_session_where_that_is_asked_for(bench, last_night):
    shift(last_night, 0.5)
    told = bench.run(f"--opt-compare={last_night}")
    assert told.ret == 0
    assert f"real changes of loss: {TASK}/{SET}" in text(told)
    assert "FAILED" not in text(told)
    result = bench.run(f"--opt-compare={last_night}", "--opt-compare-fail")
    assert result.ret == 1
    assert "FAILED by --opt-compare-fail" in text(result)
    result.assert_outcomes(passed=2)


@pytest.mark.parametrize("more", [(), ("--opt-compare-fail",), ("-n", "1")])
def test_without_archives_to_compare_with_nothing_trains(bench, more):
    result = bench.run(f"--opt-compare={bench.path / 'nowhere'}", *more)
    assert result.ret == 4
    said = f"{text(result)} {' '.join(result.errlines)}"
    assert f"optsuite: no archives in `{bench.path / 'nowhere_synthetic'}`: --opt-compare needs those" in said
    assert not list(bench.path.rglob("*.curves"))


def test_a_gate_needs_something_to_compare_with(bench):
    result = bench.run("--opt-compare-fail")
    assert result.ret == 4
    assert "--opt-compare-fail needs --opt-compare URL" in text(result)


def test_workers_of_xdist_leave_it_to_their_controller(bench, last_night):
    result = bench.run(f"--opt-compare={last_night}", "--opt-compare-fail", "-n", "1")
    assert result.ret == 0
    assert text(result).count("1 identical bit for bit") == 1
