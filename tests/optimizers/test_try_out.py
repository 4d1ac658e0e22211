"""Classes are tried out before they train: they move something, alone, by first derivatives."""

from __future__ import annotations

import re

import pytest
import torch

from optsuite.errors import HParamError
from optsuite.noise import generator_states
from optsuite.optimizers import check_hparams

FILE = """
import itertools
import random
import sys
from types import SimpleNamespace

import numpy as np
import torch
from torch.optim import SGD, Optimizer

CALLS, TABLE, LIMITS = [0], {}, SimpleNamespace(count=0)
DICE, ARRAY, NUMBERS = random.Random(3), np.zeros(2), itertools.count()
TOTAL = 0


class OnlyByClosure(SGD):
    def step(self, closure=None):
        if closure is None:
            return None
        with torch.enable_grad():
            loss = closure()
        super().step()
        return loss


class Still(SGD):
    def step(self, closure=None): ...


class Elsewhere(SGD):
    def __init__(self, params, lr):
        super().__init__([torch.nn.Parameter(p.detach().clone()) for p in params], lr)


class Warming(SGD):
    count = 0

    def step(self, closure=None):
        self.count += 1
        if self.count > 300:
            super().step()


class Matrices(SGD):
    def step(self, closure=None):
        for param in self.param_groups[0]["params"]:
            if param.ndim == 4:
                param.data.sub_(param.grad)


class Multiplying(SGD):
    def step(self, closure=None):
        for group in self.param_groups:
            for param in group["params"]:
                param.data.mul_(1 - group["lr"] * param.grad)


class Ending(SGD):
    def __init__(self, params, lr):
        sys.exit(3)


class EndingSteps(SGD):
    def step(self, closure=None):
        raise SystemExit("no such file")


class Second(SGD):
    def step(self, closure=None):
        params = self.param_groups[0]["params"]
        with torch.enable_grad():
            torch.autograd.grad([p.grad.sum() for p in params], params)
        super().step()


class Counting(SGD):
    count = 0

    def step(self, closure=None):
        type(self).count += 1
        super().step()


class CountingInABase(Counting):
    pass


class Listing(SGD):
    def step(self, closure=None):
        CALLS[0] += 1
        super().step()


class Total(SGD):
    def step(self, closure=None):
        global TOTAL
        TOTAL += 1
        super().step()


class Namespace(SGD):
    def step(self, closure=None):
        LIMITS.count += 1
        super().step()


class Arrays(SGD):
    def step(self, closure=None):
        ARRAY[0] += 1
        super().step()


class Defaults(SGD):
    def step(self, closure=None, memory=[0]):
        memory[0] += 1
        super().step()


class Throwing(SGD):
    def step(self, closure=None):
        DICE.random()
        super().step()


class Numbered(SGD):
    def __init__(self, params, lr):
        super().__init__(params, lr)
        self.number = next(NUMBERS)


class Filling(SGD):
    was_warned = False

    def step(self, closure=None):
        Filling.was_warned = True
        TABLE.setdefault("table", torch.ones(3))
        super().step()


class Unseeded(SGD):
    def step(self, closure=None):
        for param in self.param_groups[0]["params"]:
            param.grad.mul_(np.random.default_rng().random())
        super().step()


class Seeded(SGD):
    def __init__(self, params, lr):
        super().__init__(params, lr)
        self.generator = torch.Generator().manual_seed(3)

    def step(self, closure=None):
        for param in self.param_groups[0]["params"]:
            param.grad.mul_(torch.rand((), generator=self.generator) * random.random() * np.random.rand())
        super().step()


class ByKind(Optimizer):
    def __init__(self, params, lr):
        params = list(params)
        super().__init__(params, {"lr": lr})
        self.of_matrices = torch.optim.Muon([p for p in params if p.ndim == 2], lr=lr)
        self.of_vectors = torch.optim.AdamW([p for p in params if p.ndim == 1], lr=lr)

    def step(self, closure=None):
        self.of_matrices.step()
        self.of_vectors.step()


class Halving(SGD):
    def __init__(self, params, lr):
        super().__init__(params, lr)
        for param in self.param_groups[0]["params"]:
            param.register_hook(lambda grad: grad / 2)


class Node(SGD):
    def __init__(self, params, lr):
        super().__init__(params, lr)
        with torch.enable_grad():
            self.nodes = [p.view_as(p).grad_fn.next_functions[0][0] for p in self.param_groups[0]["params"]]
        for node in self.nodes:
            node.register_hook(self.shrink)

    def shrink(self, *_):
        self.param_groups[0]["lr"] *= 0.5
"""


@pytest.fixture(autouse=True)
def mine(tmp_path, monkeypatch):
    """`mine.py` in the current folder."""
    (tmp_path / "mine.py").write_text(FILE)
    monkeypatch.chdir(tmp_path)


STILL = "moves no parameter in 1000 steps of a plain loop"
OTHERWISE = "steps otherwise when it is made again and given the same gradients"
SHARED = {
    "Counting": "Counting.count",
    "CountingInABase": "CountingInABase.count",
    "Listing": "CALLS.0",
    "Total": "TOTAL",
    "Namespace": "LIMITS.count",
    "Arrays": "ARRAY",
    "Defaults": "Defaults.step.defaults.1.0",
    "Throwing": "DICE",
    "Numbered": "NUMBERS",
}
"""What each of these shares."""


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("OnlyByClosure", "moves no parameter without a closure that computes the loss"),
        ("Still", STILL),
        ("Elsewhere", STILL),
        ("Second", "cannot step without second derivatives, by gradients with a graph of their own ("),
        ("Unseeded", OTHERWISE),
        ("Node", OTHERWISE),
        *((name, f"changes `{place}`, which all its objects share") for name, place in SHARED.items()),
    ],
)
def test_a_class_that_would_record_a_wrong_curve_is_refused(name, words):
    with pytest.raises(HParamError, match=re.escape(f"`mine.py:{name}` {words}")):
        check_hparams(f"mine.py:{name}", {"lr": 0.1})


@pytest.mark.parametrize(
    "name", ["Warming", "Matrices", "ByKind", "Multiplying", "Filling", "Seeded", "Halving"]
)
@pytest.mark.parametrize("lr", [1e-7, 0.1])
def test_a_class_that_steps_late_little_or_by_its_own_numbers_is_not(name, lr):
    check_hparams(f"mine.py:{name}", {"lr": lr})


@pytest.mark.parametrize(("name", "words"), [("Ending", "3"), ("EndingSteps", "no such file")])
def test_a_class_that_ends_the_process_is_refused(name, words):
    words = f"`mine.py:{name}` ends the process where it is made or steps (SystemExit: {words})"
    with pytest.raises(HParamError, match=re.escape(words)):
        check_hparams(f"mine.py:{name}", {"lr": 0.1})


def test_a_rate_of_zero_moves_nothing():
    check_hparams("torch.optim:SGD", {"lr": 0.0})


@pytest.mark.parametrize("name", sorted({*torch.optim.__all__} - {"LBFGS", "Optimizer", "SparseAdam"}))
@pytest.mark.parametrize("lr", [1e-7, 1.0])
def test_the_classes_of_torch_can_be_used(name, lr):
    if isinstance(getattr(torch.optim, name), type):
        check_hparams(f"torch.optim:{name}", {"lr": lr})


def test_a_class_for_sparse_gradients_is_refused():
    with pytest.raises(HParamError, match="SparseAdam` steps by sparse gradients alone, which no task has"):
        check_hparams("torch.optim:SparseAdam", {"lr": 0.1})


def test_trying_out_leaves_every_generator_alone():
    before = generator_states()
    check_hparams("mine.py:Seeded", {"lr": 0.1})
    assert generator_states() == before
