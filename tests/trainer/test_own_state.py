"""Tasks that no pure function of parameters, batch, key and generators can stand for are refused by name."""

from __future__ import annotations

import itertools
import random
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from optsuite.errors import UnsupportedError
from optsuite.hparam_sets import Schedule

from .own_tasks import between, own
from .runs import TINY, sgd, train, trials_of

SCHEDULE = Schedule(2, eval_every=1, eval_batches=1, last_eval_batches=1)


def train_own(task):
    train(trials_of([sgd(0.1)], (0,), SCHEDULE, task), task)


def scaled(layer):
    layer.scale = nn.Parameter(torch.ones(32))
    return layer.scale


REFERENCES = {
    "a list": lambda param: [param],
    "a dict": lambda param: {"a": (param,)},
    "a closure": lambda param: lambda: param,
    "a partial": lambda param: partial(torch.mul, param),
    "an object": lambda param: SimpleNamespace(param=param),
    "a layer that torch does not see": lambda param: [nn.ParameterList([param])],
}


@pytest.mark.parametrize("kind", REFERENCES)
def test_a_parameter_that_is_reached_other_than_by_its_name_is_refused(kind):
    def make(layer):
        layer.held = REFERENCES[kind](scaled(layer))

    task = between(make, lambda layer, hidden: hidden * layer.scale)
    with pytest.raises(UnsupportedError, match=r"keeps `between\.scale` in its attribute `between\.held`"):
        train_own(task)


def count(layer, hidden):
    layer.count += 1
    return hidden * (1 + 0.01 * layer.count)


def remember(layer, hidden):
    layer.count.append(0)
    return hidden * (1 + 0.01 * len(layer.count))


def drift(layer, hidden):
    layer.count = 0.9 * layer.count + 0.1 * hidden.detach().mean()
    return hidden - layer.count


@pytest.mark.parametrize(("start", "fn"), [(int, count), (list, remember), (lambda: torch.zeros(()), drift)])
def test_an_attribute_that_a_forward_pass_changes_is_refused(start, fn):
    task = between(lambda layer: setattr(layer, "count", start()), fn)
    with pytest.raises(UnsupportedError, match=r"`Own` changes its attribute `between\.count`"):
        train_own(task)


@pytest.mark.parametrize("make", [lambda: np.random.default_rng(3).random, lambda: random.Random(3).random])
def test_a_generator_of_ones_own_is_refused(make):
    draw = make()
    task = between(lambda layer: None, lambda layer, hidden: hidden * draw())
    with pytest.raises(UnsupportedError, match="`Own` gives other losses or metrics when it is"):
        train_own(task)


def test_a_loss_and_a_metric_that_keep_count_are_refused():
    calls = itertools.count()
    metrics = {"calls": lambda outputs, batch: outputs.sum() * 0 + next(calls)}
    for changes in (
        {"loss_fn": lambda outputs, batch: TINY.loss_fn(outputs, batch) + next(calls)},
        {"metric_fns": metrics},
    ):
        with pytest.raises(UnsupportedError, match="gives other losses or metrics"):
            train_own(own(TINY.build, forward=TINY.forward, **changes))


def test_a_cache_that_the_first_forward_pass_fills_is_no_state():
    def cached(layer, hidden):
        if layer.table is None:
            layer.table = torch.linspace(0, 1, 32)
        return hidden * layer.table

    train_own(between(lambda layer: setattr(layer, "table", None), cached))
