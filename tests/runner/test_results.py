"""What became of one config, in few numbers."""

from __future__ import annotations

import numpy as np
import pytest

from optsuite.curves import Curve
from optsuite.errors import StorageError
from optsuite.runner import result_of
from optsuite.trainer import Outcome


def curve(loss, eval_xs=(0, 10)):
    arrays = {"train/xs": np.arange(11), "train/loss": np.full(11, loss, np.float32)}
    arrays |= {"eval/xs": np.array(eval_xs), "eval/train/loss": np.full(len(eval_xs), loss, np.float32)}
    return Curve({**arrays, "data_source": "synthetic"})


@pytest.fixture
def config(cell):
    return cell.hparam_set.configs[0]


def result(cell, config, *results, **options):
    trials = cell.trials([config])
    outcomes = {trial: Outcome(trial, one) for trial, one in zip(trials, results, strict=False)}
    return result_of(cell, config, outcomes, **options)


def test_what_is_there_is_summarised(cell, config):
    one = result(cell, config, curve(1.0), curve(3.0))
    assert (one.cell_name, one.label, one.source) == (cell.name, config.label, "synthetic")
    assert one.summary.final == {"train": 2.0}
    assert (one.num_trained, one.num_recorded, one.num_failed, one.cause) == (2, 0, 0, "")


def test_a_curve_of_before_was_not_trained_now(cell, config):
    trials = cell.trials([config])
    outcomes = {trial: Outcome(trial, curve(1.0), is_new=trial.seed == 0) for trial in trials}
    one = result_of(cell, config, outcomes)
    assert (one.num_trained, one.num_recorded) == (1, 1)


def test_a_repetition_that_failed_leaves_no_summary_and_its_cause(cell, config):
    one = result(cell, config, curve(1.0), StorageError("lost"), explain=lambda error: f"said: {error}")
    assert one.summary is None
    assert (one.num_trained, one.num_failed, one.cause) == (1, 1, "said: lost")


def test_without_outcomes_there_is_nothing(cell, config):
    one = result_of(cell, config, {})
    assert (one.summary, one.source, one.num_failed) == (None, "", 0)


def test_a_loss_before_the_first_step_is_not_final(cell, config):
    one = result(cell, config, curve(1.0, eval_xs=(0,)), curve(3.0, eval_xs=(0,)))
    assert one.summary.final == {}
    assert one.summary.num_trials == 2
