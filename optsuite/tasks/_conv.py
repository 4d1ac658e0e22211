"""Classification of images with plain convolutional networks.

Source: learned_optimization, `tasks/fixed/conv.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from optsuite.data import ImageSpec
from optsuite.modules import BatchNorm, ConvNet, LayerNorm
from optsuite.tasks._task import Task, classification, clip_loss


def _task(
    name: str,
    dataset: str,
    size: int,
    channels: Sequence[int],
    *,
    batch_size: int = 128,
    activation: Callable[[Tensor], Tensor] = torch.relu,
    norm: Callable[[int], nn.Module] = lambda _: nn.Identity(),
) -> Task:
    images = ImageSpec(dataset=dataset, size=size)
    return classification(
        name=name,
        family="conv",
        dataset=images,
        batch_size=batch_size,
        build=lambda: ConvNet(
            images.shape[0], channels, images.num_classes, activation=activation, norm=norm
        ),
        normalize_fn=clip_loss(images.num_classes, nan_is_worst=False),
    )


CONV_TASKS = (
    _task("Conv_Cifar10_8_16x32", "cifar10", 8, [16, 32]),
    _task("Conv_Cifar10_16_32x64x64", "cifar10", 16, [32, 64, 64]),
    _task("Conv_Cifar10_32x64x64", "cifar10", 32, [32, 64, 64]),
    _task("Conv_Cifar10_32x64x64_Tanh", "cifar10", 32, [32, 64, 64], activation=torch.tanh),
    _task("Conv_Cifar10_32x64x64_batchnorm", "cifar10", 32, [32, 64, 64], norm=BatchNorm),
    _task("Conv_Cifar10_32x64x64_layernorm", "cifar10", 32, [32, 64, 64], norm=LayerNorm),
    _task("Conv_Cifar100_32x64x64", "cifar100", 32, [32, 64, 64]),
    _task("Conv_Cifar100_32x64x64_BS32", "cifar100", 32, [32, 64, 64], batch_size=32),
    _task("Conv_Cifar100_32x64x64_Tanh", "cifar100", 32, [32, 64, 64], activation=torch.tanh),
    # The 16 in these two names stands for nothing.
    _task("Conv_imagenet32_16_32x64x64", "imagenet32", 32, [32, 64, 64]),
    _task("Conv_imagenet16_16_64x128x128x128", "imagenet16", 16, [64, 128, 128, 128]),
)
