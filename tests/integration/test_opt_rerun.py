"""--opt-rerun."""

from __future__ import annotations

import numpy as np
import pytest

from optsuite.storage import read_npz, write_npz

from .conftest import LABELS, SET, TASK, read_curves, text


@pytest.fixture
def corrupt(bench):
    """A recorded cell, one of whose files was damaged; that file."""
    bench.run().assert_outcomes(passed=2)
    file = next(path for path in bench.curve_files if LABELS[0] in path.parts)
    file.write_bytes(b"not an npz")
    for archive in bench.archive_files:
        (bench.path / archive).unlink()
    return file


def test_missing_keeps_to_what_is_not_there_and_fails_what_cannot_be_read(bench, corrupt):
    before = bench.stamps()
    result = bench.run()
    result.assert_outcomes(passed=1, failed=1)
    assert "0 trials to train, 4 recorded already" in text(result)
    assert f"/{LABELS[0]}/" in text(result)
    assert ".curves` is not a readable npz file" in text(result)
    assert "to train it again, run once more with --opt-rerun failed" in text(result)
    assert "Traceback" not in text(result)
    assert "1 config failed" in text(result)
    assert bench.stamps() == before
    assert bench.archive_files == []


def test_where_warnings_are_errors_a_bad_file_costs_no_other_config(bench, corrupt):
    result = bench.run("-W", "error")
    result.assert_outcomes(passed=1, failed=1)
    assert "INTERNALERROR" not in text(result)
    assert "with --opt-rerun failed" in text(result)


def test_failed_sets_aside_what_cannot_be_read_and_trains_it_again(bench, corrupt):
    before = bench.stamps()
    result = bench.run("--opt-rerun=failed")
    result.assert_outcomes(passed=2)
    assert corrupt.with_name(f"{corrupt.name}.bad").read_bytes() == b"not an npz"
    after = bench.stamps()
    assert len(after) == 4
    assert {path for path in after if after[path] != before.get(path)} == {
        path for path in after if path.name.endswith(corrupt.name.split("_")[-1])
    }
    assert bench.archive_files == [f"curves_archives_synthetic/{TASK}/{SET}.npz"]


def test_the_plan_of_failed_counts_what_cannot_be_read(bench, corrupt):
    result = bench.run("--opt-rerun=failed", "--opt-plan")
    assert corrupt.exists()  # a plan changes nothing
    assert "1 trials to train, 3 recorded already" in text(result)


def test_all_trains_everything_again_and_leaves_no_twins(bench):
    bench.run().assert_outcomes(passed=2)
    before = bench.stamps()
    result = bench.run("--opt-rerun=all")
    result.assert_outcomes(passed=2)
    assert "4 trials to train, 0 recorded already" in text(result)
    after = bench.stamps()
    assert len(after) == 4
    assert all(after[path] != before.get(path) for path in after)


def test_what_all_trained_wins_over_files_of_a_time_to_come(bench):
    """The clock of the machine that wrote them was ahead; they hold other losses, too."""
    bench.run().assert_outcomes(passed=2)
    trained = read_curves(bench.path)
    for path in bench.curve_files:
        arrays = {**read_npz(str(path)), "train/loss": np.full(11, 77, np.float32)}
        write_npz(str(path.with_name(f"20990101_000000_{arrays['trial_id']}.curves")), arrays)
        path.unlink()
    bench.run().assert_outcomes(passed=2)
    archive = str(bench.path / bench.archive_files[0])
    assert (read_npz(archive)["train/loss"] == 77).all()

    result = bench.run("--opt-rerun=all")
    result.assert_outcomes(passed=2)
    assert "complete cells archived: 1" in text(result)
    assert len(bench.curve_files) == 4
    for name, curve in read_curves(bench.path).items():
        np.testing.assert_array_equal(curve["train/loss"], trained[name]["train/loss"])
    assert (read_npz(archive)["train/loss"] < 77).all()


def test_another_word_is_a_usage_error(bench):
    assert bench.run("--opt-rerun=some").ret == pytest.ExitCode.USAGE_ERROR
