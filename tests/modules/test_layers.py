"""Layers are those of torch, less the running state."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from optsuite.modules import MLP, BatchNorm, ConvNet, Dropout, LayerNorm, Linear


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def with_random_affine(layer):
    with torch.no_grad():
        for seed, param in enumerate(layer.parameters()):
            param.copy_(normal(*param.shape, seed=seed))
    return layer


def test_linear_is_that_of_torch_with_features_first():
    ours, theirs = with_random_affine(Linear(5, 3)), nn.Linear(5, 3)
    theirs.load_state_dict(ours.state_dict())
    inputs = normal(7, 5)
    torch.testing.assert_close(ours(inputs.mT).mT, theirs(inputs))


@pytest.mark.parametrize("shape", [(16, 6), (4, 6, 5, 3)], ids=str)
def test_batch_norm_is_that_of_torch_in_training(shape):
    ours = with_random_affine(BatchNorm(6))
    theirs = (nn.BatchNorm1d if len(shape) == 2 else nn.BatchNorm2d)(6)
    theirs.load_state_dict(ours.state_dict(), strict=False)
    inputs = 3 + 2 * normal(*shape, seed=9)
    torch.testing.assert_close(ours(inputs), theirs.train()(inputs), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours.eval()(inputs), ours.train()(inputs), rtol=0, atol=0)
    assert list(ours.buffers()) == []


@pytest.mark.parametrize("shape", [(16, 6), (4, 6, 5, 3)], ids=str)
def test_layer_norm_is_that_of_torch_over_channels(shape):
    ours, theirs = with_random_affine(LayerNorm(6)), nn.LayerNorm(6)
    theirs.load_state_dict(ours.state_dict())
    inputs = 3 + 2 * normal(*shape, seed=9)
    expected = theirs(inputs.movedim(1, -1)).movedim(-1, 1)
    torch.testing.assert_close(ours(inputs), expected, rtol=1e-5, atol=1e-5)
    assert list(ours.buffers()) == []


@pytest.mark.parametrize("layer", [BatchNorm(4), LayerNorm(4)], ids=["batch", "layer"])
def test_constant_inputs_normalise_to_zero(layer):
    assert layer(torch.full((8, 4), 2.0)).abs().max() == 0


@pytest.mark.parametrize("rate", [0.2, 0.5, 0.8])
def test_dropout_keeps_one_minus_rate_and_the_mean(rate):
    count = 200_000
    outputs = Dropout(rate)(torch.ones(count), torch.tensor(3))
    error = 5 * (rate * (1 - rate) / count) ** 0.5
    assert (outputs != 0).float().mean().item() == pytest.approx(1 - rate, abs=error)
    assert outputs.mean().item() == pytest.approx(1, abs=error / (1 - rate))
    assert outputs.max().item() == pytest.approx(1 / (1 - rate))


def test_dropout_of_rate_zero_is_the_identity():
    inputs = normal(50)
    assert torch.equal(Dropout(0.0)(inputs, torch.tensor(3)), inputs)


def test_dropout_stays_on_in_evaluation():
    layer, inputs = Dropout(0.5), torch.ones(1000)
    assert torch.equal(layer.eval()(inputs, torch.tensor(3)), layer.train()(inputs, torch.tensor(3)))
    assert (layer.eval()(inputs, torch.tensor(3)) == 0).any()


def test_dropout_of_a_layer_has_its_own_mask():
    """The last Linear shows which hidden activations stayed."""
    module = MLP([4, 64, 64, 64], activation=torch.abs, dropout_rate=0.5)
    with torch.no_grad():
        module.linears[0].weight.zero_()
        module.linears[0].bias.fill_(1.0)
        for linear in module.linears[1:]:
            linear.weight.copy_(torch.eye(64))
    both = module(torch.zeros(100, 4, 1, 1), torch.tensor(1)) != 0
    assert both.float().mean().item() == pytest.approx(0.25, abs=0.03)


def test_mlp_drops_before_the_activation():
    """Dropped activations become sigmoid(0) rather than 0."""
    module = MLP([1, 1000, 1], activation=torch.sigmoid, dropout_rate=0.5)
    with torch.no_grad():
        module.linears[0].weight.zero_()
        module.linears[0].bias.fill_(-100.0)
        module.linears[1].weight.fill_(1e-3)
    mean_activation = module(torch.zeros(1, 1, 1, 1), torch.tensor(1)).item()
    assert mean_activation == pytest.approx(0.5 * 0.5, abs=0.05)


def test_mlp_normalises_before_the_activation():
    module = MLP([3, 8, 2], norm=BatchNorm)
    hidden = []
    module.linears[1].register_forward_pre_hook(lambda _, inputs: hidden.append(inputs[0]))
    module(normal(64, 3, 1, 1))
    assert hidden[0].min() == 0  # of relu
    assert (hidden[0] == 0).float().mean().item() == pytest.approx(0.5, abs=0.15)


def test_conv_net_normalises_after_the_activation():
    module = ConvNet(3, [4, 6], 2, norm=BatchNorm)
    hidden = []
    module.head.register_forward_pre_hook(lambda _, inputs: hidden.append(inputs[0]))
    module(normal(8, 3, 8, 8))
    assert hidden[0].shape == (6, 8)
    assert hidden[0].mean(1).abs().max() < 1e-5  # a mean of normalised channels
