"""Classes of learned optimizers train as in a plain loop: with the loss, the horizon and a network."""

from __future__ import annotations

import itertools
import json
import runpy
from functools import partial

import numpy as np
import pytest
import torch

from optsuite.hparam_sets import Config, Schedule
from optsuite.optimizers import import_optimizer
from optsuite.trainer import _adapter, _networks

from .own import configs_of
from .runs import KINDS, TINY, assert_close, assert_identical, run, train, trials_of
from .test_against_plain_loop import SEED, batches_of

LEARNED = '''
import torch
from torch import nn
from torch.optim import Optimizer


def pretrained(words):
    """Weights that are the same whenever they are asked for."""
    network = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    generator = torch.Generator().manual_seed(len(words))
    for param in network.parameters():
        param.data.normal_(0, 0.3, generator=generator)
    return network


class Whole(Optimizer):
    """A network at every number, from gradient, momentum, loss and progress."""

    def __init__(self, params, momentum_decays=(0.9,), lr=1.0, num_steps=None, hf_key="some/weights"):
        super().__init__(params, {"lr": lr})
        self.decay, self.num_steps, self.best = momentum_decays[0], num_steps, None
        self.network = pretrained(hf_key)
        self.head = self.network[2]
        for group in self.param_groups:
            group["step"] = 0

    def features(self, loss, group):
        self.best = loss if self.best is None else torch.minimum(self.best, loss)
        return [loss - self.best, torch.tensor(group["step"] / self.num_steps, device=loss.device)]

    @torch.no_grad()
    def step(self, loss):
        for group in self.param_groups:
            more = self.features(loss, group)
            group["step"] += 1
            for param in group["params"]:
                state = self.state[param]
                mom = state.setdefault("mom", torch.zeros_like(param))
                mom.mul_(self.decay).add_(param.grad, alpha=1 - self.decay)
                inputs = torch.stack([param.grad, mom, *(m.expand_as(mom) for m in more)], -1)
                direction, magnitude = self.network(inputs).unbind(-1)
                param.sub_(direction.sign() * mom * torch.exp(magnitude), alpha=group["lr"])


class Tabled(Whole):
    """Looks its rates up by the number of the step."""

    def __init__(self, params, num_steps, lr=1.0):
        super().__init__(params, lr=lr, num_steps=num_steps)
        self.rates = torch.linspace(lr, 0, num_steps).tolist()

    def step(self, loss):
        for group in self.param_groups:
            group["lr"] = self.rates.pop(0)
        super().step(loss)
        assert self.rates or group["step"] == self.num_steps


class Optional(Whole):
    """Needs no loss and knows no horizon."""

    def __init__(self, params, lr=1.0, hf_key="some/weights"):
        super().__init__(params, lr=lr, num_steps=50, hf_key=hf_key)

    def features(self, loss, group):
        return super().features(torch.tensor(9.0) if loss is None else loss, group)

    def step(self, loss=None, closure=None):
        return super().step(loss)


class Given(Whole):
    """Must be told the horizon, and takes a network."""

    def __init__(self, params, num_steps, lr=1.0, network=None):
        super().__init__(params, lr=lr, num_steps=num_steps)
        self.network = network or pretrained("others")

    def step(self, closure=None, *, loss=None):
        return super().step(loss)


class Trained(Whole):
    """Changes the weights of its network, in three ways."""

    def step(self, loss):
        super().step(loss)
        with torch.no_grad():
            self.network[0].weight.mul_(1 + 0.01 * loss)
            self.network[0].bias.data.add_(0.01 * loss)
            self.network[2].bias = nn.Parameter(self.network[2].bias + 0.01 * loss)
            self.head = self.network[2]


class Tied(Trained):
    """Looks at the weights from outside."""

    def __init__(self, params, lr=1.0, num_steps=100):
        super().__init__(params, lr=lr, num_steps=num_steps)
        self.weight = self.network[0].weight.data

    def step(self, loss):
        self.weight.mul_(0.99)
        super().step(loss)


class Random(Whole):
    """Has a network of its own."""

    def __init__(self, params, lr=1.0, num_steps=100):
        super().__init__(params, lr=lr, num_steps=num_steps)
        for param in self.network.parameters():
            param.data.add_(0.1 * torch.randn_like(param))


class Foreign(Trained):
    """Has weights in memory that torch did not allocate."""

    def __init__(self, params, lr=1.0, num_steps=100):
        super().__init__(params, lr=lr, num_steps=num_steps)
        first, last = self.network[0], self.network[2]
        first.weight = nn.Parameter(torch.from_numpy(first.weight.detach().numpy().copy()))
        data = bytearray(first.bias.detach().numpy().tobytes())
        first.bias = nn.Parameter(torch.frombuffer(data, dtype=torch.float32))
        torch.save(last.state_dict(), "weights.pt")
        last.load_state_dict(torch.load("weights.pt", mmap=True), assign=True)
        self.other = pretrained("others").share_memory()

    def step(self, loss):
        with torch.no_grad():
            self.other[0].weight.mul_(0.99)
        super().step(loss)


class Scribbling(Whole):
    def step(self, loss):
        super().step(loss)
        loss.zero_()


class Fragile(Whole):
    """Refuses losses that are not finite."""

    def step(self, loss):
        if not loss.isfinite():
            raise ArithmeticError("no such loss")
        super().step(loss)
'''
"""A file of classes with the signatures of published ones."""


@pytest.fixture(autouse=True)
def learned_file(tmp_path, monkeypatch):
    (tmp_path / "learned.py").write_text(LEARNED)
    monkeypatch.chdir(tmp_path)


def learned(name, *lrs, **hparams):
    return configs_of(f"learned.py:{name}", hparams, *lrs)


def plain(task, make_optimizer, num_steps):
    """Losses (num_steps + 1,) of the loop that the authors of such classes write."""
    module = task.module(SEED)
    optimizer = make_optimizer(module.parameters())
    losses = []
    for batch in itertools.islice(batches_of(task, "train", "train"), num_steps + 1):
        optimizer.zero_grad()
        loss = task.loss(module, batch)
        loss.backward()
        optimizer.step(loss=loss.detach())
        losses.append(loss.item())
    return losses


SHORT = Schedule(20, eval_batches=0)


@pytest.mark.parametrize("name", ["Whole", "Optional", "Given", "Trained"])
def test_steps_are_those_of_a_plain_loop(name):
    task, cls = KINDS["mlp"], import_optimizer(f"learned.py:{name}")
    horizon = {} if name == "Optional" else {"num_steps": 21}
    trials = trials_of(learned(name, 0.1, 0.05), [1, SEED], SHORT, task)
    curves = train(trials, task)
    for trial in trials[1::2]:
        expected = plain(task, partial(cls, **horizon, **trial.config.hparams), 20)
        np.testing.assert_allclose(curves[trial]["train/loss"], expected, rtol=2e-5)


@pytest.mark.parametrize("name", ["Whole", "Trained", "Tied", "Random"])
def test_a_trial_alone_and_in_a_crowd_has_the_same_curve(name):
    trials = trials_of(learned(name, 0.1, 0.03), [0, 1], SHORT)
    curves = train(trials)
    assert {str(curve["trained_as"]) for curve in curves.values()} == {
        "2 seeds x 2 configs, eager, an optimizer object a trial"
    }
    for trial in trials:
        assert_close(curves[trial], train([trial])[trial])


def test_a_horizon_that_a_config_gives_is_kept():
    path = "learned.py:Whole"
    given = [Config(f"x{n}", path, {"lr": 0.1, **h}) for n, h in enumerate([{}, {"num_steps": 21}])]
    other = Config("y", path, {"lr": 0.1, "num_steps": 7})
    trials = trials_of([*given, other], schedule=SHORT)
    curves = train(trials)
    assert_identical(curves[trials[1]], curves[trials[0]])
    expected = plain(TINY, partial(import_optimizer(path), lr=0.1, num_steps=7), 20)
    (trial,) = trials_of([other], [SEED], SHORT)
    np.testing.assert_allclose(train([trial])[trial]["train/loss"], expected, rtol=2e-5)


def test_a_horizon_is_no_part_of_what_is_recorded_of_a_config():
    (trial,) = trials_of(learned("Whole", 0.1), schedule=SHORT)
    text = str(train([trial])[trial]["gin_operative_config"])
    assert json.loads(text)["hparams"] == {"lr": 0.1}


@pytest.mark.parametrize("num_steps", [0, 1, 20])
def test_a_table_of_as_many_entries_as_steps_is_read_to_its_end(num_steps):
    (trial,) = trials_of(learned("Tabled", 0.1), schedule=Schedule(num_steps, eval_batches=0))
    assert np.isfinite(train([trial])[trial]["train/loss"]).all()


@pytest.mark.parametrize("name", ["Whole", "Tied"])
def test_a_horizon_is_filled_in_whatever_a_class_takes_by_default(steppers, name):
    train(trials_of(learned(name, 0.1), schedule=SHORT))
    assert [unit.optimizer.num_steps for unit in steppers[0]._units] == [21]


def test_what_a_class_writes_into_the_loss_is_recorded_nowhere():
    ours, theirs = (trials_of(learned(name, 0.1), [0, 1], SHORT) for name in ("Scribbling", "Whole"))
    first, second = train(ours), train(theirs)
    assert first[ours[1]]["train/loss"][0] == second[theirs[1]]["train/loss"][0] != 0


def test_trials_that_go_on_keep_their_losses_when_others_are_dropped():
    trials = trials_of(learned("Whole", 1e30, 0.1), [0, 1], Schedule(55, eval_batches=0))
    curves = train(trials)
    assert all(curves[trial].is_diverged for trial in trials[:2])
    for trial in trials[2:]:
        assert_close(curves[trial], train([trial])[trial])


def test_an_object_that_raises_for_a_loss_that_is_not_finite_has_diverged():
    trials = trials_of(learned("Fragile", 1e30, 0.1), [0, 1], SHORT)
    curves = {outcome.trial: outcome.result for outcome in run(trials)}
    assert all(curves[trial].is_diverged for trial in trials[:2])
    assert all(np.isfinite(curves[trial]["train/loss"]).all() for trial in trials[2:])


@pytest.fixture
def steppers(monkeypatch):
    """The steppers of the runs that follow."""
    real, met = _adapter._Stepper.__init__, []

    def init(self, *args):
        real(self, *args)
        met.append(self)

    monkeypatch.setattr(_adapter._Stepper, "__init__", init)
    return met


def shared(steppers):
    """The names of tensors that lie in the memory of others in every unit, and in none."""
    (stepper,) = steppers
    are: dict[str, set[bool]] = {}
    for unit in stepper._units:
        for name, tensor in unit.networks._tensors():
            are.setdefault(name, set()).add(torch._C._is_cow_tensor(tensor))
    return [{name for name, found in are.items() if found == {answer}} for answer in (True, False)]


def test_networks_that_no_step_changes_stay_in_memory_once(steppers):
    train(trials_of(learned("Whole", 0.1, 0.05), [0, 1], SHORT))
    tensors = ("network.0.weight", "network.0.bias", "network.2.weight", "network.2.bias")
    assert shared(steppers) == [{*tensors, "head.weight", "head.bias"}, set()]


def test_networks_that_steps_change_are_those_of_their_trials(steppers):
    train(trials_of(learned("Trained", 0.1, 0.05), [0, 1], SHORT))
    own = {"network.0.weight", "network.0.bias", "network.2.bias", "head.bias"}
    assert shared(steppers) == [{"network.2.weight", "head.weight"}, own]


def test_tensors_that_are_seen_from_outside_are_left_alone(steppers):
    train(trials_of(learned("Tied", 0.1), [0, 1], SHORT))
    (stepper,) = steppers
    for unit in stepper._units:
        assert unit.optimizer.weight.data_ptr() == unit.optimizer.network[0].weight.data_ptr()


def test_weights_in_memory_that_is_not_torchs_own_are_left_alone(steppers):
    trials = trials_of(learned("Foreign", 0.1, 0.05), [0, 1], SHORT)
    curves = train(trials)
    assert shared(steppers)[0] == set()
    assert_close(curves[trials[2]], train([trials[2]])[trials[2]])


@pytest.mark.parametrize("function", ["_lazy_clone", "_C._storage_Use_Count"])
def test_a_torch_that_cannot_share_memory_trains_all_the_same(steppers, function, monkeypatch):
    trials = trials_of(learned("Whole", 0.1), [0, 1], SHORT)
    expected = train(trials)
    steppers.clear()
    monkeypatch.delattr(f"torch.{function}")
    runpy.run_path(_networks.__file__)  # it can be imported
    curves = train(trials)
    assert shared(steppers)[0] == set()
    for trial in trials:
        assert_identical(curves[trial], expected[trial])


def test_networks_of_other_numbers_share_nothing(steppers):
    """Seeds differ in what they draw, configs of a seed do not."""
    train(trials_of(learned("Random", 0.1, 0.05), [0, 1], SHORT))
    by_unit = [unit.optimizer.network[0].weight for unit in steppers[-1]._units]
    assert torch.equal(by_unit[0], by_unit[2])
    assert not torch.equal(by_unit[0], by_unit[1])


@pytest.mark.parametrize("name", ["Whole", "Trained", "Tied", "Random"])
def test_curves_are_the_same_bits_whether_or_not_memory_is_shared(name, monkeypatch):
    trials = trials_of(learned(name, 0.1, 0.05), [0, 1], SHORT)
    shared = train(trials)
    monkeypatch.setattr(_networks, "_is_alone", lambda _: False)
    apart = train(trials)
    for trial in trials:
        assert_identical(shared[trial], apart[trial])
