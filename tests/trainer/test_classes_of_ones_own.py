"""Classes that do more than step, with hooks, memory of their own or draws, train as in a plain loop."""

from __future__ import annotations

import itertools
import random
import re

import numpy as np
import pytest
import torch

from optsuite.errors import HParamError, UnsupportedError
from optsuite.hparam_sets import Schedule
from optsuite.noise import generator_states
from optsuite.optimizers import import_optimizer
from optsuite.trainer._grid import Grid, How, group_by_spec
from optsuite.trainer._loop import GridRun
from optsuite.trainer._programs import Programs

from .own import configs_of
from .runs import TINY, assert_close, run, train, trials_of
from .test_against_plain_loop import SEED, batches_of

FILE = '''
import random

import numpy as np
import torch
from torch import nn
from torch.optim import SGD, Optimizer


class InBackward(Optimizer):
    """Updates each parameter as soon as its gradient is there, and clears that."""

    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})
        self.order = []
        for number, param in enumerate(self.param_groups[0]["params"]):
            param.register_hook(lambda grad: grad.clamp(-0.01, 0.01))
            param.register_post_accumulate_grad_hook(lambda param, number=number: self.update(param, number))

    def update(self, param, number):
        self.order.append(number)  # a later one steps further
        param.data.add_(param.grad, alpha=-self.param_groups[0]["lr"] * len(self.order))
        param.grad = None

    def step(self, closure=None):
        self.order.clear()


class Late(SGD):
    """Clips from its second step on."""

    def step(self, closure=None):
        super().step()
        param = self.param_groups[0]["params"][0]
        if not param._backward_hooks:
            param.register_hook(lambda grad: 0.1 * grad.sign())


class Together(SGD):
    """Clips by the norm of all gradients, once they are all there."""

    def __init__(self, params, lr):
        params = list(params)
        super().__init__(params, lr)
        torch.autograd.graph.register_multi_grad_hook(params, self.note)
        self.norm = 1.0

    def note(self, grads):
        self.norm = float(sum(grad.square().sum() for grad in grads)) ** 0.5

    def step(self, closure=None):
        for param in self.param_groups[0]["params"]:
            param.grad /= self.norm
        super().step()


class Accumulating(SGD):
    """Steps by the sum of three gradients."""

    count = 0

    def zero_grad(self, set_to_none=True):
        if self.count % 3 == 0:
            super().zero_grad(set_to_none)

    def step(self, closure=None):
        self.count += 1
        if self.count % 3 == 0:
            super().step()


class Flat(Optimizer):
    """Lays all parameters into one buffer, with what it remembers beside them."""

    def __init__(self, params, lr):
        params = list(params)
        self.flat = torch.zeros(2, sum(param.numel() for param in params))
        self.flat[0] = torch.cat([param.data.view(-1) for param in params])
        start = 0
        for param in params:
            param.data = self.flat[0, start : start + param.numel()].view_as(param)
            start += param.numel()
        self.given = params
        super().__init__([nn.Parameter(self.flat[0])], {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):
        grad = torch.cat([param.grad.view(-1) for param in self.given])
        self.flat[1].mul_(0.9).add_(grad)
        self.param_groups[0]["params"][0].sub_(self.flat[1], alpha=self.param_groups[0]["lr"])


class LateFlat(Optimizer):
    """Lays them there in its second step."""

    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})
        self.flat = None
        self.count = 0

    @torch.no_grad()
    def step(self, closure=None):
        self.count += 1
        params = self.param_groups[0]["params"]
        if self.count == 2:
            self.flat = torch.zeros(2, sum(param.numel() for param in params))
            self.flat[0] = torch.cat([param.data.view(-1) for param in params])
            sizes = [param.numel() for param in params]
            for param, part in zip(params, self.flat[0].split(sizes)):
                param.data = part.view_as(param)
        grad = torch.cat([param.grad.view(-1) for param in params])
        if self.flat is not None:
            self.flat[1].mul_(0.9).add_(grad)
            self.flat[0].sub_(self.flat[1], alpha=self.param_groups[0]["lr"])


class Swapping(Optimizer):
    """Has the average of its parameters change places with them, memory and all, to be evaluated."""

    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})
        self.is_training = True
        for param in self.param_groups[0]["params"]:
            self.state[param]["other"] = param.data.clone()

    @torch.no_grad()
    def step(self, closure=None):
        for param in self.param_groups[0]["params"]:
            param.sub_(param.grad, alpha=self.param_groups[0]["lr"])
            self.state[param]["other"].lerp_(param, 0.1)

    def _switch(self, is_training):
        if self.is_training != is_training:
            self.is_training = is_training
            for param in self.param_groups[0]["params"]:
                state = self.state[param]
                param.data, state["other"] = state["other"], param.data

    def train(self):
        self._switch(True)

    def eval(self):
        self._switch(False)


class Setting(Optimizer):
    """Puts new memory under its parameters."""

    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):
        for param in self.param_groups[0]["params"]:
            param.set_(param - self.param_groups[0]["lr"] * param.grad)


class Freezing(SGD):
    """Leaves a parameter as it is."""

    def __init__(self, params, lr):
        super().__init__(params, lr)
        params = self.param_groups[0]["params"]
        if len(params) > 1:
            params[0].requires_grad_(False)


class Halving(Optimizer):
    """Turns its parameters into another type."""

    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})
        for param in self.param_groups[0]["params"]:
            param.data = param.data.bfloat16()

    @torch.no_grad()
    def step(self, closure=None):
        for param in self.param_groups[0]["params"]:
            param.sub_(param.grad, alpha=self.param_groups[0]["lr"])


class Drawing(SGD):
    """Draws from every global generator."""

    def __init__(self, params, lr):
        super().__init__(params, lr)
        self.scale = 0.5 + random.random()

    @torch.no_grad()
    def step(self, closure=None):
        for param in self.param_groups[0]["params"]:
            param.grad.mul_(self.scale * np.random.rand() * random.random() * torch.rand(()))
        super().step()

    def eval(self):
        for param in self.param_groups[0]["params"]:
            param.data.add_(1e-3 * random.random() * np.random.rand())

    def train(self): ...
'''

SCHEDULE = Schedule(12, eval_every=4, eval_batches=1, last_eval_batches=1)


@pytest.fixture(autouse=True)
def mine(tmp_path, monkeypatch):
    """`mine.py` in the current folder."""
    (tmp_path / "mine.py").write_text(FILE)
    monkeypatch.chdir(tmp_path)


def trials_for(name, *lrs, seeds=(SEED,)):
    return trials_of(configs_of(f"mine.py:{name}", {}, *lrs), seeds, SCHEDULE)


def plain_loop(name, lr):
    """Losses in training, and on the test split."""
    module = TINY.module(SEED)
    optimizer = import_optimizer(f"mine.py:{name}")(module.parameters(), lr)
    evals, losses, evaluated = batches_of(TINY, "test", "eval/test"), [], []
    for step, batch in enumerate(itertools.islice(batches_of(TINY, "train", "train"), 13)):
        if step % SCHEDULE.eval_every == 0:
            getattr(optimizer, "eval", lambda: None)()
            with torch.no_grad():
                evaluated.append(TINY.loss(module, next(evals)).item())
            getattr(optimizer, "train", lambda: None)()
        optimizer.zero_grad()
        loss = TINY.loss(module, batch)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, evaluated


HOOKED = ["InBackward", "Late", "Together", "Accumulating"]
REBINDING = ["Flat", "LateFlat", "Swapping", "Setting", "Freezing"]


@pytest.mark.parametrize("name", HOOKED + REBINDING)
def test_a_curve_is_that_of_a_plain_loop(name):
    trials = trials_for(name, 0.3, 0.1, seeds=(1, SEED))
    curves = train(trials)
    for trial in trials[1::2]:
        losses, evaluated = plain_loop(name, trial.config.hparams["lr"])
        np.testing.assert_allclose(curves[trial]["train/loss"], losses, rtol=1e-4)
        np.testing.assert_allclose(curves[trial]["eval/test/loss"], evaluated, rtol=1e-4)
        assert len(set(losses)) > 1
    assert_close(train(trials[-1:])[trials[-1]], curves[trials[-1]])


def grid_run(trials):
    (spec, members) = next(group_by_spec(trials))
    how = How(is_compiled=False)
    return GridRun(
        Programs(TINY, spec, torch.device("cpu"), how), Grid((SEED,), (members[0].config,)), "synthetic"
    )


@pytest.mark.parametrize("name", ["LateFlat", "Swapping", "Setting", "Accumulating"])
@pytest.mark.parametrize("num_steps", [1, 5])
def test_a_run_goes_on_bit_for_bit_after_it_was_dumped(name, num_steps):
    """Whatever shares memory with the parameters shares it again."""
    whole, first, second = (grid_run(trials_for(name, 0.1)) for _ in range(3))
    expected = whole.finish(whole.advance(whole.begin()))
    dumped = first.dump(first.advance(first.begin(), num_steps))
    got = second.finish(second.advance(second.load(dumped)))
    np.testing.assert_array_equal(got.train_loss_TSH, expected.train_loss_TSH)


def test_parameters_of_another_type_are_refused():
    (outcome,) = run(trials_for("Halving", 0.1))
    assert isinstance(outcome.result, HParamError | UnsupportedError)
    words = r"`Halving` turns parameter 0 from \(\d+, \d+\), torch.float32, cpu into .*, torch.bfloat16, cpu"
    assert re.search(words, str(outcome.result))


def test_what_a_class_draws_is_its_trials_own():
    trials = trials_for("Drawing", 0.1, 0.2, seeds=(0, 1))
    before = generator_states()
    together = train(trials)
    assert generator_states() == before
    for trial in trials:
        random.random(), np.random.rand(), torch.rand(2)
        assert_close(train([trial])[trial], together[trial], rtol=1e-5)
