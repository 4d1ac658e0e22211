"""Convolution with SAME padding, against one written out in loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from optsuite.modules import Conv2d, ConvNet

# (size, kernel, stride) to the padding on either side, as the reference's library gives it.
PADDING = {
    (8, 3, 1): (1, 1),
    (7, 3, 1): (1, 1),
    (8, 3, 2): (0, 1),
    (7, 3, 2): (1, 1),
    (8, 5, 1): (2, 2),
    (8, 5, 2): (1, 2),
    (7, 5, 2): (2, 2),
    (8, 1, 1): (0, 0),
    (8, 1, 2): (0, 0),
    (7, 1, 2): (0, 0),
    (8, 2, 1): (0, 1),
    (8, 2, 2): (0, 0),
    (1, 3, 1): (1, 1),
    (1, 3, 2): (1, 1),
    (9, 3, 4): (1, 1),
    (10, 3, 4): (0, 1),
}


def pad(size, kernel, stride):
    """Pad by the law of the table, for images that are not square."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, -(-total // 2)


def convolve(images, weight, bias, stride, pad_y, pad_x):
    padded = np.pad(images, ((0, 0), (0, 0), pad_y, pad_x))
    kernel = weight.shape[-1]
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), axis=(2, 3))
    windows = windows[:, :, ::stride, ::stride]  # (B, C, Y, X, kernel, kernel)
    return np.einsum("bcyxij,ocij->boyx", windows, weight) + bias[:, None, None]


@pytest.mark.parametrize(("shape", "padding"), PADDING.items(), ids=str)
@pytest.mark.parametrize("width", [None, 6, 5], ids=["square", "even", "odd"])
def test_conv_pads_as_the_reference(shape, padding, width):
    size, kernel, stride = shape
    width, pad_x = (size, padding) if width is None else (width, pad(width, kernel, stride))
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, 3, size, width, generator=generator)
    conv = Conv2d(3, 4, kernel, stride)
    with torch.no_grad():
        conv.bias.copy_(torch.randn(4, generator=generator))
        actual = conv(images).numpy()
    weight, bias = conv.weight.detach().numpy(), conv.bias.detach().numpy()
    assert actual.shape == (2, 4, -(-size // stride), -(-width // stride))
    expected = convolve(images.numpy(), weight, bias, stride, padding, pad_x)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


def test_only_the_first_layer_of_a_conv_net_has_stride_two():
    module = ConvNet(3, [4, 5, 6], 10)
    assert [conv.stride for conv in module.convs] == [2, 1, 1]
    assert module(torch.zeros(7, 3, 9, 9)).shape == (7, 10)
