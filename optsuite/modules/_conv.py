"""Plain convolutional networks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from optsuite.modules._init import truncated_normal_
from optsuite.modules._layers import Linear


class Conv2d(nn.Module):
    """A convolution with SAME padding, the smaller half of it first.

    torch's symmetric `padding=` gives other numbers wherever the total is odd (even size, stride 2).

    Source: dm-haiku, `hk.Conv2D`: weights truncated normal with deviation 0.88 / sqrt(fan in), biases 0.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, stride: int, *, bias: bool = True
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.stride = stride
        truncated_normal_(self.weight, 1 / math.sqrt(in_channels * kernel * kernel))

    def forward(self, images: Tensor) -> Tensor:
        """Map (B, in, Y, X) to (B, out, ceil(Y / stride), ceil(X / stride))."""
        kernel = self.weight.shape[-1]
        pad_y, pad_x = (same_padding(n, kernel, self.stride) for n in images.shape[-2:])
        if pad_y[0] == pad_y[1] and pad_x[0] == pad_x[1]:
            return F.conv2d(images, self.weight, self.bias, self.stride, (pad_y[0], pad_x[0]))
        return F.conv2d(F.pad(images, (*pad_x, *pad_y)), self.weight, self.bias, self.stride)


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return the padding before and after an axis with which `ceil(size / stride)` windows fit."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


class ConvNet(nn.Module):
    """A network of 3x3 convolutions, each followed by activation and norm, then the mean and Linear.

    The first convolution has stride 2, the others 1.

    Source: learned_optimization, `tasks/fixed/conv.py` (the norm comes after the activation).
    """

    roles: ClassVar[Mapping[str, str]] = {"convs.0.weight": "input", "head.weight": "output"}

    def __init__(
        self,
        in_channels: int,
        channels: Sequence[int],
        num_classes: int,
        *,
        activation: Callable[[Tensor], Tensor] = torch.relu,
        norm: Callable[[int], nn.Module] = lambda _: nn.Identity(),
    ) -> None:
        """Build and initialise.

        Args:
            in_channels: Channels of the images.
            channels: Output channels of each convolution.
            num_classes: Number of outputs.
            activation: Applied after every convolution.
            norm: Function that makes a normalisation layer, given the number of channels.
        """
        super().__init__()
        strides = [2] + [1] * (len(channels) - 1)
        self.convs = nn.ModuleList(
            Conv2d(i, o, 3, s) for i, o, s in zip([in_channels, *channels], channels, strides, strict=False)
        )
        self.norms = nn.ModuleList(map(norm, channels))
        self.activation = activation
        self.head = Linear(channels[-1], num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of the classes, (B, num_classes), for images (B, C, Y, X)."""
        hidden = images
        for conv, norm in zip(self.convs, self.norms, strict=True):
            hidden = norm(self.activation(conv(hidden)))
        logits: Tensor = self.head(hidden.mean((-2, -1)).mT)
        return logits.mT
