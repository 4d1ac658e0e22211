"""Classes of the package `pytorch_optimizer`, which do all that a class can do, train as in a plain loop."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from optsuite.errors import HParamError
from optsuite.hparam_sets import Config

from .runs import SHORT, TINY, assert_close, train, trials_of
from .test_against_plain_loop import SEED, batches_of

package = pytest.importorskip("pytorch_optimizer")

CASES = {
    "AdEMAMix": ({"alpha": 3.0}, 1e-3),
    "Lamb": ({}, 1e-3),  # norms of each tensor
    "Lion": ({"weight_decay": 0.01}, 1e-4),
    "Prodigy": ({"d0": 1e-4}, 1.0),  # one step size for all tensors
    "SOAP": ({"precondition_frequency": 5}, 1e-4),  # decompositions, which amplify rounding errors
    "SPAM": ({}, 1e-3),  # noise
    "ScheduleFreeAdamW": ({}, 0.01),  # modes
    "ScheduleFreeSGD": ({}, 0.1),
}
"""Arguments and a rate."""


def plain_loop(cls, hparams):
    """Training losses, and those of the evaluations of the test split."""
    module = TINY.module(SEED)
    optimizer = cls(module.parameters(), **hparams)
    set_mode(optimizer, "train")
    evals, evaluated, losses = batches_of(TINY, "test", "eval/test"), [], []
    for step, batch in enumerate(itertools.islice(batches_of(TINY, "train", "train"), SHORT.num_steps + 1)):
        if step % SHORT.eval_every == 0:
            set_mode(optimizer, "eval")
            with torch.no_grad():
                means = [TINY.loss(module, next(evals)).item() for _ in range(SHORT.batches_at(step))]
            evaluated.append(np.mean(means))
            set_mode(optimizer, "train")
        optimizer.zero_grad()
        loss = TINY.loss(module, batch)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, evaluated


def set_mode(optimizer, mode):
    getattr(optimizer, mode, lambda: None)()


def trials_for(name):
    hparams, lr = CASES[name]
    configs = [
        Config(f"x_lr{rate}", f"pytorch_optimizer:{name}", {"lr": rate, **hparams}) for rate in (lr, lr / 3)
    ]
    return trials_of(configs, [0, SEED])


@pytest.mark.parametrize("name", [name for name in CASES if name != "SPAM"])
def test_curves_are_those_of_a_plain_loop(name):
    trials = trials_for(name)
    curves = train(trials)
    for trial in trials[1::2]:
        losses, evaluated = plain_loop(getattr(package, name), trial.config.hparams)
        np.testing.assert_allclose(curves[trial]["train/loss"], losses, rtol=1e-4)
        np.testing.assert_allclose(curves[trial]["eval/test/loss"], evaluated, rtol=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_a_trial_alone_and_in_a_crowd_has_the_same_curve(name):
    trials = trials_for(name)
    curves = train(trials)
    for trial in (trials[0], trials[-1]):
        assert_close(curves[trial], train([trial])[trial], rtol=1e-4)


def test_what_cannot_decompose_its_gradients_any_more_has_diverged():
    """Its neighbours train on."""
    configs = [Config(f"x_lr{lr}", "pytorch_optimizer:Shampoo", {"lr": lr}) for lr in (1e30, 1e-3)]
    wild, tame = trials_of(configs)
    curves = train([wild, tame])
    assert curves[wild].is_diverged
    assert_close(curves[tame], train([tame])[tame])


@pytest.mark.parametrize(
    ("name", "hparams", "words"),
    [
        ("AliG", {}, r"cannot step without a closure .* \(NoClosureError: AliG requires closure"),
        ("SAM", {}, r"cannot be made with its defaults \(TypeError: .* 'base_optimizer'\)"),
        ("Lion", {"momentum": 0.9}, "has no argument `momentum`: it takes lr, betas, weight_decay"),
        ("Loin", {}, "does not exist: did you mean Lion"),
    ],
)
def test_what_cannot_be_used_is_an_error_in_words(name, hparams, words):
    """An unknown argument too, which the class itself would not mind."""
    with pytest.raises(HParamError, match=f"`pytorch_optimizer:{name}` {words}"):
        Config("label", f"pytorch_optimizer:{name}", hparams)
