"""Names, hyperparameters and what is said of bad ones."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
from unittest.mock import patch

import numpy as np
import pytest
import torch

import optsuite.optimizers as room
from optsuite.errors import HParamError, UnknownNameError
from optsuite.optimizers import OPTIMIZERS, check_hparams, get_optimizer, list_optimizers

PUBLIC = [
    "CLIPPED_AVERAGED",
    "LEARNED_OPTIMIZERS",
    "OPTIMIZERS",
    "WRAPPERS",
    "AveragedState",
    "Checkpoint",
    "HorizonLrSchedule",
    "LearnedOptimizer",
    "LrSchedule",
    "OptState",
    "Optimizer",
    "OptimizerRow",
    "Role",
    "Wrapper",
    "accumulate",
    "adabelief",
    "adafac_mlp_lopt",
    "adafactor",
    "adagrad",
    "adam",
    "adam_exp_decay_lr",
    "adam_sqrt_decay_lr",
    "adamw",
    "add_decayed_weights",
    "ademamix",
    "adopt",
    "argument_defaults",
    "as_trained",
    "averaged",
    "cautious",
    "chain",
    "check_architecture",
    "check_hparams",
    "check_roles",
    "clip",
    "clip_by_block_rms",
    "clip_by_global_norm",
    "constructor_arguments",
    "content_of",
    "correct_by_mars",
    "cosine_decay",
    "decayed",
    "default_architecture",
    "deliver",
    "ema",
    "exponential_decay",
    "fromage",
    "get_learned_optimizer",
    "get_optimizer",
    "get_row",
    "graft",
    "has_hooks",
    "import_optimizer",
    "is_import_path",
    "lamb",
    "lars",
    "learnable_adam",
    "learnable_sgd",
    "learnable_sgdm",
    "linear_rampup_sqrt_decay",
    "lion",
    "list_optimizers",
    "list_packaged_checkpoints",
    "location_of",
    "mars_adamw",
    "mlp_lopt",
    "muon",
    "nadamw",
    "nadamw_cosine_lr",
    "opt_list",
    "parse_call",
    "parse_optimizer",
    "parse_value",
    "piecewise_linear",
    "piecewise_linear_adam",
    "pinned",
    "plain_hparams",
    "prodigy",
    "radam",
    "read_checkpoint",
    "read_opt_list",
    "register_optimizer",
    "rmsprop",
    "role_by_shape",
    "scale_by_adagrad",
    "scale_by_adam",
    "scale_by_ademamix",
    "scale_by_adopt",
    "scale_by_belief",
    "scale_by_factored_rms",
    "scale_by_lion",
    "scale_by_lr",
    "scale_by_muon",
    "scale_by_nadamw",
    "scale_by_param_block_rms",
    "scale_by_radam",
    "scale_by_rms",
    "scale_by_shampoo",
    "scale_by_signum",
    "scale_by_sm3",
    "scale_by_soap",
    "scale_by_trust_ratio",
    "scale_by_yogi",
    "schedule_free_adamw",
    "schedule_free_sgd",
    "set_training",
    "sgd",
    "sgdm",
    "shampoo",
    "signum",
    "sm3",
    "soap",
    "split_wrapped",
    "takes_argument",
    "takes_loss",
    "takes_matrices_only",
    "trace",
    "warmup_constant",
    "warmup_cosine",
    "warmup_exponential",
    "warmup_linear",
    "warmup_sqrt",
    "warmup_stable_decay",
    "write_checkpoint",
    "yogi",
]

BAD = [
    (
        {"lr": 0.1, "beta3": 0.9},
        "`Adam` has no hyperparameter `beta3`: it has lr, beta1, beta2, eps",
    ),
    ({}, "`Adam` needs `lr`: a finite number >= 0"),
    ({"lr": -0.1}, "`lr` of `Adam` must be a finite number >= 0, got -0.1 (float)"),
    ({"lr": float("nan")}, "`lr` of `Adam` must be a finite number >= 0, got nan (float)"),
    ({"lr": 10**400}, "`lr` of `Adam` must be a finite number >= 0, got 1000000"),
    ({"lr": float("inf")}, "`lr` of `Adam` must be a finite number >= 0, got inf (float)"),
    ({"lr": "0.1"}, "`lr` of `Adam` must be a finite number >= 0, got '0.1' (str)"),
    ({"lr": True}, "`lr` of `Adam` must be a finite number >= 0, got True (bool)"),
    ({"lr": None}, "`lr` of `Adam` must be a finite number >= 0, got None (NoneType)"),
    ({"lr": 0.1, "beta1": 1.0}, "`beta1` of `Adam` must be a number in [0, 1), got 1.0 (float)"),
    ({"lr": 0.1, "eps": 0}, "`eps` of `Adam` must be a finite number > 0, got 0 (int)"),
    (
        {"lr": torch.ones(2)},
        "`lr` of `Adam` must be a finite number >= 0 or a 0-d tensor, got a tensor of shape (2,)",
    ),
]


def test_exports_are_the_public_names():
    assert room.__all__ == PUBLIC
    assert all(hasattr(room, name) for name in PUBLIC)
    visible = {name for name in vars(room) if name[0].isalpha()}
    assert visible == set(PUBLIC)


def test_listed_names_are_those_of_the_table():
    assert list_optimizers() == sorted(OPTIMIZERS)


def test_unknown_name_says_which_is_near():
    with pytest.raises(UnknownNameError, match=r"unknown optimizer `adamm`: did you mean Adam"):
        get_optimizer("adamm", lr=0.1)
    with pytest.raises(UnknownNameError, match="unknown optimizer `adamm`"):
        check_hparams("adamm", {"lr": 0.1})


@pytest.mark.parametrize(("hparams", "words"), BAD)
def test_bad_hyperparameter_says_what_is_needed_and_what_came(hparams, words):
    with pytest.raises(HParamError, match=re.escape(words)):
        get_optimizer("Adam", **hparams)
    with pytest.raises(HParamError, match=re.escape(words)):
        check_hparams("Adam", hparams)


@pytest.mark.parametrize("value", [1, "yes", torch.tensor(True)])
def test_a_switch_is_true_or_false(value):
    with pytest.raises(HParamError, match="`nesterov` of `RMSProp` must be True or False, got"):
        get_optimizer("RMSProp", lr=0.1, nesterov=value)


OTHER_BAD = [
    ("SM3", {"lr": 0.1, "beta2": 1.1}, "`beta2` of `SM3` must be a number in [0, 1], got 1.1 (float)"),
    ("Fromage", {"lr": 0.1, "min_norm": 0}, "`min_norm` of `Fromage` must be a finite number > 0, got 0"),
    ("Adafactor", {"lr": 0.1, "min_dim_size_to_factor": 2.0}, "must be an integer >= 1, got 2.0 (float)"),
    ("Adafactor", {"lr": 0.1, "min_dim_size_to_factor": 0}, "must be an integer >= 1, got 0 (int)"),
    ("NAdamWCosineLR", {"lr": 0.1, "constant_fraction": 1.0}, "must be a number in [0, 1), got 1.0 (float)"),
    ("OptList", {}, "`OptList` needs `idx`: an integer from 0 to 999"),
    ("OptList", {"idx": 1000}, "`idx` of `OptList` must be an integer from 0 to 999, got 1000 (int)"),
    ("OptList", {"idx": -1}, "must be an integer from 0 to 999, got -1 (int)"),
    ("OptList", {"idx": 7.0}, "must be an integer from 0 to 999, got 7.0 (float)"),
    ("OptList", {"idx": True}, "must be an integer from 0 to 999, got True (bool)"),
    (
        "PiecewiseLinearAdam",
        {"times": (15, 5)},
        "must be a tuple of rising numbers >= 0, got (15, 5) (tuple)",
    ),
    ("PiecewiseLinearAdam", {"times": ()}, "must be a tuple of rising numbers >= 0, got () (tuple)"),
    ("PiecewiseLinearAdam", {"times": 5}, "must be a tuple of rising numbers >= 0, got 5 (int)"),
    ("Shampoo", {"lr": 0.1, "graft_type": "sgd"}, "must be one of SGD, SQRT_N, ADAGRAD, ADAGRAD_NORMALIZED"),
    ("Shampoo", {"lr": 0.1, "graft_type": 1}, "must be one of SGD, SQRT_N, ADAGRAD, ADAGRAD_NORMALIZED"),
    ("Shampoo", {"lr": 0.1, "block_size": 0}, "`block_size` of `Shampoo` must be an integer >= 1, got 0"),
    (
        "Shampoo",
        {"lr": 0.1, "block_size": torch.tensor(8)},
        "must be an integer >= 1, got tensor(8) (Tensor)",
    ),
    ("AdamGradAccum", {"lr": 0.1, "num_average": 0}, "must be a whole number >= 1, got 0 (int)"),
    ("AdamGradAccum", {"lr": 0.1, "num_average": 1.5}, "must be a whole number >= 1, got 1.5 (float)"),
    ("AdamGradAccum", {"num_average": 2}, "`AdamGradAccum` needs `lr`: a finite number >= 0"),
    ("AdamGradAccum", {"lr": 0.1, "beta3": 2}, "it has lr, beta1, beta2, eps, eps_root, num_average"),
    ("PiecewiseLinearAdam", {"lrs": (0.1, -0.1)}, "must be a tuple of finite numbers >= 0, got (0.1, -0.1)"),
]


@pytest.mark.parametrize(("name", "hparams", "words"), OTHER_BAD)
def test_every_kind_of_hyperparameter_is_checked(name, hparams, words):
    with pytest.raises(HParamError, match=re.escape(words)):
        check_hparams(name, hparams)


@pytest.mark.parametrize("make", [get_optimizer, lambda name, **hparams: check_hparams(name, hparams)])
def test_piecewise_linear_adam_needs_a_time_for_each_rate(make):
    with pytest.raises(HParamError, match="`times` needs one number for each of `lrs`, got 3 for 2"):
        make("PiecewiseLinearAdam", times=(1, 2, 3))


@pytest.mark.parametrize("lr", [0, 0.0, 1, np.float64(0.1), torch.tensor(-1.0)])
def test_numbers_of_every_kind_are_good_and_tensors_unchecked(lr):
    params = {"p": torch.ones(2)}
    opt = get_optimizer("Adam", lr=lr)
    updates, _ = opt.update(params, opt.init(params), params)
    assert updates["p"].dtype == torch.float32


@pytest.mark.parametrize("name", list_optimizers())
def test_defaults_are_in_range(name):
    needed = {"lr": 0.1, "idx": 0, "theta": "any.safetensors"}
    check_hparams(name, {k: needed.get(k, hparam.default) for k, hparam in OPTIMIZERS[name].hparams.items()})


@pytest.mark.parametrize("module", [found.name for found in pkgutil.iter_modules(room.__path__)])
@patch.dict(OPTIMIZERS)  # what they register is forgotten
def test_examples_run(module):
    found = importlib.import_module(f"{room.__name__}.{module}")
    names = {name: getattr(room, name) for name in room.__all__} | {"torch": torch}
    result = doctest.testmod(found, extraglobs=names, optionflags=doctest.ELLIPSIS)
    assert result.failed == 0


@pytest.mark.parametrize("name", [name for name in PUBLIC if name[0].islower()])
def test_every_public_function_has_an_example(name):
    assert "Example:" in getattr(room, name).__doc__
