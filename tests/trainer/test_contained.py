"""What is not finite in one trial stays there: the bits of the others do not change."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from optsuite.hparam_sets import Config, Schedule
from optsuite.tasks import get_task
from optsuite.trainer._grid import How, group_by_spec, split_into_grids
from optsuite.trainer._loop import GridRun
from optsuite.trainer._programs import Programs
from optsuite.trainer._reproducible import reproducible

from .own import configs_of
from .rules import RULES
from .runs import TINY, assert_identical, train, trials_of

CPU = torch.device("cpu")
SCHEDULE = Schedule(7, eval_every=4, eval_batches=1, last_eval_batches=1)
POISONS = [
    pytest.param(torch.nan, id="nan"),
    pytest.param(torch.inf, id="infinite", marks=pytest.mark.slow),
    pytest.param(1e30, id="huge", marks=pytest.mark.slow),
]
WRAPPED = [
    "SGDM+wsd+wd+clip+ema+accum",
    "Adam+cosine+cautious+clip",
    "SOAP+clip",
    "Muon+clip",
    "Shampoo+clip",
]
CLASSES = ["torch.optim:NAdam", "torch.optim:Adam", "torch.optim:Adafactor", "torch.optim:SGD+clip+ema"]


def made(task, configs):
    ((spec, trials),) = group_by_spec(trials_of(configs, (0, 1), SCHEDULE, task))
    (grid,) = split_into_grids(trials, len(trials))
    return GridRun(Programs(task, spec, CPU, How(False)), grid, "synthetic")


def trained(run, state):
    while not run.is_over(state):
        state = run.advance(state)
    return run.finish(state)


def assert_contained(configs, poison, task=TINY):
    """Put a number into one weight of one trial."""
    with reproducible(CPU):
        run = made(task, configs)
        expected = trained(run, run.begin())
        run = made(task, configs)
        state = run.advance(run.begin(), 2)
        next(iter(state.trained.params.values()))[0, 0, 0, 0] = poison
        record = trained(run, state)
    assert not record.failures
    assert not np.array_equal(record.train_loss_TSH[:, 0, 0], expected.train_loss_TSH[:, 0, 0])
    others = np.ones(record.train_loss_TSH.shape[1:], bool)
    others[0, 0] = False
    np.testing.assert_array_equal(record.train_loss_TSH[:, others], expected.train_loss_TSH[:, others])
    for key, metrics in expected.eval_metrics_ESH.items():
        np.testing.assert_array_equal(record.eval_metrics_ESH[key][:, others], metrics[:, others])


def configs_for(case):
    rates = [case.at_lr(lr) for lr in (1e-3, 3e-3)]
    several = [Config(f"c{n}", case.name, {**rate, **case.hparams}) for n, rate in enumerate(rates)]
    return several if "lr" in rates[0] else several[:1]


@pytest.mark.parametrize("poison", POISONS)
@pytest.mark.parametrize("case", RULES)
def test_no_rule_spreads_what_is_not_finite(case, poison):
    assert_contained(configs_for(case), poison)


@pytest.mark.parametrize("poison", POISONS)
@pytest.mark.parametrize("name", WRAPPED)
def test_no_wrapper_spreads_it(name, poison):
    assert_contained(configs_of(name, {}, 1e-3, 3e-3), poison)


@pytest.mark.parametrize("name", CLASSES)
def test_no_object_of_all_trials_spreads_it(name):
    """Compared with the same grid in which its place is taken by a trial that learns."""
    beside_wild, beside_tame = (
        trials_of(configs_of(name, {"weight_decay": 1e-3}, lr, 1e-3), (0, 1), SCHEDULE) for lr in (1e30, 1e-4)
    )
    wild, tame = train(beside_wild), train(beside_tame)
    for trial in beside_wild[:2]:
        assert not wild[trial]["train/loss"][-1] < 1e6
    for trial in beside_wild[2:]:
        assert_identical(wild[trial], tame[trial])


@pytest.mark.parametrize("poison", POISONS)
def test_no_evolution_strategy_spreads_it(poison):
    assert_contained(configs_of("Adam", {}, 1e-3, 3e-3), poison, get_task(f"ESWrapped_1pair_{TINY.name}"))
