"""A gradient estimator that remembers trains in a grid as it does in a plain loop."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from optsuite.hparam_sets import Config, Schedule
from optsuite.noise import key_from, uniform
from optsuite.tasks import get_task, register_task
from optsuite.trainer import trial_bytes, width_limit

from .own import own
from .runs import AVERAGED, SHORT, TINY, assert_close, assert_identical, sgd, train, trials_of
from .test_against_plain_loop import SEED, batches_of

RATES = (0.3, 0.1)


@pytest.fixture(scope="module", autouse=True)
def registered():
    register_task(AVERAGED)
    assert get_task("Averaged") is AVERAGED


def plain_loop(lr):
    """Losses of gradient descent, (num_steps + 1,)."""
    module, losses = AVERAGED.module(SEED), []
    params = list(module.parameters())
    means = [torch.zeros_like(param) for param in params]
    scale = 1 + uniform(torch.tensor(key_from(SEED, "estimator")), ()).item()
    batches = itertools.islice(batches_of(AVERAGED, "train", "train"), SHORT.num_steps + 1)
    for count, batch in enumerate(batches, 1):
        loss = AVERAGED.loss(module, batch)
        losses.append(loss.item())
        for param, mean, grad in zip(params, means, torch.autograd.grad(loss, params), strict=True):
            mean += (scale * grad - mean) / count
            param.data -= lr * mean
    return losses


# The last class writes into the gradients that it is given, which are the carry too.
@pytest.mark.usefixtures("own_file")
@pytest.mark.parametrize("config", [sgd, lambda lr: own("Rebinding", lr)[0]], ids=["pure", "class"])
def test_steps_are_those_of_a_plain_loop_alone_and_together(config):
    trials = trials_of([config(lr) for lr in RATES], [1, SEED], task=AVERAGED)
    together = train(trials, AVERAGED)
    for trial, lr in zip(trials[1::2], RATES, strict=True):
        np.testing.assert_allclose(together[trial]["train/loss"], plain_loop(lr), rtol=1e-4)
        assert_close(together[trial], train([trial], AVERAGED)[trial])
    other = train(trials_of([config(0.3)], [SEED]))
    assert not np.allclose(*(next(iter(c.values()))["train/loss"] for c in (other, {0: together[trials[1]]})))


@pytest.mark.usefixtures("own_file")
@pytest.mark.parametrize("seeds", [[SEED], [1, SEED]], ids=["one", "two"])
def test_a_class_that_writes_into_its_gradients_leaves_the_carry_alone(seeds):
    scribbling = trials_of(own("Scribbling", 0.3), seeds, task=AVERAGED)
    decaying = Config("x", "torch.optim:SGD", {"lr": 0.3, "weight_decay": 0.1})
    expected = train(trials_of([decaying], seeds, task=AVERAGED), AVERAGED)
    for curve, other in zip(train(scribbling, AVERAGED).values(), expected.values(), strict=True):
        assert_close(curve, other)


def test_configs_that_diverged_take_their_carries_with_them():
    schedule = Schedule(120, eval_every=40, eval_batches=1)
    trials = trials_of([sgd(1e30), sgd(0.1), sgd(1e32), sgd(0.3)], [0, 1], schedule, AVERAGED)
    curves = train(trials, AVERAGED)
    for trial in trials:
        assert curves[trial].is_diverged == (trial.config.hparams["lr"] > 1)
        assert_close(curves[trial], train([trial], AVERAGED)[trial])


def test_the_carry_counts_as_memory(monkeypatch):
    assert AVERAGED.carry_bytes == 4 * (TINY.num_params + 2)
    assert AVERAGED.flops_per_step == TINY.flops_per_step
    assert AVERAGED.activation_bytes >= TINY.activation_bytes
    assert trial_bytes(AVERAGED) > AVERAGED.peak_bytes + AVERAGED.carry_bytes + 4 * TINY.num_params
    assert width_limit(AVERAGED, torch.device("cpu")) < width_limit(TINY, torch.device("cpu"))


def test_steps_in_place_leave_the_carry_alone(monkeypatch):
    trials = trials_of([sgd(lr) for lr in RATES], [0, 1], task=AVERAGED)
    eager = train(trials, AVERAGED)
    monkeypatch.setattr("optsuite.trainer._layout.compiling_pays", lambda *_, **__: True)
    monkeypatch.setattr("optsuite.trainer._functions.Compiled", lambda fn, *_, **__: fn)
    for trial, curve in train(trials, AVERAGED).items():
        assert str(curve["trained_as"]).endswith("compiled")
        assert_identical(curve, eager[trial])
