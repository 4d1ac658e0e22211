"""Diverging is a result: NaN from there on, and nothing to the neighbours."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from optsuite import trainer
from optsuite.hparam_sets import Config, Schedule
from optsuite.trainer import _compile, _program, group_by_spec
from optsuite.trainer._compile import can_compile
from optsuite.trainer._grid import How
from optsuite.trainer._programs import Programs

from .runs import TINY, adam, assert_close, assert_identical, nadam, run, sgd, train, trials_of

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


@pytest.fixture
def shapes(monkeypatch):
    """The shapes of the programs that are made."""
    shapes = []

    real = _program.Program.__init__

    def init(self, task, spec, shape, *others):
        shapes.append(shape)
        real(self, task, spec, shape, *others)

    monkeypatch.setattr(_program.Program, "__init__", init)
    return shapes


@MAKERS
def test_configs_that_diverged_are_dropped_and_the_others_go_on(make, shapes):
    tame_configs = [make(RATES[make] / n) for n in (1, 2, 4)]
    wild = trials_of([make(1e30)], seeds=[0, 1], schedule=SCHEDULE)
    tame = trials_of(tame_configs, seeds=[0, 1], schedule=SCHEDULE)
    curves = train([*tame[:2], *wild, *tame[2:]])
    assert shapes == [(2, 4), (2, 3)]
    alone = train(tame)
    for trial in tame:
        assert_close(curves[trial], alone[trial])
    for trial in wild:
        assert_diverged(curves[trial])


def test_a_config_is_kept_while_one_of_its_seeds_learns(shapes):
    def loss_fn(outputs, batch):  # on other data the other seed would be the first
        return TINY.loss_fn(outputs, batch) / (batch["label"][:2].sum() > 0)

    task = replace(TINY, name="Fragile", batch_size=32, loss_fn=loss_fn)
    trials = trials_of([sgd(0.1), sgd(0.01)], seeds=range(4), schedule=SCHEDULE, task=task)
    curves = train(trials, task)
    ends = [curves[trial].diverged_at for trial in trials]
    assert ends[:4] == ends[4:]  # what their batches say
    assert len({end is None or end > 50 for end in ends}) == 2, ends
    assert shapes == [(4, 2)]


@pytest.mark.slow
@pytest.mark.skipif(not can_compile("cpu"), reason="no compiler")
def test_compiled_configs_are_dropped_between_rare_evaluations(shapes, monkeypatch):
    monkeypatch.setattr(_compile, "_MIN_CALLS", 100)
    monkeypatch.setattr(_compile, "_MIN_CALLS_OF_FEW", 100)
    schedule = Schedule(300, eval_every=120, eval_batches=1, last_eval_batches=1)
    trials = trials_of([sgd(0.1), sgd(1e30), sgd(0.01), sgd(1e32)], schedule=schedule)
    curves = train(trials)
    assert shapes == [(1, 4), (1, 2)]
    assert {str(curve["trained_as"]) for curve in curves.values()} == {"1 seeds x 4 configs, compiled"}
    alone = train(trials[::2])
    for trial in trials[::2]:
        assert_close(curves[trial], alone[trial])


def test_a_compiled_program_is_left_only_for_what_buys_another():
    ((spec, trials),) = group_by_spec(trials_of([sgd(0.1), sgd(0.2)]))
    eager, compiled = (
        Programs(TINY, spec, torch.device("cpu"), How(flag))((1, len(trials))) for flag in (False, True)
    )
    assert [eager.drops(share, 10) for share in (0.0, 0.1)] == [False, True]
    assert [compiled.drops(0.5, steps) for steps in (100, 3000, 5000)] == [False, False, True]
    assert not compiled.drops(0.0, 10**6)


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
    for outcome in run(trials, tell=told.append):
        assert_diverged(outcome.result)
    assert sum(told) < len(trials) * SCHEDULE.num_steps


def test_a_diverged_trial_without_evaluations_has_full_length():
    config = Config("SGD", "SGD", {"lr": 1e30})
    curve = trainer.train(TINY, config, Schedule(120, eval_batches=0), mode="synthetic", device="cpu")
    assert curve["train/loss"].shape == (121,)
    assert not any(key.startswith("eval/") for key in curve if key not in ("eval_batches", "eval_every"))
