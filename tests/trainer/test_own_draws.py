"""What a user's code draws from global generators belongs to its trial."""

from __future__ import annotations

import random
from unittest.mock import patch

import numpy as np
import pytest
import torch
from torch import nn

from optsuite.hparam_sets import Config, Schedule
from optsuite.noise import generator_states
from optsuite.optimizers import OPTIMIZERS, Optimizer, register_optimizer
from optsuite.optimizers import sgd as pure_sgd
from optsuite.trainer._grid import Grid, How, group_by_spec
from optsuite.trainer._loop import GridRun
from optsuite.trainer._programs import Programs

from .own_tasks import Net, between, own
from .runs import TINY, assert_identical, nadam, sgd, train, trials_of

SCHEDULE = Schedule(6, eval_every=3, eval_batches=1, last_eval_batches=1)


def times(draw):
    return between(lambda _: None, lambda _, hidden: hidden * (0.5 + draw()))


def drawn_loss(outputs, batch):
    return TINY.loss_fn(outputs, batch) * (0.5 + random.random())


DRAWING = {
    "dropout": own(lambda: Net(between=lambda: nn.Sequential(nn.ReLU(), nn.Dropout(0.5)))),
    "torch": times(lambda: torch.rand(())),
    "NumPy": times(np.random.rand),
    "Python": times(random.random),
    "the loss": own(Net, loss_fn=drawn_loss),
    "a metric": own(Net, metric_fns={"odd": lambda outputs, _: outputs.new_tensor(np.random.rand())}),
}


def one_by_one():
    return pytest.warns(RuntimeWarning, match="one by one instead of side by side .they draw from")


def draw_elsewhere():
    torch.rand(3), np.random.rand(3), random.random()


@pytest.mark.parametrize("make", [sgd, nadam], ids=["pure", "class"])
@pytest.mark.parametrize("kind", DRAWING)
def test_draws_are_the_trials_own(kind, make):
    """Neither what ran before or beside, nor an earlier draw changes a bit; trials differ from each other."""
    task = DRAWING[kind]
    trials = trials_of([make(0.01), make(0.1)], (0, 1), SCHEDULE, task)
    draw_elsewhere()
    before = generator_states()
    with one_by_one():
        together = train(trials, task)
    assert generator_states() == before
    for trial in trials:
        draw_elsewhere()
        assert_identical(train([trial], task)[trial], together[trial])
    if kind != "a metric":
        losses = {curve["train/loss"][0] for curve in together.values()}
        assert len(losses) == 2  # of two seeds, whose configs share them


def test_each_step_draws_anew():
    task = own(Net, loss_fn=lambda outputs, _: 0 * outputs.sum() + random.random())
    (curve,) = train(trials_of([sgd(0.0)], schedule=SCHEDULE, task=task), task).values()
    losses = curve["train/loss"]
    assert len(set(losses.tolist())) == len(losses)


def test_what_a_constructor_draws_follows_from_the_seed():
    task = own(lambda: Net(between=lambda: nn.Threshold(random.random(), np.random.rand())))
    before = generator_states()
    one, again, other = (task.module(seed).between for seed in (0, 0, 1))
    assert (one.threshold, one.value) == (again.threshold, again.value)
    assert one.threshold != other.threshold
    assert one.value != other.value
    assert task.flops_per_step > 0
    assert generator_states() == before


def noisy_sgd(lr):
    """Gradient descent with noise in its updates, as strong as a number that is drawn when it starts."""
    plain = pure_sgd(lr)

    def init(params, **kwargs):
        return plain.init(params, **kwargs), torch.rand(())

    def update(grads, state, params, **kwargs):
        inner, strength = state
        noisy = {name: grad + strength * torch.randn(()) + np.random.rand() for name, grad in grads.items()}
        updates, inner = plain.update(noisy, inner, params, **kwargs)
        return updates, (inner, strength)

    return Optimizer(init, update)


def test_an_optimizer_that_draws_trains_one_trial_at_a_time():
    with patch.dict(OPTIMIZERS):
        register_optimizer("NoisySGD", noisy_sgd)
        configs = [Config(f"NoisySGD_lr{lr}", "NoisySGD", {"lr": lr}) for lr in (0.01, 0.02)]
        trials = trials_of(configs, (0, 1), SCHEDULE)
        with one_by_one():
            together = train(trials)
        draw_elsewhere()
        for trial in trials:
            assert_identical(train([trial])[trial], together[trial])


def test_a_task_of_the_package_trains_side_by_side_whatever_was_drawn():
    draw_elsewhere()
    curves = train(trials_of([sgd(0.1), sgd(0.2)], (0, 1), SCHEDULE))
    assert {str(curve["trained_as"]) for curve in curves.values()} == {"2 seeds x 2 configs, eager"}


def test_a_run_that_draws_goes_on_bit_for_bit_after_it_was_dumped():
    task, (spec, members) = DRAWING["Python"], next(group_by_spec(trials_of([sgd(0.1)], [3], SCHEDULE)))
    how = How(is_compiled=False, is_one_by_one=True, alone_because="they draw", owns_numbers=True)

    def run():
        return GridRun(
            Programs(task, spec, torch.device("cpu"), how), Grid((3,), (members[0].config,)), "synthetic"
        )

    whole, first, second = run(), run(), run()
    expected = whole.finish(whole.advance(whole.begin()))
    dumped = first.dump(first.advance(first.begin(), 3))
    draw_elsewhere()
    got = second.finish(second.advance(second.load(dumped)))
    np.testing.assert_array_equal(got.train_loss_TSH, expected.train_loss_TSH)


@pytest.mark.parametrize("kind", sorted(DRAWING.keys() - {"a metric"}))
def test_a_task_that_draws_is_not_compiled(kind, monkeypatch):
    """A compiler could bake a number into the program, and draws otherwise."""
    task = DRAWING[kind]
    trials = trials_of([sgd(0.1)], schedule=SCHEDULE, task=task)
    expected = train(trials, task)
    monkeypatch.setattr("optsuite.trainer._layout.compiling_pays", lambda *_, **__: True)
    assert_identical(train(trials, task)[trials[0]], expected[trials[0]])
