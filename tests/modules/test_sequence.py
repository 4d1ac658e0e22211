"""Attention, patches, and what the sequence networks must not do."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from optsuite.modules import MLPMixer, TransformerLM, VisionTransformer
from optsuite.modules._layers import attend
from optsuite.modules._patches import _Patches


def test_attention_is_that_of_torch():
    query, key, value = torch.randn(3, 2, 5, 4, 8, generator=torch.Generator().manual_seed(0))
    for allowed in (None, torch.ones(5, 5, dtype=torch.bool).tril()):
        heads = (x.transpose(1, 2) for x in (query, key, value))
        expected = F.scaled_dot_product_attention(*heads, allowed).transpose(1, 2).flatten(-2)
        flat = (x.flatten(-2) for x in (query, key, value))
        torch.testing.assert_close(attend(*flat, num_heads=4, allowed=allowed), expected)


def test_a_position_with_nothing_to_read_reads_everything_alike():
    query, key, value = torch.randn(3, 2, 5, 8, generator=torch.Generator().manual_seed(0))
    read = attend(query, key, value, num_heads=2, allowed=torch.zeros(5, 5, dtype=torch.bool))
    torch.testing.assert_close(read, value.mean(1, keepdim=True).expand(-1, 5, -1))


@pytest.fixture
def language_model():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return TransformerLM(50, 16, num_layers=2, num_heads=3)


def test_a_token_does_not_see_those_after_it(language_model):
    tokens = torch.randint(1, 50, (2, 7), generator=torch.Generator().manual_seed(0))
    changed = tokens.clone()
    changed[:, 4] = 1 + tokens[:, 4] % 49
    before, after = language_model(tokens), language_model(changed)
    torch.testing.assert_close(before[:, :4], after[:, :4])
    assert not torch.allclose(before[:, 5:], after[:, 5:])


def test_a_token_does_not_see_padding_before_it(language_model):
    """Another embedding of padding changes the prediction at the padding only."""
    tokens = torch.randint(1, 50, (2, 7), generator=torch.Generator().manual_seed(0))
    tokens[:, 2] = 0
    with torch.no_grad():
        before = language_model(tokens)
        language_model.embedding.weight[0] += 1.0
        after = language_model(tokens)
    others = [0, 1, 3, 4, 5, 6]
    torch.testing.assert_close(before[:, others], after[:, others])
    assert not torch.allclose(before[:, 2], after[:, 2])


def test_patches_are_a_convolution_as_wide_as_its_stride():
    layer = _Patches(7)
    torch.nn.init.normal_(layer.bias)
    images = torch.rand(2, 3, 48, 32)
    expected = F.conv2d(images, layer.weight, layer.bias, stride=16).flatten(2).mT
    torch.testing.assert_close(layer(images), expected)


@pytest.mark.parametrize("num_tokens", [4, 16])
def test_the_class_token_and_the_mixers_see_every_patch(num_tokens):
    size = 16 * round(num_tokens**0.5)
    sizes = {"num_features": 8, "num_layers": 2}
    vit = VisionTransformer(size, 5, **sizes, num_heads=2, mlp_features=16)
    mixer = MLPMixer(size, 5, **sizes, token_features=6, channel_features=16)
    for network in (vit, mixer):
        torch.nn.init.normal_(network.head.weight)
        images = torch.rand(1, 3, size, size, requires_grad=True)
        (grad,) = torch.autograd.grad(network(images).square().sum(), images)
        patches = grad.unflatten(-1, (-1, 16)).unflatten(-3, (-1, 16)).abs().sum((0, 1, 3, 5))
        assert (patches > 0).all()
