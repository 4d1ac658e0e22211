"""Every task says what its parameters are for, and rules are told."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch
from torch import nn

from optsuite import get_task, list_tasks
from optsuite.errors import OptsuiteError

FAMILIES = {
    "ImageMLP_FashionMnist_Relu128x128": {
        "linears.0.weight": "input",
        "linears.1.weight": "hidden",
        "linears.2.weight": "output",
    },
    "ImageMLPAE_Mnist_128x32x128_bs128": {"linears.0.weight": "input", "linears.3.weight": "output"},
    "Conv_Cifar10_8_16x32": {
        "convs.0.weight": "input",
        "convs.1.weight": "hidden",
        "convs.1.bias": "other",
        "head.weight": "output",
    },
    "Resnet_MultiRuntime_0": {"initial_conv.weight": "input", "groups.0.0.shortcut.weight": "hidden"},
    "VIT_ImageNet64_wideshallow": {
        "patches.weight": "input",
        "positions": "other",
        "class_token": "other",
        "blocks.1.attention.key.weight": "heads",
        "blocks.1.attention.key.bias": "other",
        "blocks.1.attention.out.weight": "hidden",
        "head.weight": "output",
    },
    "MLPMixer_ImageNet64_small16": {"patches.weight": "input", "blocks.0.token_mlp.out.weight": "hidden"},
    "RNNLM_lm1bbytes_Patch32_GRU128_Embed64": {
        "embedding.weight": "input",
        "core.input_weight": "hidden",
        "core.hidden": "other",
        "head.weight": "output",
    },
    "TransformerLM_LM1B_MultiRuntime_0": {
        "embedding.weight": "input",
        "blocks.0.attention.query.weight": "hidden",
        "blocks.0.attention_norm.weight": "other",
        "head.weight": "output",
    },
    "ESWrapped_1pair_ImageMLP_Cifar10_128x128x128_Relu": {"linears.0.weight": "input"},
    "LOpt_MLPLOpt_FahionMnist_10": {
        "mlp/~/linear_0/w": "input",
        "mlp/~/linear_1/w": "hidden",
        "mlp/~/linear_2/w": "output",
    },
    "LOpt_AdafacMLPLOpt_Cifar10_8_10": {"nn/~/w0": "input", "nn/~/b0": "other", "nn/~/w2": "output"},
    "LOpt_LearnableAdam_Cifar10_8_50": {"log_lr": "other"},
}


@pytest.mark.parametrize("name", FAMILIES)
def test_parameters_have_the_roles_that_their_networks_say(name):
    roles = get_task(name).roles
    assert {param: roles[param] for param in FAMILIES[name]} == FAMILIES[name]


def test_every_parameter_of_every_task_has_a_role():
    """Networks have an input and an output, and matrices alone have roles other than `other`."""
    for name in list_tasks():
        task = get_task(name)
        assert len(task.roles) == len(task.param_shapes)
        for role, shape in zip(task.roles.values(), task.param_shapes, strict=True):
            assert len(shape) > 1 or role == "other"
        if any(len(shape) > 1 for shape in task.param_shapes):
            assert {"input", "output"} <= set(task.roles.values())


class Network(nn.Module):
    """A user's own, whose parameters are known by type and shape alone."""

    def __init__(self):
        super().__init__()
        self.tokens = nn.Embedding(5, 4)
        self.frozen = nn.Linear(4, 4).requires_grad_(requires_grad=False)
        self.body = nn.Linear(4, 4)
        self.positions = nn.Parameter(torch.zeros(1, 4))
        self.head = nn.Linear(4, 5)


def own_task(roles=None):
    def build():
        network = Network()
        if roles is not None:
            network.roles = roles
        return network

    return replace(get_task("ImageMLP_FashionMnist8_Relu32"), name="Own", build=build)


def test_roles_follow_from_type_and_shape_where_a_network_says_nothing():
    assert own_task().roles == {
        "positions": "other",
        "tokens.weight": "input",
        "body.weight": "hidden",
        "body.bias": "other",
        "head.weight": "hidden",
        "head.bias": "other",
    }


def test_the_first_pattern_that_matches_counts():
    roles = own_task({"head.weight": "output", "*.weight": "other", "frozen.*": "input"}).roles
    assert roles["head.weight"] == "output"
    assert roles["tokens.weight"] == roles["body.weight"] == "other"


BAD = [
    ({"haed.*": "output"}, "the network of `Own` has no parameter `haed.*`, which its `roles` name: it has"),
    ({"head.*": "head"}, "has the role 'head' for `head.*` in its `roles`: it must be one of input, hidden"),
    (["head"], "`roles` of the network of `Own` must be a mapping"),
]


@pytest.mark.parametrize(("roles", "words"), BAD)
def test_roles_that_mean_nothing_are_refused(roles, words):
    with pytest.raises(OptsuiteError, match=re.escape(words)):
        _ = own_task(roles).roles
