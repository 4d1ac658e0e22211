"""Residual networks for images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from optsuite.modules._conv import Conv2d, same_padding
from optsuite.modules._layers import BatchNorm, Linear

_STRIDES = (1, 2, 2, 2)
_INITIAL_CHANNELS = 64


class ResNet(nn.Module):
    """A pre-activation bottleneck network: convolution, four groups of blocks, norm, mean, Linear of zeros.

    Source: He et al., "Identity mappings in deep residual networks", 2016; dm-haiku, `hk.nets.ResNet`, whose
    version 2 projects the shortcut of every group's first block.
    """

    roles: ClassVar[Mapping[str, str]] = {"initial_conv.weight": "input", "head.weight": "output"}

    def __init__(
        self,
        in_channels: int,
        blocks: Sequence[int],
        channels: Sequence[int],
        num_classes: int,
        *,
        initial_kernel: int,
        max_pool: bool,
    ) -> None:
        """Build and initialise.

        Args:
            in_channels: Channels of the images.
            blocks: Number of blocks of each of the four groups.
            channels: Output channels of each group, multiples of 4.
            num_classes: Number of outputs.
            initial_kernel: Width of the first convolution, whose stride is 2.
            max_pool: Whether the first convolution is followed by a 3x3 pooling of stride 2.
        """
        super().__init__()
        self.initial_conv = Conv2d(in_channels, _INITIAL_CHANNELS, initial_kernel, 2, bias=False)
        self.max_pool = max_pool
        sizes = zip([_INITIAL_CHANNELS, *channels], channels, blocks, _STRIDES, strict=False)
        self.groups = nn.ModuleList(_group(*size) for size in sizes)
        self.norm = BatchNorm(channels[-1])
        self.head = Linear(channels[-1], num_classes)
        nn.init.zeros_(self.head.weight)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of the classes, (B, num_classes), for images (B, C, Y, X)."""
        hidden = self.initial_conv(images)
        if self.max_pool:
            hidden = _max_pool(hidden)
        for group in self.groups:
            hidden = group(hidden)
        hidden = torch.relu(self.norm(hidden))
        logits: Tensor = self.head(hidden.mean((-2, -1)).mT)
        return logits.mT


def _group(in_channels: int, channels: int, num_blocks: int, stride: int) -> nn.Sequential:
    first = _Block(in_channels, channels, stride, is_first=True)
    others = (_Block(channels, channels, 1, is_first=False) for _ in range(num_blocks - 1))
    return nn.Sequential(first, *others)


class _Block(nn.Module):
    """A block of three times norm, relu, convolution, beside a shortcut.

    The convolutions are 1x1 to a quarter of the channels, 3x3, and 1x1 to all channels.
    """

    def __init__(self, in_channels: int, channels: int, stride: int, *, is_first: bool) -> None:
        super().__init__()
        narrow = channels // 4
        sizes = (in_channels, narrow, narrow, channels)
        self.norms = nn.ModuleList(map(BatchNorm, sizes[:3]))
        shapes = zip(sizes, sizes[1:], (1, 3, 1), (1, stride, 1), strict=False)
        self.convs = nn.ModuleList(Conv2d(*shape, bias=False) for shape in shapes)
        self.shortcut = Conv2d(in_channels, channels, 1, stride, bias=False) if is_first else None

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (B, in, Y, X) to (B, channels, ceil(Y / stride), ceil(X / stride))."""
        hidden = shortcut = inputs
        for layer, (norm, conv) in enumerate(zip(self.norms, self.convs, strict=True)):
            hidden = torch.relu(norm(hidden))
            if layer == 0 and self.shortcut is not None:
                shortcut = self.shortcut(hidden)
            hidden = conv(hidden)
        return hidden + shortcut


def _max_pool(images: Tensor) -> Tensor:
    """Pool 3x3 pixels with stride 2 and SAME padding with -inf."""
    pad_y, pad_x = (same_padding(n, 3, 2) for n in images.shape[-2:])
    return F.max_pool2d(F.pad(images, (*pad_x, *pad_y), value=-torch.inf), 3, 2)
