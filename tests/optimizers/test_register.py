"""Optimizers of a user's own: a factory of pure functions under a name."""

from __future__ import annotations

from unittest.mock import patch

import pytest
import torch

from optsuite import Config, Schedule, Trial, get_optimizer, list_optimizers, register_optimizer, train_many
from optsuite.errors import HParamError, OptsuiteError
from optsuite.optimizers import OPTIMIZERS, chain, scale_by_lr, sgd, trace

TASK = "ImageMLP_FashionMnist8_Relu32"


@pytest.fixture(autouse=True)
def own_table():
    """What a test registers is forgotten."""
    with patch.dict(OPTIMIZERS):
        yield


def heavy_ball(lr, *, inertia=0.9, kind="plain", is_on=True, unused=None):
    """A rule with names that no optimizer of ours has."""
    assert kind in ("plain", "none")
    return chain(trace(inertia), scale_by_lr(lr)) if is_on and kind == "plain" else sgd(lr)


def test_a_registered_optimizer_is_one_of_the_table():
    register_optimizer("HeavyBall", heavy_ball)
    register_optimizer("HeavyBall", heavy_ball)  # a module that is imported twice does it
    assert "HeavyBall" in list_optimizers()
    assert get_optimizer("HeavyBall", lr=0.1, inertia=0.5, kind="none", is_on=False)


def test_it_trains_as_those_of_the_table(small_data):
    """Numbers that differ reach it as tensors."""
    register_optimizer("HeavyBall", heavy_ball)
    configs = [Config(f"h{i}", "HeavyBall", {"lr": 0.1, "inertia": i}) for i in (0.5, 0.9)]
    configs.append(Config("SGDM", "SGDM", {"lr": 0.1}))
    trials = [Trial(TASK, config, Schedule(5, eval_batches=0), 0) for config in configs]
    half, most, sgdm = (c["train/loss"] for c in train_many(TASK, trials, mode="synthetic", device="cpu"))
    assert most.tolist() == pytest.approx(sgdm.tolist(), rel=1e-6)
    assert half.tolist() != pytest.approx(sgdm.tolist(), rel=1e-6)


@pytest.mark.parametrize(
    ("hparams", "words"),
    [
        ({}, "`HeavyBall` needs `lr`: a finite number >= 0"),
        ({"lr": -1.0}, "`lr` of `HeavyBall` must be a finite number >= 0, got -1.0"),
        ({"lr": 0.1, "rho": 1.0}, "`HeavyBall` has no hyperparameter `rho`: it has lr, inertia, kind"),
        (
            {"lr": 0.1, "inertia": float("inf")},
            r"`inertia` of `HeavyBall` must be a finite number, True, False or a word, got inf \(float\)",
        ),
        ({"lr": 0.1, "inertia": (1.0,)}, r"or a word, got \(1.0,\) \(tuple\)"),
    ],
)
def test_its_hyperparameters_are_checked_by_its_signature(hparams, words):
    register_optimizer("HeavyBall", heavy_ball)
    with pytest.raises(HParamError, match=words):
        Config("label", "HeavyBall", hparams)


@pytest.mark.parametrize("name", ["Adam", "SGD"])
def test_a_taken_name_is_an_error(name):
    with pytest.raises(OptsuiteError, match=f"an optimizer `{name}` exists already: choose another name"):
        register_optimizer(name, heavy_ball)


@pytest.mark.parametrize("name", ["", "my opt", "my:opt", "my-opt"])
def test_a_name_is_a_word(name):
    with pytest.raises(OptsuiteError, match="an optimizer's name is made of letters, digits and `_`"):
        register_optimizer(name, heavy_ball)


@pytest.mark.parametrize(
    "factory", [lambda **hparams: sgd(**hparams), lambda *lr: sgd(*lr), lambda lr, /: sgd(lr)]
)
def test_a_factory_names_its_hyperparameters(factory):
    with pytest.raises(OptsuiteError, match="the factory of `Mine` must name its hyperparameters"):
        register_optimizer("Mine", factory)


def test_numbers_may_be_tensors_and_what_decides_which_operations_run_may_not():
    register_optimizer("HeavyBall", heavy_ball)
    assert get_optimizer("HeavyBall", lr=torch.tensor(0.1), inertia=torch.tensor(0.5))
    for name in ("kind", "is_on"):
        with pytest.raises(
            HParamError, match=rf"`{name}` of `HeavyBall` must be .*, got tensor\(1.\) \(Tensor\)"
        ):
            get_optimizer("HeavyBall", lr=0.1, **{name: torch.tensor(1.0)})
