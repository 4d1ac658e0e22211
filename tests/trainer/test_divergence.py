"""Diverging is a result: NaN from there on, and nothing to the neighbours."""

from __future__ import annotations

import numpy as np
import pytest

from optsuite import trainer
from optsuite.hparam_sets import Config, Schedule

from .runs import TINY, adam, assert_identical, nadam, sgd, train, trials_of

SCHEDULE = Schedule(120, eval_every=10, eval_batches=1, last_eval_batches=2)
MAKERS = pytest.mark.parametrize("make", [sgd, adam, nadam], ids=["SGD", "Adam", "NAdam"])
RATES = {sgd: 0.1, adam: 1e-3, nadam: 1e-3}


def assert_diverged(curve):
    at = curve.diverged_at
    assert 0 < at < 10
    assert np.isfinite(curve["train/loss"][:at]).all()
    assert np.isnan(curve["train/loss"][at:]).all()
    assert curve["train/loss"].shape == (SCHEDULE.num_steps + 1,)
    evals = [key for key in curve if key.count("/") == 2]
    assert len(evals) == 9
    for key in evals:
        assert curve[key].shape == (SCHEDULE.num_steps // SCHEDULE.eval_every + 1,)
        assert np.isfinite(curve[key][0])
        assert np.isnan(curve[key][1:]).all(), key


@MAKERS
def test_a_diverged_trial_is_nan_from_there_on(make):
    wild, tame = trials_of([make(1e30), make(RATES[make])], schedule=SCHEDULE)
    curves = train([wild, tame])
    assert_diverged(curves[wild])
    assert not curves[tame].is_diverged
    assert all(np.isfinite(curves[tame][key]).all() for key in curves[tame] if key.startswith("eval/"))


@MAKERS
def test_a_diverged_trial_leaves_its_neighbours_bits_alone(make):
    """Compared with the same grid in which its place is taken by a trial that learns."""
    beside_wild = trials_of([make(1e30), make(RATES[make])], seeds=[0, 1], schedule=SCHEDULE)
    beside_tame = trials_of([make(1e-4), make(RATES[make])], seeds=[0, 1], schedule=SCHEDULE)
    wild, tame = train(beside_wild), train(beside_tame)
    for trial in beside_wild[2:]:
        assert_identical(wild[trial], tame[trial])


def test_other_optimizers_do_not_notice():
    alone = trials_of([adam(1e-3)], schedule=SCHEDULE)
    together = [*trials_of([sgd(1e30)], schedule=SCHEDULE), *alone]
    curves = train(together)
    assert_diverged(curves[together[0]])
    assert_identical(curves[alone[0]], train(alone)[alone[0]])


@MAKERS
def test_a_grid_of_diverged_trials_stops_early_at_full_length(make):
    told = []
    trials = trials_of([make(1e30), make(1e32)], seeds=[0, 1], schedule=SCHEDULE)
    for outcome in trainer.run(TINY, trials, mode="synthetic", device="cpu", tell=told.append):
        assert_diverged(outcome.result)
    assert sum(told) < len(trials) * SCHEDULE.num_steps


def test_a_diverged_trial_without_evaluations_has_full_length():
    config = Config("SGD", "SGD", {"lr": 1e30})
    curve = trainer.train(TINY, config, Schedule(120, eval_batches=0), mode="synthetic", device="cpu")
    assert curve["train/loss"].shape == (121,)
    assert not any(key.startswith("eval/") for key in curve if key not in ("eval_batches", "eval_every"))
