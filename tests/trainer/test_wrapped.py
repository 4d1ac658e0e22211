"""Optimizers in wrappers train as grids, compiled or not, and are evaluated where they say."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
import pytest

from optsuite.hparam_sets import Config, Schedule
from optsuite.trainer import _compile, group_by_spec

from .runs import assert_close, train, trials_of

WHOLE = "SGDM+wsd+wd+clip+ema+accum"
CONFIGS = [
    Config("a", WHOLE, {"lr": 0.05, "max_norm": 0.5, "num_average": 2}),
    Config("b", WHOLE, {"lr": 0.1, "warmup_fraction": 0.2, "ema_decay": 0.9, "num_average": 3}),
]
SCHEDULE = Schedule(12, eval_every=4)


def test_configs_that_differ_in_numbers_of_wrappers_share_a_program():
    configs = [Config(f"c{n}", "Adam+cosine+clip", {"lr": 0.1, "max_norm": n / 2}) for n in (1, 2, 3)]
    ((spec, trials),) = group_by_spec(trials_of(configs))
    assert len(trials) == 3
    assert {"max_norm"} <= set(spec.varying)


def test_the_average_is_what_is_evaluated():
    """A decay of 0 is the latest parameters; what is trained is the same for all."""
    names = {
        "plain": ("SGD", {}),
        "latest": ("SGD+ema", {"ema_decay": 0.0}),
        "slow": ("SGD+ema", {"ema_decay": 0.99}),
    }
    configs = [Config(label, name, {"lr": 0.1, **more}) for label, (name, more) in names.items()]
    curves = {
        trial.config.label: curve for trial, curve in train(trials_of(configs, schedule=SCHEDULE)).items()
    }
    for label in ("latest", "slow"):
        np.testing.assert_allclose(curves[label]["train/loss"], curves["plain"]["train/loss"], rtol=1e-5)
    key = "eval/train/loss"
    np.testing.assert_allclose(curves["latest"][key], curves["plain"][key], rtol=1e-5)
    assert curves["slow"][key][0] == pytest.approx(curves["plain"][key][0], rel=1e-5)
    assert (curves["slow"][key][2:] > curves["plain"][key][2:]).all()


def test_a_wrapped_rule_still_gets_the_roles_of_the_task():
    """By shape alone the last matrix would be one to orthogonalize."""
    configs = [
        Config("plain", "Muon", {"lr": 0.1}),
        Config("wrapped", "Muon+clip", {"lr": 0.1, "max_norm": 1e9}),
    ]
    plain, wrapped = train(trials_of(configs, schedule=SCHEDULE)).values()
    assert_close(wrapped, plain)


@pytest.mark.slow
def test_wrapped_optimizers_compile_to_what_they_do_uncompiled(monkeypatch):
    monkeypatch.setattr(_compile, "_MIN_CALLS", 0)
    monkeypatch.setattr(_compile, "_MIN_CALLS_OF_FEW", 0)
    trials = trials_of(CONFIGS, seeds=(0, 1), schedule=SCHEDULE)
    _compile.can_compile.cache_clear()
    compiled = train(trials)
    with patch.multiple(_compile, _MIN_CALLS=1000, _MIN_CALLS_OF_FEW=1000):
        eager = train(trials)
    for trial in trials:
        assert str(compiled[trial]["trained_as"]).endswith("compiled")
        assert str(eager[trial]["trained_as"]).endswith("eager")
        assert_close(compiled[trial], eager[trial])


@pytest.mark.parametrize(
    ("native", "path", "hparams"),
    [
        ("AdamW+cosine+clip", "torch.optim:AdamW", {"weight_decay": 0.1, "max_norm": 0.3}),
        (
            "AdamW+wsd+ema",
            "torch.optim:AdamW",
            {"weight_decay": 0.1, "ema_decay": 0.7, "decay_shape": "sqrt"},
        ),
        (
            "SGDM+exponential+clip+ema+accum",
            "torch.optim:SGD",
            {"momentum": 0.9, "max_norm": 0.5, "ema_decay": 0.7, "num_average": 3, "warmup_fraction": 0.2},
        ),
        ("SGDM+cosine+cautious", "torch.optim:SGD", {"momentum": 0.9}),
        ("SGD+linear+wd", "own_classes:Plain", {"weight_decay": 0.2}),
    ],
)
def test_a_wrapped_class_trains_as_the_wrapped_rule(native, path, hparams, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_classes.py").write_text(PLAIN)
    wrappers = native.partition("+")[2]
    names = {"native": native, "class": f"{path}+{wrappers}"}
    configs = [Config(label, name, {"lr": 0.05, **hparams}) for label, name in names.items()]
    trials = trials_of(configs, seeds=(0, 1), schedule=Schedule(20, eval_every=5))
    curves = train(trials)
    for seed in (0, 1):
        ours, theirs = (curves[trial] for trial in trials if trial.seed == seed)
        assert_close(theirs, ours, rtol=1e-3)


PLAIN = """
import torch


class Plain(torch.optim.Optimizer):
    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for param in group["params"]:
                param.sub_(group["lr"] * param.grad)
"""
