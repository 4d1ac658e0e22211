"""A trial's curve is a function of the trial, whichever trials ran beside it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from optsuite import trainer
from optsuite.curves import ADDED_KEYS, EVAL_KEYS, REQUIRED_KEYS
from optsuite.errors import OptsuiteError
from optsuite.hparam_sets import Config, Schedule, Trial, get_hparam_set

from .runs import (
    KINDS,
    SHORT,
    TINY,
    adam,
    assert_close,
    assert_identical,
    metrics,
    run,
    sgd,
    train,
    trials_of,
)

EVALUATED = [f"eval/{split}/{m}" for split in ("train", "outer_valid", "test") for m in ("loss", "accuracy")]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("num_steps", "eval_every"), [(20, 10), (23, 10), (7, 1), (3, 10), (0, 10)])
def test_curve_has_a_point_a_step_and_an_evaluation_every_so_often(kind, num_steps, eval_every):
    task = KINDS[kind]
    schedule = Schedule(num_steps, eval_every, eval_batches=1, last_eval_batches=2)
    curve = trainer.train(task, adam(1e-3), schedule, seed=4, mode="synthetic", device="cpu")
    assert curve["train/loss"].shape == (num_steps + 1,)
    assert curve["train/loss"].dtype == np.float32
    assert curve["train/xs"].tolist() == list(range(num_steps + 1))
    num_evals = num_steps // eval_every + 1
    assert curve["eval/xs"].tolist() == [eval_every * e for e in range(num_evals)]
    for key in EVALUATED:
        assert curve[key].shape == (num_evals,)
        assert np.isfinite(curve[key]).all()
    assert {*REQUIRED_KEYS, *EVAL_KEYS, *ADDED_KEYS, *EVALUATED} == set(curve)


def test_curve_says_where_it_comes_from():
    (trial,) = trials_of([adam(1e-3)], seeds=[4])
    curve = train([trial])[trial]
    assert (curve.task_name, curve.opt_name, curve.seed) == (TINY.name, "Adam_lr0.001", 4)
    assert curve["data_source"] == "synthetic"
    assert curve["trial_id"] == trial.id("synthetic")
    assert curve["trained_as"] == "1 seeds x 1 configs, eager"
    assert curve["accelerator_platform"] == "cpu"
    assert curve["flops_per_step"] == TINY.flops_per_step
    assert curve["seconds_per_step"] > 0
    assert '"lr": 0.001' in str(curve["gin_operative_config"])


def test_an_auto_encoder_has_no_accuracy():
    schedule = Schedule(2, eval_every=1, eval_batches=1, last_eval_batches=1)
    curve = trainer.train(
        "ImageMLPAE_FashionMnist_128x32x128_bs128", adam(1e-3), schedule, mode="synthetic", device="cpu"
    )
    assert {*REQUIRED_KEYS, *EVAL_KEYS, *ADDED_KEYS} == set(curve)


def test_train_is_train_many_of_one():
    trials = trials_of([adam(1e-3)], seeds=[2])
    alone = trainer.train(TINY.name, adam(1e-3), SHORT, seed=2, mode="synthetic", device="cpu")
    assert_identical(alone, train(trials)[trials[0]])


# Rates that learn without amplifying rounding errors.
GROUPS = {
    "mlp": [adam(lr) for lr in np.geomspace(1e-5, 1e-2, 15).tolist()],
    "conv": [adam(1e-4), adam(1e-3), adam(3e-3)],
    "dropout": [adam(1e-5), adam(1e-4), adam(3e-4)],
    "batchnorm": [sgd(0.001), sgd(0.01), sgd(0.03)],
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("limit", [4, 1000])
def test_a_trial_alone_in_a_pair_and_in_a_crowd_has_the_same_curve(kind, limit, monkeypatch):
    """Several widths are tried, since a task's own may hide the grids."""
    monkeypatch.setattr("optsuite.trainer._layout.width_limit", lambda *_: limit)
    task, configs = KINDS[kind], GROUPS[kind]
    crowd = trials_of(configs, seeds=[0, 1], task=task)
    pair = [crowd[-1], crowd[0]]
    in_crowd, in_pair = train(crowd, task), train(pair, task)
    for trial in pair:
        alone = train([trial], task)[trial]
        assert_close(in_pair[trial], alone, rtol=3e-4)
        assert_close(in_crowd[trial], alone, rtol=3e-4)


def test_settings_of_opt_list_train_together_as_they_do_alone(monkeypatch):
    """All numbers differ between trials: as float32 tensors they do what they do as Python numbers."""
    monkeypatch.setattr("optsuite.trainer._layout.width_limit", lambda *_: 1000)
    trials = trials_of(get_hparam_set("OptList1k_60_R1").configs[:6])
    together = train(trials)
    assert {str(curve["trained_as"]) for curve in together.values()} == {"1 seeds x 3 configs, eager"}
    for trial in trials:
        assert_close(together[trial], train([trial])[trial], rtol=3e-4)


def test_trials_that_accumulate_train_together_as_they_do_alone():
    settings = [(1e-3, 1), (1e-2, 1), (1e-2, 4), (1e-2, 32), (0.1, 100)]
    configs = [Config(f"{n}_{lr}", "AdamGradAccum", {"lr": lr, "num_average": n}) for lr, n in settings]
    together = train(trials_of(configs))
    assert {str(curve["trained_as"]) for curve in together.values()} == {"1 seeds x 5 configs, eager"}
    for trial, curve in together.items():
        assert_close(curve, train([trial])[trial])
    every_step, never = together[trials_of(configs)[1]], together[trials_of(configs)[4]]
    assert_close(every_step, train(trials_of([adam(1e-2)]))[trials_of([adam(1e-2)])[0]])
    assert never["eval/train/loss"][0] == pytest.approx(never["eval/train/loss"][-1], rel=0.05)


def test_trials_of_shampoo_train_together_as_they_do_alone():
    """One of them has diverged when the statistics begin to be used."""
    schedule = Schedule(15, eval_every=5, eval_batches=1, last_eval_batches=1)
    hparams = {"graft_type": "RMSPROP", "block_size": 32}
    configs = [Config(f"lr{lr}", "Shampoo", {"lr": lr, **hparams}) for lr in (1e-4, 1e-3, 1e30)]
    together = train(trials_of(configs, seeds=[0, 1], schedule=schedule))
    assert {str(curve["trained_as"]) for curve in together.values()} == {"2 seeds x 3 configs, eager"}
    for trial, curve in together.items():
        assert curve.is_diverged == (trial.config.label == "lr1e+30")
        assert_close(curve, train([trial])[trial], rtol=3e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_rerun_is_bit_identical(kind, monkeypatch):
    monkeypatch.setattr("optsuite.trainer._layout.width_limit", lambda *_: 1000)
    trials = trials_of(GROUPS[kind][-3:], seeds=[0, 1], task=KINDS[kind])
    first, second = (train(trials, KINDS[kind]) for _ in range(2))
    for trial in trials:
        assert_identical(second[trial], first[trial])
        same = set(first[trial]) - {"seconds_per_step"}
        assert all(
            np.array_equal(second[trial][k], first[trial][k], equal_nan=k in metrics(first[trial]))
            for k in same
        )


def test_seeds_and_rates_make_different_curves():
    trials = trials_of([adam(1e-3), adam(2e-3)], seeds=[0, 1])
    losses = [curve["train/loss"] for curve in train(trials).values()]
    for one, other in itertools.combinations(losses, 2):
        assert not np.allclose(one[1:], other[1:], rtol=1e-3)
    # Common random numbers: the configs of a seed start from the same parameters and batch.
    first = [loss[0] for loss in losses]
    assert first[0] == pytest.approx(first[2], rel=1e-6)
    assert first[1] == pytest.approx(first[3], rel=1e-6)


def test_a_set_comes_back_in_the_order_of_its_trials():
    trials = get_hparam_set("AdamLR_3_R2").trials(TINY.name)
    curves = train(trials)
    assert [(c.opt_name, c.seed) for c in curves.values()] == [(t.config.label, t.seed) for t in trials]


def test_curves_come_in_the_order_given():
    """Some of the trials could share no program, and one is given twice."""
    schedules = [Schedule(3, eval_batches=0), Schedule(4, eval_batches=0)]
    trials = [
        Trial(TINY.name, config, schedule, seed)
        for seed in (5, 1)
        for schedule in schedules
        for config in (sgd(0.1), adam(1e-3), sgd(0.01))
    ]
    trials.append(trials[0])
    curves = trainer.train_many(TINY, trials, mode="synthetic", device="cpu")
    asked = [(t.config.label, t.schedule.num_steps, t.seed) for t in trials]
    assert [(c.opt_name, c.num_steps, c.seed) for c in curves] == asked
    assert [c["trial_id"] for c in curves] == [t.id("synthetic") for t in trials]


def test_no_trials_give_no_curves():
    assert trainer.train_many(TINY, [], mode="synthetic", device="cpu") == []


def test_ragged_trials_are_covered_exactly_once():
    """Each seed has other configs, as when some of a cell are recorded already."""
    schedule = Schedule(2, eval_batches=0)
    labels = {0: [1e-3], 1: [1e-3, 1e-2], 2: [1e-4, 1e-2], 3: [1e-2, 1e-4], 4: [1e-3, 1e-2]}
    trials = [trial for s, lrs in labels.items() for trial in trials_of(map(adam, lrs), [s], schedule)]
    outcomes = list(run(trials))
    assert len(outcomes) == len(trials)
    assert {outcome.trial for outcome in outcomes} == set(trials)
    for trial, curve, _ in outcomes:
        assert (curve.opt_name, curve.seed) == (trial.config.label, trial.seed)


def test_progress_adds_up_to_all_steps():
    told = []
    trials = trials_of(
        [adam(1e-3), adam(1e-2), sgd(0.1)], seeds=[0, 1], schedule=Schedule(120, eval_batches=0)
    )
    list(run(trials, tell=told.append))
    assert sum(told) == len(trials) * 121
    assert len(told) > 2


@pytest.mark.parametrize("eval_batches", [0, 1])
def test_without_evaluations_there_are_no_eval_keys(eval_batches):
    schedule = Schedule(5, eval_every=2, eval_batches=eval_batches, last_eval_batches=3)
    curve = trainer.train(TINY, adam(1e-3), schedule, mode="synthetic", device="cpu")
    assert any(key.startswith("eval/") for key in curve) == bool(eval_batches)


def test_evaluation_consumes_no_training_batches():
    def losses(**schedule):
        curve = trainer.train(TINY, adam(1e-3), Schedule(55, **schedule), mode="synthetic", device="cpu")
        return curve["train/loss"]

    often, seldom, never = losses(eval_every=5), losses(eval_every=50), losses(eval_batches=0)
    np.testing.assert_array_equal(often, seldom)
    np.testing.assert_array_equal(often, never)


def test_dropout_noise_is_fresh_each_step(monkeypatch):
    """A rate of zero and the same batch at every step leave the noise alone to change the loss."""
    monkeypatch.setattr(
        "optsuite.data.IndexStream.block",
        lambda self, a, b: torch.arange(self.batch_size).remainder(8).expand(b - a, -1),
    )
    schedule = Schedule(20, eval_batches=0)
    curve = trainer.train(KINDS["dropout"], sgd(0.0), schedule, mode="synthetic", device="cpu")
    assert len(np.unique(curve["train/loss"])) == 21
    curve = trainer.train(KINDS["conv"], sgd(0.0), schedule, mode="synthetic", device="cpu")
    assert len(np.unique(curve["train/loss"])) == 1


def test_trials_of_another_task_are_an_error():
    trials = trials_of([adam(1e-3)], task=KINDS["conv"])
    with pytest.raises(OptsuiteError, match=rf"trials of `{TINY.name}` needed, got .*Conv_Cifar10_8_16x32"):
        train(trials, TINY)


def test_a_whole_number_as_learning_rate_trains_like_the_float():
    one, also_one = (Config("SGD_lr1", "SGD", {"lr": lr}) for lr in (1, 1.0))
    trials = trials_of([one, sgd(0.5)], schedule=Schedule(5, eval_batches=0))
    other = trials_of([also_one, sgd(0.5)], schedule=Schedule(5, eval_batches=0))
    for left, right in zip(train(trials).values(), train(other).values(), strict=True):
        assert_close(left, right)


def test_a_hyperparameter_of_the_state_is_each_trials_own():
    """AdaGrad's accumulator starts at a hyperparameter, which may differ between trials of a group."""
    configs = [Config(f"a{a}", "AdaGrad", {"lr": 0.1, "initial_accumulator_value": a}) for a in (0.1, 10.0)]
    together = trainer.train_many(TINY, trials_of(configs), mode="synthetic", device="cpu")
    for config, curve in zip(configs, together, strict=True):
        alone = trainer.train(TINY, config, SHORT, mode="synthetic", device="cpu")
        np.testing.assert_allclose(curve["train/loss"], alone["train/loss"], rtol=1e-4)
    assert not np.allclose(together[0]["train/loss"], together[1]["train/loss"])


def test_any_integer_is_a_seed():
    curve = trainer.train(TINY, adam(1e-3), Schedule(2), np.int64(3), mode="synthetic", device="cpu")
    assert curve.seed == 3
