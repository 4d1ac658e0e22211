"""Tasks that train another one are trained as any other: in grids, in pieces, by rules and by classes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from optsuite.errors import UnsupportedError
from optsuite.hparam_sets import Config, Schedule
from optsuite.modules import MLP
from optsuite.optimizers import adafac_mlp_lopt, mlp_lopt
from optsuite.tasks import get_task
from optsuite.tasks._lopt import persistent, unrolled
from optsuite.tasks._task import unchanged
from optsuite.trainer import width_limit

from .runs import TINY, adam, assert_close, run, sgd, train, trials_of
from .test_resume import assert_resumes

SMALL = replace(TINY, name="Small", build=lambda: MLP([64, 4, 10]), batch_size=4)
UNROLLED = unrolled("Unrolled", SMALL, mlp_lopt(hidden_size=4, step_mult=0.1), 3)
PERSISTENT = persistent(
    "Persistent",
    SMALL,
    adafac_mlp_lopt(hidden_size=4, hidden_layers=1, step_mult=0.1),
    num_problems=3,
    total_length=7,
    unroll_length=3,
)
SCHEDULE = Schedule(8, eval_every=4, eval_batches=1, last_eval_batches=2)

every_task = pytest.mark.parametrize("task", [UNROLLED, PERSISTENT], ids=["unrolled", "persistent"])


def torch_adam(lr):
    return Config(f"torch_lr{lr}", "torch.optim:Adam", {"lr": lr})


@every_task
@pytest.mark.parametrize("config", [sgd, adam, torch_adam])
def test_trials_side_by_side_are_those_alone(task, config):
    trials = trials_of([config(1e-3), config(3e-3)], [0, 1], SCHEDULE, task)
    together = train(trials, task)
    for trial in trials[1:3]:
        # Estimates are differences of losses over a hundredth, which makes much of rounding.
        assert_close(together[trial], train([trial], task)[trial], rtol=1e-3)
    losses = {curve["train/loss"].tobytes() for curve in together.values()}
    assert len(losses) == len(trials)
    assert all("eval/train/accuracy" not in curve for curve in together.values())


@every_task
def test_a_class_trains_as_the_pure_functions_do(task):
    config = Config("Adam", "Adam", {"lr": 1e-2}), torch_adam(1e-2)
    pure, by_class = (train(trials_of([one], schedule=SCHEDULE, task=task), task) for one in config)
    one, other = next(iter(pure.values())), next(iter(by_class.values()))
    # Epsilons differ, so that small gradients move less.
    np.testing.assert_allclose(other["train/loss"], one["train/loss"], rtol=0.05)


def test_evaluations_go_on_from_the_problems_of_the_training():
    """An evaluation of fresh problems would record about the loss of the first step for ever."""
    (curve,) = train(trials_of([sgd(0.0)], schedule=SCHEDULE, task=PERSISTENT), PERSISTENT).values()
    assert curve["eval/train/loss"].shape == (3,)
    assert np.isfinite(curve["eval/train/loss"]).all()
    np.testing.assert_array_equal(curve["eval/train/loss"], curve["eval/train/loss_normalized"])


@pytest.mark.parametrize("config", [sgd, torch_adam])
def test_configs_that_diverged_take_their_inner_states_with_them(config):
    """Configs are dropped after 50 steps."""
    schedule = Schedule(53, eval_every=53, eval_batches=1, last_eval_batches=1)
    inner = replace(SMALL, normalize_fn=unchanged)
    learned = mlp_lopt(hidden_size=2, hidden_layers=1)
    task = persistent("Persistent", inner, learned, num_problems=2, total_length=7, unroll_length=2)
    trials = trials_of([config(1e30), config(1e-3)], [0, 1], schedule, task)
    curves = train(trials, task)
    assert [curves[trial].is_diverged for trial in trials] == [True, True, False, False]
    assert_close(curves[trials[2]], train(trials[2:3], task)[trials[2]], rtol=1e-2)


def test_a_loss_that_counts_nan_as_the_worst_is_the_worst_after_divergence():
    """So the reference has it; only the first loss of a problem comes before its first step."""
    (curve,) = train(trials_of([sgd(1e30)], schedule=SCHEDULE, task=PERSISTENT), PERSISTENT).values()
    assert not curve.is_diverged
    assert 2.8 < curve["eval/train/loss"][1:].min() <= curve["eval/train/loss"].max() <= 1.5 * np.log(10)


@every_task
@pytest.mark.parametrize("config", [sgd, torch_adam])
def test_a_run_goes_on_bit_for_bit(task, config):
    configs = [config(1e-3), config(1e-2)]
    assert_resumes(configs, task, schedule=SCHEDULE, stops=(1, 5))


@every_task
def test_a_precision_that_does_not_reach_the_inner_network_is_refused(task):
    trials = [replace(trial, precision="bf16") for trial in trials_of([sgd(0.1)], [0, 1], SCHEDULE, task)]
    outcomes = list(run(trials, task))
    assert len(outcomes) == 2
    for outcome in outcomes:
        assert isinstance(outcome.result, UnsupportedError)
        assert "to which bf16 does not reach: pass float32" in str(outcome.result)


def test_as_many_trials_train_side_by_side_as_pays(monkeypatch):
    """All that a trial holds is to stay in the cache: with many problems, it gains nothing from others."""
    monkeypatch.setattr("optsuite.trainer._memory.free_bytes", lambda _: 12 * 2**30)
    widths = {
        "LOptPES_Adafac_Fashion_OuterBS16_Length50_Trunc10": 1,
        "LOptPES_Adafac_Fashion_OuterBS8_Length50_Trunc5": 2,
        "LOptPES_Adafac_Fashion_OuterBS4_Length50_Trunc5": 4,
    }
    cpu = torch.device("cpu")
    assert {name: width_limit(get_task(name), cpu) for name in widths} == widths
    assert 5 < width_limit(get_task("LOpt_MLPLOpt_FahionMnist_10"), cpu) < 15
