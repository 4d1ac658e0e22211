"""The trainer does what the loop in any PyTorch tutorial does, on the same batches."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch.func import functional_call

from optsuite import trainer
from optsuite.data import IndexStream, load
from optsuite.hparam_sets import Schedule
from optsuite.optimizers import get_optimizer

from .runs import KINDS, SHORT, adam, sgd

SEED = 3
PLAIN = ["mlp", "conv", "batchnorm"]  # the others' losses need a key


def batches_of(task, split, name, start=0):
    examples = load(task.dataset, split, source="synthetic", device="cpu")
    stream = IndexStream(len(examples), task.batch_size, seed=SEED, name=name)
    return (examples.gather(stream.block(n, n + 1)[0]) for n in itertools.count(start))


def curve_of(task, config, schedule=SHORT):
    return trainer.train(task, config, schedule, seed=SEED, mode="synthetic", device="cpu")


def plain_torch(task, make_optimizer, num_steps):
    """Losses (num_steps + 1,)."""
    module = task.module(SEED)
    optimizer = make_optimizer(module.parameters())
    losses = []
    for batch in itertools.islice(batches_of(task, "train", "train"), num_steps + 1):
        optimizer.zero_grad()
        loss = task.loss(module, batch)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("kind", PLAIN)
def test_sgd_steps_are_those_of_torch(kind):
    task = KINDS[kind]
    expected = plain_torch(task, lambda params: torch.optim.SGD(params, lr=0.05), SHORT.num_steps)
    curve = curve_of(task, sgd(0.05))
    np.testing.assert_allclose(curve["train/loss"], expected, rtol=1e-4)


@pytest.mark.parametrize("kind", ["mlp", "conv"])
def test_adam_steps_are_those_of_torch(kind):
    """A task without BatchNorm is used, since `eps_root` matters where gradients are small."""
    task = KINDS[kind]
    expected = plain_torch(task, lambda params: torch.optim.Adam(params, lr=1e-3), 20)
    curve = curve_of(task, adam(1e-3), Schedule(20, eval_batches=0))
    np.testing.assert_allclose(curve["train/loss"], expected, rtol=0.01)


@pytest.mark.parametrize("kind", PLAIN)
def test_adam_steps_are_those_of_a_loop_over_its_pure_functions(kind):
    task = KINDS[kind]
    module = task.module(SEED)
    params = {name: p.detach().requires_grad_() for name, p in module.named_parameters()}
    optimizer = get_optimizer("Adam", lr=1e-3)
    state = optimizer.init(params, num_steps=SHORT.num_steps)
    expected = []
    for batch in itertools.islice(batches_of(task, "train", "train"), SHORT.num_steps + 1):
        loss = task.loss(lambda *inputs: functional_call(module, params, inputs), batch)  # noqa: B023
        grads = dict(zip(params, torch.autograd.grad(loss, list(params.values())), strict=True))
        with torch.no_grad():
            updates, state = optimizer.update(grads, state, params, loss=loss)
        params = {name: (p + updates[name]).detach().requires_grad_() for name, p in params.items()}
        expected.append(loss.item())
    np.testing.assert_allclose(curve_of(task, adam(1e-3))["train/loss"], expected, rtol=1e-4)


@pytest.mark.parametrize("kind", PLAIN)
@pytest.mark.parametrize("split", ["train", "outer_valid", "test"])
def test_evaluations_are_means_over_the_batches_of_their_own_stream(kind, split):
    """`eval_batches` at each, `last_eval_batches` at the last step; with a rate of 0 nothing moves."""
    task = KINDS[kind]
    schedule = Schedule(20, eval_every=10, eval_batches=2, last_eval_batches=3)
    module = task.module(SEED)
    with torch.no_grad():
        per_batch = [
            task.metrics(module, batch)
            for batch in itertools.islice(batches_of(task, split, f"eval/{split}"), 7)
        ]
    curve = curve_of(task, sgd(0.0), schedule)
    for name in task.metric_names:
        values = torch.stack([metrics[name] for metrics in per_batch])
        expected = [values[0:2].mean(), values[2:4].mean(), values[4:7].mean()]
        np.testing.assert_allclose(curve[f"eval/{split}/{name}"], expected, rtol=1e-5, err_msg=name)


def test_evaluation_comes_before_the_step():
    """So the first one sees the initial parameters whatever the rate."""
    task, schedule = KINDS["mlp"], Schedule(5, eval_every=5, eval_batches=1, last_eval_batches=1)
    still, fast = curve_of(task, sgd(0.0), schedule), curve_of(task, sgd(0.5), schedule)
    assert still["eval/test/loss"][0] == fast["eval/test/loss"][0]
    assert still["eval/test/loss"][1] != fast["eval/test/loss"][1]
