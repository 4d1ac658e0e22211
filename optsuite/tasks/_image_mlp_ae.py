"""Auto-encoders of images: multi-layer perceptrons with a sigmoid at the end and squared error to the input.

Source: learned_optimization, `tasks/fixed/image_mlp_ae.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from optsuite._types import Batch
from optsuite.data import ImageSpec
from optsuite.modules import MLP
from optsuite.tasks._task import Model, Task


def _forward(model: Model, batch: Batch, key: Tensor | None) -> Tensor:
    return torch.sigmoid(model(batch["image"], key))


def _reconstruction_error(pixels: Tensor, batch: Batch) -> Tensor:
    return (batch["image"].flatten(1) - pixels).square().mean()


def _clip_to_unit(loss: Tensor) -> Tensor:
    return loss.clamp(0.0, 1.0)


def _task(name: str, dataset: str, size: int, hidden: Sequence[int], batch_size: int) -> Task:
    images = ImageSpec(dataset=dataset, size=size)
    pixels = math.prod(images.shape)
    return Task(
        name=name,
        family="image_mlp_ae",
        dataset=images,
        batch_size=batch_size,
        build=lambda: MLP([pixels, *hidden, pixels]),
        forward=_forward,
        loss_fn=_reconstruction_error,
        normalize_fn=_clip_to_unit,
    )


IMAGE_MLP_AE_TASKS = (
    _task("ImageMLPAE_Cifar10_32x32x32_bs128", "cifar10", 32, [32, 32, 32], 128),
    _task("ImageMLPAE_Cifar10_256x256x256_bs128", "cifar10", 32, [256, 256, 256], 128),
    _task("ImageMLPAE_Cifar10_256x256x256_bs1024", "cifar10", 32, [256, 256, 256], 1024),
    _task("ImageMLPAE_Cifar10_128x32x128_bs256", "cifar10", 32, [128, 32, 128], 256),
    _task("ImageMLPAE_Mnist_128x32x128_bs128", "mnist", 28, [128, 32, 128], 128),
    _task("ImageMLPAE_FashionMnist_128x32x128_bs128", "fashion_mnist", 28, [128, 32, 128], 128),
)
