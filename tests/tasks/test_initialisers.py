"""Initial parameters have the reference's distributions."""

from __future__ import annotations

import math
import re

import pytest
import torch

from optsuite.tasks import get_task, list_tasks

_CUT_STD = 0.87962566  # of a standard normal cut at two deviations


def constant(value):
    def check(param, _fan_in, _task):
        assert (param == value).all()

    return check


def identity(param, _fan_in, _task):
    assert torch.equal(param, torch.eye(len(param)))


def has_moments(values, std):
    count = values.numel()
    assert abs(values.mean().item()) < 5 * std / math.sqrt(count)
    assert values.std().item() == pytest.approx(std, rel=5 / math.sqrt(2 * count))


def has_cut(values, largest):
    """No more than the largest value, nor much less."""
    assert 0.7 * largest <= values.abs().max().item() <= largest * (1 + 1e-6)


def cut_normal(scale):
    """A normal of that deviation cut at two, and so of 0.88 of it."""

    def check(param, fan_in, _task):
        std = scale(fan_in)
        has_moments(param, _CUT_STD * std)
        has_cut(param, 2 * std)

    return check


def rescaled_normal(scale):
    """The same, stretched to a variance of scale / fan in."""

    def check(param, fan_in, task):
        std = math.sqrt(scale(task) / fan_in)
        has_moments(param, std)
        has_cut(param, 2 * std / _CUT_STD)

    return check


def normal(std):
    def check(param, _fan_in, _task):
        has_moments(param, std)

    return check


def outputs_last(param, _fan_in, _task):
    """Like `LINEAR`, of weights that are kept as the reference keeps them."""
    largest = 2 / math.sqrt(len(param))
    has_moments(param, _CUT_STD * largest / 2)
    if param.numel() > 50:
        has_cut(param, largest)


def uniform(fans):
    def check(param, _fan_in, task):
        limit = math.sqrt(6 / fans(param, task))
        has_moments(param, limit / math.sqrt(3))
        has_cut(param, limit)

    return check


def num_layers(task):
    return len(task.meta_module().blocks)


def width(task):
    return task.meta_module().norm.weight.numel()


ZERO, ONE = constant(0.0), constant(1.0)
LINEAR = cut_normal(lambda fan_in: 1 / math.sqrt(fan_in))
LECUN = rescaled_normal(lambda _: 1.0)
MLP = {r"norms\..*weight": ONE, r".*bias": ZERO, r".*weight": LINEAR}
PATCHES = {"patches.weight": LECUN, r".*norm\.weight": ONE, "head.weight": ZERO}
RULES = {
    **dict.fromkeys(("image_mlp", "image_mlp_ae", "conv", "es_wrapped"), MLP),
    "resnet": {"head.weight": ZERO, r".*norms?\.(\d\.)?weight": ONE, r".*bias": ZERO, r".*weight": LINEAR},
    "rnn_lm": {
        "embedding.weight": cut_normal(lambda _: 1.0),
        r"core\.(hidden|cell)": ZERO,
        r".*bias": ZERO,
        r"core\.(input|hidden)_weight": LECUN,
        r".*weight": LINEAR,
    },
    "transformer_lm": {
        "embedding.weight": cut_normal(lambda _: 1.0),
        "head.weight": LINEAR,
        r".*norm\.weight": ONE,
        r".*bias": ZERO,
        r".*weight": rescaled_normal(lambda task: 2 / num_layers(task)),
    },
    "vit": {
        **PATCHES,
        "class_token": ZERO,
        "positions": normal(0.02),
        r".*mlp\.\w+\.bias": normal(1e-6),
        r".*bias": ZERO,
        r".*mlp.*weight": uniform(lambda param, _: sum(param.shape)),
        r".*attention.*weight": uniform(lambda _, task: 2 * width(task)),
    },
    "lopt": {
        **{f"one_minus_beta{n}": constant(math.log(1 - beta)) for n, beta in ((1, 0.9), (2, 0.999))},
        "log_lr": constant(math.log(1e-3)),
        "log_epsilon": constant(math.log(1e-8)),
        r".*_decays|.*/b\d?": ZERO,
        r".*/w\d?": outputs_last,
    },
    "mlp_mixer": {**PATCHES, r".*bias": ZERO, r".*weight": LECUN},
}
IRNN = {"core.from_hidden.weight": identity}


def architecture(name):
    return tuple((key, param.shape) for key, param in get_task(name).meta_module().named_parameters())


SMALL = [name for name in list_tasks() if get_task(name).num_params < 50_000_000]
KINDS = {(architecture(name), "IRNN" in name): name for name in SMALL}


@pytest.mark.parametrize("name", KINDS.values())
def test_initial_parameters_are_the_reference_distribution(name):
    task = get_task(name)
    rules = {**(IRNN if "IRNN" in name else {}), **RULES[task.family]}
    for key, param in task.module().named_parameters():
        assert param.dtype == torch.float32
        check = next(check for pattern, check in rules.items() if re.fullmatch(pattern, key))
        # Everything but the outputs, which an attention's projections to heads have two axes of.
        fan_in = param.shape[-1:].numel() if param.ndim < 3 else param[0].numel()
        check(param.detach(), fan_in, task)
