"""What is recorded is not trained again; complete cells become archives."""

from __future__ import annotations

import numpy as np

from optsuite import get_task, load_archive

from .conftest import CELL, LABELS, SET, TASK, read_curves, text


def archive(bench):
    return load_archive(TASK, SET, root=str(bench.path / "curves_archives_synthetic"))


def test_a_second_run_trains_nothing(bench):
    first = bench.run()
    before = bench.stamps()
    second = bench.run()
    second.assert_outcomes(passed=2)
    assert "0 trials to train, 4 recorded already" in text(second)
    assert f"{CELL}: trained" not in text(second)
    assert bench.stamps() == before
    table = [line for line in first.outlines if line.startswith(TASK + "  ")]
    assert table == [line for line in second.outlines if line.startswith(TASK + "  ")]


def test_a_part_of_a_cell_trains_only_that_and_makes_no_archive(bench):
    result = bench.run("-k", "lr0.1")
    result.assert_outcomes(passed=1)
    assert bench.labels() == {LABELS[1]}
    assert bench.archive_files == []
    assert "complete cells archived: 0" in text(result)


def test_a_later_run_completes_the_cell(bench):
    bench.run("-k", "lr0.1")
    before = bench.stamps()
    result = bench.run()
    result.assert_outcomes(passed=2)
    assert "2 trials to train, 2 recorded already" in text(result)
    assert before.items() < bench.stamps().items()
    assert "complete cells archived: 1" in text(result)
    assert archive(bench)["train/loss"].shape == (2, 2, 11)


def test_the_last_part_of_a_cell_brings_its_archive(bench):
    for label in ("lr0.1", "lr0.01"):
        bench.run("-k", label).assert_outcomes(passed=1)
    assert len(bench.archive_files) == 1


def test_the_archive_stacks_the_curves(bench):
    bench.run()
    stacked = archive(bench)
    assert stacked["train/loss"].shape == (2, 2, 11)
    assert stacked["eval/xs"].shape == stacked["eval/test/loss"].shape == (2, 2, 2)
    assert stacked["opt_name"].tolist() == [[label] * 2 for label in LABELS]
    assert stacked["seed"].tolist() == [[0, 1]] * 2
    assert set(stacked["data_source"].flat) == {"synthetic"}
    assert set(stacked["flops_per_step"].flat) == {get_task(TASK).flops_per_step}
    curves = read_curves(bench.path)
    for h, s in np.ndindex(2, 2):
        curve = curves[str(stacked["trial_id"][h, s])]
        assert stacked.keys() == curve.keys() | {"curve_file"}
        np.testing.assert_array_equal(stacked["train/loss"][h, s], curve["train/loss"])


def test_more_repetitions_reuse_the_seeds_that_are_there(bench):
    bench.run()
    result = bench.run("--opt-reps=3")
    assert "2 trials to train, 4 recorded already" in text(result)
    assert len(bench.curve_files) == 6
    assert len(bench.archive_files) == 2
