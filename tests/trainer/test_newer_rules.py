"""The newer rules as pure functions leave the curves of a plain loop over the classes of their packages."""

from __future__ import annotations

import numpy as np
import pytest

from optsuite.hparam_sets import Config
from optsuite.trainer import _compile

from .runs import SHORT, assert_close, train, trials_of
from .test_against_plain_loop import SEED
from .test_pytorch_optimizer import package, plain_loop

schedulefree = pytest.importorskip("schedulefree")

CASES = {
    "ADOPT": ({}, package.ADOPT, {"clip_lambda": lambda t: (t - 1) ** 0.25}, 1e-3),
    "AdEMAMix": (
        {"alpha": 3.0, "slow_warmup": 0.5},
        package.AdEMAMix,
        {"alpha": 3.0, "t_alpha_beta3": SHORT.num_steps / 2},
        1e-3,
    ),
    "Lion": ({"weight_decay": 0.01}, package.Lion, {"weight_decay": 0.01}, 1e-4),
    "MARSAdamW": ({}, package.MARS, {"optimize_1d": True}, 1e-3),
    "Prodigy": ({"d0": 1e-4}, package.Prodigy, {"d0": 1e-4}, 1.0),
    "ScheduleFreeAdamW": (
        {"warmup_steps": 10},
        schedulefree.AdamWScheduleFree,
        {"warmup_steps": 10},
        0.01,
    ),
    "ScheduleFreeSGD": ({}, schedulefree.SGDScheduleFree, {}, 0.3),
    "Signum": ({}, package.SignSGD, {}, 1e-3),
}
"""Hyperparameters here, the class and its arguments, and a rate."""


def trials_for(name):
    hparams, _, _, lr = CASES[name]
    configs = [Config(f"x_lr{rate}", name, {"lr": rate, **hparams}) for rate in (lr, lr / 3)]
    return trials_of(configs, [0, SEED])


@pytest.mark.parametrize("name", CASES)
def test_curves_are_those_of_a_plain_loop(name):
    """With the evaluations, which of Schedule-Free methods are at the mean of the steps."""
    trials = trials_for(name)
    curves = train(trials)
    _, cls, arguments, _ = CASES[name]
    for trial in trials[1::2]:
        losses, evaluated = plain_loop(cls, {"lr": trial.config.hparams["lr"], **arguments})
        np.testing.assert_allclose(curves[trial]["train/loss"], losses, rtol=1e-4)
        np.testing.assert_allclose(curves[trial]["eval/test/loss"], evaluated, rtol=1e-4)


@pytest.mark.parametrize("name", ["ScheduleFreeAdamW", "ScheduleFreeSGD"])
def test_a_trial_alone_is_evaluated_as_in_a_crowd(name):
    """Another config diverges at once and is dropped."""
    hparams, *_, lr = CASES[name]
    config, wild = (Config(f"x_lr{rate}", name, {"lr": rate, **hparams}) for rate in (lr, 1e30))
    [crowd, _] = trials = trials_of([config, wild], [SEED])
    assert_close(train(trials)[crowd], train([crowd])[crowd])


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_compiled_curves_are_those_of_uncompiled_ones(name, monkeypatch):
    """Compiled steps write over parameters, of which Prodigy and Schedule-Free methods remember some."""
    trials = trials_for(name)
    curves = train(trials)
    monkeypatch.setattr(_compile, "_MIN_CALLS", 0)
    monkeypatch.setattr(_compile, "_MIN_CALLS_OF_FEW", 0)
    compiled = train(trials)
    for trial in trials:
        assert str(compiled[trial]["trained_as"]).endswith("compiled")
        assert_close(compiled[trial], curves[trial], rtol=1e-3)
