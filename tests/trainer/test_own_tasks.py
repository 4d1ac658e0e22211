"""Tasks of a user's train as in an ordinary PyTorch loop, alone and side by side."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, weight_norm

from optsuite.curves import Curve
from optsuite.errors import UnsupportedError
from optsuite.hparam_sets import Schedule
from optsuite.trainer._grid import Grid, How, group_by_spec
from optsuite.trainer._loop import GridRun
from optsuite.trainer._programs import Programs

from .own_tasks import Between, Net, between, own
from .runs import assert_close, nadam, run, sgd, train, trials_of

pytestmark = [
    pytest.mark.filterwarnings("ignore:There is a performance drop"),  # torch lifts some operators by a loop
    pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated:FutureWarning"),
]

SCHEDULE = Schedule(6, eval_every=3, eval_batches=1, last_eval_batches=1)
RATES, SEEDS = (0.1, 0.3), (0, 1)


def with_buffer(*, persistent):
    def make(layer):
        layer.register_buffer("scale", torch.rand(32), persistent=persistent)

    return between(make, lambda layer, hidden: hidden * layer.scale)


def with_attribute(value):
    """`value` is called as the network is made."""
    return between(lambda layer: setattr(layer, "scale", value()), lambda layer, hidden: hidden * layer.scale)


def with_closure():
    def build():
        scale = torch.rand(32)
        return Net(between=lambda: Between(lambda layer: None, lambda layer, hidden: hidden * scale))

    return own(build)


def with_hidden_layer(keep):
    """A frozen layer that is kept where torch does not see it."""

    def build():
        hidden = nn.Linear(32, 32).requires_grad_(False)
        return Net(between=lambda: Between(*keep(hidden)))

    return own(build)


HIDDEN = {
    "in a list": lambda layer: (lambda at: setattr(at, "held", [layer]), lambda at, x: at.held[0](x)),
    "in a dict": lambda layer: (lambda at: setattr(at, "held", {"a": layer}), lambda at, x: at.held["a"](x)),
    "in a closure": lambda layer: (lambda at: None, lambda at, x: layer(x)),
    "past setattr": lambda layer: (
        lambda at: object.__setattr__(at, "held", layer),
        lambda at, x: at.held(x),
    ),
}


def frozen(*names):
    def build():
        net = Net()
        for name in names:
            net.get_parameter(name).requires_grad_(False)
        return net

    return own(build)


def with_unused():
    net = Net()
    net.unused = nn.Linear(3, 3)
    return net


class Recurrent(nn.Module):
    """Reads an image row by row."""

    def __init__(self, cls):
        super().__init__()
        self.cell, self.head = cls(8, 8, batch_first=True), nn.Linear(8, 10)

    def forward(self, images):
        return self.head(self.cell(images.flatten(1).view(-1, 8, 8))[0][:, -1])


def written(_, hidden):
    out = torch.zeros(hidden.shape)
    out[:, :16] = hidden[:, :16]
    return out


TOGETHER = {
    "a buffer": with_buffer(persistent=True),
    "a buffer that is not saved": with_buffer(persistent=False),
    "batch statistics": own(lambda: Net(between=lambda: nn.BatchNorm1d(32, track_running_stats=False))),
    "frozen parameters": frozen("first.weight", "second.bias"),
    "unused parameters": own(with_unused),
    "weight_norm": own(lambda: Net(lambda: parametrizations.weight_norm(nn.Linear(64, 32)))),
    "an orthogonal weight": own(lambda: Net(lambda: parametrizations.orthogonal(nn.Linear(64, 32)))),
    "a plain tensor": with_attribute(lambda: torch.arange(32) / 32),
}
BY_SEED = {
    "the weight_norm of old": own(lambda: Net(lambda: weight_norm(nn.Linear(64, 32)))),
    "a number of torch": with_attribute(lambda: torch.rand(1).item()),
    "a number of NumPy": with_attribute(np.random.rand),
    "a number of Python": with_attribute(random.random),
    "a random tensor": with_attribute(lambda: torch.rand(32)),
    "a closure": with_closure(),
}
ALONE = {
    "LSTM": own(lambda: Recurrent(nn.LSTM)),
    "GRU": own(lambda: Recurrent(nn.GRU)),
    "a write into a fresh tensor": between(lambda _: None, written),
    "a number read": between(lambda _: None, lambda _, hidden: hidden / (1 + hidden.detach().max().item())),
}
KINDS = {**TOGETHER, **BY_SEED, **ALONE}


def plain_loop(task, rate, seed):
    """Losses of the loop of any tutorial."""
    module = task.module(seed)
    optimizer = torch.optim.SGD([p for p in module.parameters() if p.requires_grad], rate)
    batches = task.dataloader("train", seed, mode="synthetic")
    losses = []
    for batch in itertools.islice(batches, SCHEDULE.num_steps + 1):
        optimizer.zero_grad()
        loss = task.loss(module, batch)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def grid(task, schedule=SCHEDULE, rates=RATES, seeds=SEEDS):
    return trials_of([sgd(rate) for rate in rates], seeds, schedule, task)


def side_by_side(curves):
    return {str(curve["trained_as"]).removesuffix(", eager") for curve in curves.values()}


def assert_like_loop(curves, task):
    for trial, curve in curves.items():
        expected = plain_loop(task, trial.config.hparams["lr"], trial.seed)
        np.testing.assert_allclose(curve["train/loss"], expected, rtol=1e-4, err_msg=str(trial))


@pytest.mark.parametrize("kind", KINDS)
def test_one_trial_trains_as_in_an_ordinary_loop(kind):
    assert_like_loop(train(grid(KINDS[kind], rates=RATES[:1], seeds=[3]), KINDS[kind]), KINDS[kind])


@pytest.mark.parametrize("kind", TOGETHER)
def test_trials_of_equal_networks_train_side_by_side(kind):
    curves = train(grid(TOGETHER[kind]), TOGETHER[kind])
    assert_like_loop(curves, TOGETHER[kind])
    assert side_by_side(curves) == {"2 seeds x 2 configs"}


@pytest.mark.parametrize("kind", BY_SEED)
def test_seeds_whose_networks_differ_train_one_after_the_other(kind):
    curves = train(grid(BY_SEED[kind]), BY_SEED[kind])
    assert_like_loop(curves, BY_SEED[kind])
    assert side_by_side(curves) == {"1 seeds x 2 configs"}


@pytest.mark.parametrize("kind", ALONE)
def test_what_cannot_be_lifted_trains_one_by_one_and_says_so_once(kind):
    with pytest.warns(RuntimeWarning, match="trials of `Own` with `SGD` are trained one by one") as told:
        curves = train(grid(ALONE[kind]), ALONE[kind])
    assert len([w for w in told if "one by one" in str(w.message)]) == 1
    assert_like_loop(curves, ALONE[kind])
    assert side_by_side(curves) == {"1 seeds x 1 configs"}


def test_frozen_parameters_stay_and_are_not_counted():
    task = frozen("first.weight", "second.bias")
    assert task.num_params == own(Net).num_params - 64 * 32 - 10
    assert len(task.param_shapes) == 2


@pytest.mark.parametrize("kind", ["a buffer", "frozen parameters", "batch statistics"])
def test_classes_train_them_too(kind):
    task = TOGETHER[kind]
    trials = trials_of([nadam(0.01), nadam(0.1)], SEEDS, SCHEDULE, task)
    together = train(trials, task)
    assert side_by_side(together) == {"2 seeds x 2 configs, eager, one optimizer object"}
    for trial in trials:
        assert_close(together[trial], train([trial], task)[trial])


def test_what_diverged_leaves_the_others_with_their_own_buffers():
    """Configs of which all seeds diverged are dropped, and another program goes on."""
    task, schedule = with_buffer(persistent=True), Schedule(120, eval_every=60, eval_batches=1)
    trials = trials_of([sgd(1e30), sgd(0.1)], SEEDS, schedule, task)
    together = train(trials, task)
    for trial in trials[2:]:
        assert_close(together[trial], train([trial], task)[trial])


@pytest.mark.parametrize("make", [sgd, nadam], ids=["pure", "class"])
def test_a_run_goes_on_with_its_buffers_after_it_was_dumped(make):
    """They are no part of the dump, since they follow from the seed."""
    task = with_buffer(persistent=True)
    (spec, _), whole = (
        next(group_by_spec(trials_of([make(0.1)], SEEDS, SCHEDULE, task))),
        Grid(SEEDS, (make(0.1),)),
    )
    runs = [
        GridRun(Programs(task, spec, torch.device("cpu"), How(False)), whole, "synthetic") for _ in range(3)
    ]
    expected = runs[0].finish(runs[0].advance(runs[0].begin()))
    dumped = runs[1].dump(runs[1].advance(runs[1].begin(), 3))
    assert not any("scale" in name for name in dumped)
    got = runs[2].finish(runs[2].advance(runs[2].load(dumped)))
    np.testing.assert_array_equal(got.train_loss_TSH, expected.train_loss_TSH)


def counted(layer, hidden):
    layer.count += 1
    return hidden * layer.count


def replaced(layer, hidden):
    layer.count = layer.count + 1
    return hidden * layer.count


def make_count(layer):
    layer.register_buffer("count", torch.zeros(()))


CHANGING = {
    "between.running_mean": own(lambda: Net(between=lambda: nn.BatchNorm1d(32))),
    "first.parametrizations.weight.0._u": own(
        lambda: Net(lambda: parametrizations.spectral_norm(nn.Linear(64, 32)))
    ),
    "between.count": between(make_count, counted),
}


@pytest.mark.parametrize("name", CHANGING)
def test_running_state_is_refused_by_name(name):
    for seeds in ([0], [0, 1]):
        with pytest.raises(UnsupportedError, match=rf"changes the buffer `{name}` of `\w+`.*track_running_"):
            train(grid(CHANGING[name], seeds=seeds), CHANGING[name])


def test_a_buffer_that_is_replaced_is_refused_too():
    task = between(make_count, replaced)
    with pytest.raises(UnsupportedError, match=r"changes the buffer `between.count` of `Between`"):
        train(grid(task), task)


def test_a_buffer_that_changes_later_is_refused_when_it_does():
    def counted_when_evaluated(layer, hidden):
        if not torch.is_grad_enabled():
            layer.count.add_(1)
        return hidden

    task = between(make_count, counted_when_evaluated)
    with pytest.raises(UnsupportedError, match=r"`Own` changes the buffer `between.count` in its forward"):
        train(grid(task), task)


@pytest.mark.parametrize("where", HIDDEN)
def test_layers_that_torch_does_not_see_are_those_of_the_seed(where):
    task = with_hidden_layer(HIDDEN[where])
    curves = train(grid(task), task)
    assert side_by_side(curves) == {"1 seeds x 2 configs"}
    assert_like_loop(curves, task)


def test_a_plain_error_of_a_task_is_the_outcome_of_each_trial_with_its_cause(recwarn):
    calls = []

    def wrong(_, hidden):
        calls.append(hidden)
        return hidden.view(-1, 33)

    task = between(lambda _: None, wrong)
    outcomes = list(run(grid(task), task))
    assert len(outcomes) == 4
    for outcome in outcomes:
        assert not isinstance(outcome.result, Curve)
        assert "invalid for input of size 512" in str(outcome.result)
    assert not [w for w in recwarn if "one by one" in str(w.message)]
