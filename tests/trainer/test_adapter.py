"""Classes of `torch.optim.Optimizer` train as in a plain loop, alone and beside others."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from optsuite.errors import HParamError
from optsuite.hparam_sets import Config, Schedule
from optsuite.tasks import get_task
from optsuite.trainer import _adapter
from optsuite.trainer._compile import can_compile

from .own import configs_of, own
from .runs import KINDS, SHORT, TINY, assert_close, assert_identical, run, train, trials_of
from .test_against_plain_loop import SEED, batches_of, plain_torch

CASES = {
    "ASGD": ("torch.optim:ASGD", {"lambd": 1e-3, "t0": 10.0}, 0.03),
    "Adadelta": ("torch.optim:Adadelta", {}, 0.3),
    "Adafactor": ("torch.optim:Adafactor", {}, 1e-3),
    "Adagrad": ("torch.optim:Adagrad", {"lr_decay": 0.01}, 3e-3),
    "Adam": ("torch.optim:Adam", {"amsgrad": True, "betas": (0.8, 0.99)}, 1e-3),
    "Adam-fused": ("torch.optim:Adam", {"fused": True}, 1e-3),
    "AdamW": ("torch.optim:AdamW", {"weight_decay": 0.1}, 1e-3),
    "Adamax": ("torch.optim:Adamax", {}, 1e-3),
    "NAdam": ("torch.optim:NAdam", {}, 1e-3),
    "NAdam-not-foreach": ("torch.optim:NAdam", {"foreach": False}, 1e-3),
    "RAdam": ("torch.optim:RAdam", {}, 1e-3),
    "RMSprop": ("torch.optim:RMSprop", {"momentum": 0.5, "centered": True}, 3e-4),
    "Rprop": ("torch.optim:Rprop", {}, 1e-4),
    "SGD": ("torch.optim:SGD", {"momentum": 0.9, "nesterov": True, "weight_decay": 1e-3}, 0.01),
}
"""Import path, arguments and a rate that learns without amplifying rounding errors."""

every_case = pytest.mark.parametrize("name", CASES)
pytestmark = pytest.mark.usefixtures("own_file")


def class_of(path):
    return getattr(torch.optim, path.partition(":")[2])


@every_case
@pytest.mark.parametrize("kind", ["mlp", "batchnorm"])
def test_steps_are_those_of_a_plain_loop(name, kind):
    """Every trial of a group is compared, with the class's own defaults, whatever kernels they choose."""
    (path, hparams, lr), task = CASES[name], KINDS[kind]
    schedule = Schedule(20, eval_batches=0)
    trials = trials_of(configs_of(path, hparams, lr, lr / 2), [1, SEED], schedule, task)
    curves = train(trials, task)
    for trial in trials[1::2]:
        cls, arguments = class_of(path), trial.config.hparams
        expected = plain_torch(task, partial(cls, **arguments), 20)
        np.testing.assert_allclose(curves[trial]["train/loss"], expected, rtol=2e-5)


@every_case
def test_a_trial_alone_and_in_a_crowd_has_the_same_curve(name):
    path, hparams, lr = CASES[name]
    crowd = trials_of(configs_of(path, hparams, lr, lr / 3, lr / 10), [0, 1, 2])
    curves = train(crowd)
    # Kernels of lists without a form for single tensors, and decisions by the numbers of a trial.
    is_lifted = name not in ("Adam-fused", "Adafactor", "Rprop")
    objects = "one optimizer object" if is_lifted else "an optimizer object a trial"
    manners = {str(curve["trained_as"]) for curve in curves.values()}
    assert manners == {f"3 seeds x 3 configs, eager, {objects}"}
    for trial in (crowd[0], crowd[-1]):
        assert_close(curves[trial], train([trial])[trial], rtol=1e-4)


@pytest.mark.parametrize("name", ["NAdam", "Adafactor"])
@pytest.mark.parametrize("kind", ["conv", "dropout"])
def test_every_kind_of_task_trains(name, kind, monkeypatch):
    """Dropout draws from the trial's own stream, which no optimizer disturbs."""
    monkeypatch.setattr("optsuite.trainer._layout.width_limit", lambda *_: 1000)
    (path, hparams, lr), task = CASES[name], KINDS[kind]
    trials = trials_of(configs_of(path, hparams, lr, lr / 3), [0, 1], Schedule(20, 10, 1, 1), task)
    first, second = train(trials, task), train(trials, task)
    for trial in trials:
        assert_identical(second[trial], first[trial])
    assert_close(first[trials[1]], train(trials[1:2], task)[trials[1]], rtol=1e-4)


def test_trials_of_a_class_train_together_whatever_their_arguments():
    """Each has an object of its own where these differ in more than numbers."""
    configs = [
        Config("plain", "torch.optim:SGD", {"lr": 0.1}),
        Config("nesterov", "torch.optim:SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
        Config("fused", "torch.optim:SGD", {"lr": 0.1, "fused": True}),
    ]
    trials = trials_of(configs)
    curves = train(trials)
    manners = {str(curve["trained_as"]) for curve in curves.values()}
    assert manners == {"1 seeds x 3 configs, eager, an optimizer object a trial"}
    assert_close(curves[trials[2]], curves[trials[0]])
    assert curves[trials[1]]["train/loss"][-1] < curves[trials[0]]["train/loss"][-1]


WEIGHTS = replace(
    TINY,
    build=lambda: nn.Sequential(nn.Linear(64, 16, bias=False), nn.Tanh(), nn.Linear(16, 10, bias=False)),
    forward=lambda model, batch, _: model(batch["image"].flatten(1)),
)
"""A task of matrices alone."""


def test_a_class_that_looks_at_shapes_sees_those_of_one_trial():
    """Muon takes matrices, whose singular values it changes."""
    (config,) = configs_of("torch.optim:Muon", {}, 0.01)
    trials = trials_of([config, *configs_of("torch.optim:Muon", {}, 0.003)], [0, SEED], task=WEIGHTS)
    expected = plain_torch(WEIGHTS, partial(torch.optim.Muon, lr=0.01), SHORT.num_steps)
    np.testing.assert_allclose(train(trials, WEIGHTS)[trials[1]]["train/loss"], expected, rtol=1e-4)


def test_a_class_for_matrices_alone_is_refused_where_there_are_others():
    words = (
        rf"`torch.optim:Muon` takes matrices only, and `{TINY.name}` has parameters of other shapes, "
        r"such as \(32,\): name `Muon`, the one of this package, or a class"
    )
    with pytest.raises(HParamError, match=words):
        train(trials_of(configs_of("torch.optim:Muon", {}, 0.01, 0.1)))


def test_a_class_that_refuses_the_parameters_is_an_error_of_its_trials_in_words():
    trials = trials_of(own("Picky", 0.1, 0.3))
    for outcome in run(trials):
        assert isinstance(outcome.result, HParamError)
    words = rf"`own.py:Picky` cannot be made for the parameters of `{TINY.name}` \(ValueError: too many"
    with pytest.raises(HParamError, match=words):
        train(trials)


def assert_alone_as_in_a_crowd(trials):
    curves = train(trials)
    for trial in trials:
        assert_close(curves[trial], train([trial])[trial])


@pytest.mark.parametrize("name", ["Rebinding", "Averaging", "Fragile"])
def test_configs_that_diverged_are_left_and_the_others_go_on(name, monkeypatch):
    real, kept = _adapter._Stepper.keep, []

    def keep(self, is_kept):
        kept.append(is_kept.tolist())
        return real(self, is_kept)

    monkeypatch.setattr(_adapter._Stepper, "keep", keep)
    trials = trials_of(own(name, 0.01, 1e30, 0.25), [1, SEED], Schedule(120, eval_every=40, eval_batches=1))
    curves = {o.trial: o.result for o in run(trials)}
    fails = name == "Fragile"  # at 0.25
    assert kept == [[True, False, not fails]]
    assert all(curves[trial].is_diverged for trial in trials[2:4])
    assert [isinstance(curves[trial], Exception) for trial in trials[4:]] == [fails, fails]
    for trial in trials[:2] if fails else [*trials[:2], *trials[4:]]:
        assert_close(curves[trial], train([trial])[trial])


def test_parameters_that_a_class_replaces_are_followed():
    rebinding = trials_of(own("Rebinding", 0.05, 0.1), [0, 1])
    sgd = trials_of(configs_of("torch.optim:SGD", {}, 0.05, 0.1), [0, 1])
    ours, theirs = train(rebinding), train(sgd)
    for trial, other in zip(rebinding, sgd, strict=True):
        assert_close(ours[trial], theirs[other])


class TwoBiases(nn.Module):
    """Whose gradients are one and the same tensor."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 10, bias=False)
        self.bias, self.more = nn.Parameter(torch.zeros(10)), nn.Parameter(torch.ones(10))

    def forward(self, inputs):
        return self.linear(inputs) + (self.bias + self.more)


@pytest.mark.parametrize("seeds", [[0], [0, 1]], ids=["one", "two"])
def test_what_a_class_writes_into_a_gradient_stays_there(seeds):
    task = replace(WEIGHTS, build=TwoBiases)
    trials = trials_of(own("Scribbling", 0.3), seeds, task=task)
    decaying = trials_of(configs_of("torch.optim:SGD", {"weight_decay": 0.1}, 0.3), seeds, task=task)
    ours, theirs = train(trials, task), train(decaying, task)
    for trial, other in zip(trials, decaying, strict=True):
        assert_close(ours[trial], theirs[other])


def test_what_an_object_remembers_is_of_one_trial():
    assert_alone_as_in_a_crowd(trials_of(own("Global", 0.1, 1.0), [0, 1]))


def test_a_class_of_ones_own_is_never_given_stacked_trials():
    assert_alone_as_in_a_crowd(trials_of(own("Own", 1e-3, 1e-2), [0, 1], Schedule(5)))


def test_noise_is_that_of_the_trials_seed():
    trials = trials_of(own("Noisy", 0.1, 0.1 / 3), [0, 1])
    before = torch.get_rng_state()
    curves = train(trials)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(before[0].item() + 1)
    again = train(trials)
    for trial in trials:
        assert_identical(again[trial], curves[trial])
        assert_close(train([trial])[trial], curves[trial])
    quiet = trials_of(own("Rebinding", 0.1), [0])
    assert not np.allclose(train(quiet)[quiet[0]]["train/loss"], curves[trials[0]]["train/loss"])


def test_evaluations_see_the_parameters_of_the_mode_for_it():
    schedule = Schedule(30, eval_every=10, eval_batches=1, last_eval_batches=1)
    trials = trials_of(own("Averaging", 0.3, 0.1), [0, SEED], schedule)
    curves = train(trials)
    sgd = trials_of(configs_of("torch.optim:SGD", {}, 0.3), [SEED], schedule)
    np.testing.assert_allclose(
        curves[trials[1]]["train/loss"], train(sgd)[sgd[0]]["train/loss"], rtol=1e-4, err_msg="trained"
    )
    module = TINY.module(SEED)
    sums = [torch.zeros_like(param) for param in module.parameters()]
    expected = []
    evals = batches_of(TINY, "test", "eval/test")
    for step, batch in enumerate(itertools.islice(batches_of(TINY, "train", "train"), 31)):
        if step % 10 == 0:
            average = TINY.module(SEED)
            if step:
                for param, total in zip(average.parameters(), sums, strict=True):
                    param.data = total / step
            with torch.no_grad():
                expected.append(TINY.loss(average, next(evals)).item())
        grads = torch.autograd.grad(TINY.loss(module, batch), list(module.parameters()))
        for param, grad, total in zip(module.parameters(), grads, sums, strict=True):
            param.data -= 0.3 * grad
            total += param.data
    np.testing.assert_allclose(curves[trials[1]]["eval/test/loss"], expected, rtol=1e-4)


def test_an_object_that_raises_fails_its_own_trial_alone():
    trials = trials_of(own("Fragile", 0.1, 0.25), [0, 1])
    results = {o.trial: o.result for o in run(trials)}
    for trial in trials[2:]:
        assert isinstance(results[trial], ArithmeticError)
        assert str(results[trial]) == "not a quarter"
    for trial in trials[:2]:
        assert_close(results[trial], train([trial])[trial])


def test_an_object_that_ends_the_process_fails_its_own_trial_alone():
    trials = trials_of(own("Ending", 0.1, 0.25))
    results = [outcome.result for outcome in run(trials)]
    assert [isinstance(result, Exception) for result in results] == [False, True]
    assert str(results[1]) == "SystemExit: 3"


def test_an_object_that_raises_for_what_is_not_finite_has_diverged():
    trials = trials_of(own("Fragile", 1e30, 0.1), [0, 1])
    curves = train(trials)
    for trial in trials[:2]:
        assert curves[trial].is_diverged
        assert np.isfinite(curves[trial]["train/loss"][0])
    for trial in trials[2:]:
        assert_close(curves[trial], train([trial])[trial])


def test_memory_that_runs_out_in_a_step_halves_the_grid():
    trials = trials_of(own("Hungry", 0.1, 0.2), [0, 1])
    with pytest.warns(RuntimeWarning, match="4 trials of .* do not fit side by side; half of them"):
        curves = train(trials)
    manners = {str(curve["trained_as"]) for curve in curves.values()}
    assert manners == {"1 seeds x 2 configs, eager, one optimizer object"}


@pytest.mark.slow
@pytest.mark.parametrize("path", ["torch.optim:NAdam", "own.py:Global"])
@pytest.mark.parametrize("lrs", [[1e-3], [1e-3, 3e-3]], ids=["one", "two"])
def test_a_compiled_run_agrees_with_an_eager_one(path, lrs, monkeypatch):
    trials = trials_of(configs_of(path, {}, *lrs), [0, 1], Schedule(120, eval_every=20))
    eager = train(trials)
    if not can_compile("cpu"):
        pytest.skip("no C++ compiler here")
    monkeypatch.setattr("optsuite.trainer._layout.compiling_pays", lambda *_, **__: True)
    compiled, again = train(trials), train(trials)
    for trial in trials:
        assert "configs, compiled" in str(compiled[trial]["trained_as"])
        assert_close(compiled[trial], eager[trial])
        assert_identical(again[trial], compiled[trial])


def test_a_published_task_trains():
    task = get_task("ImageMLPAE_FashionMnist_128x32x128_bs128")
    trials = trials_of(configs_of("torch.optim:NAdam", {}, 1e-3), [0], Schedule(2, eval_batches=0), task)
    assert np.isfinite(train(trials, task)[trials[0]]["train/loss"]).all()
