"""Classification of images with multi-layer perceptrons.

Source: learned_optimization, `tasks/fixed/image_mlp.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from optsuite._types import Batch
from optsuite.data import ImageSpec
from optsuite.modules import MLP, BatchNorm, LayerNorm
from optsuite.tasks._task import Model, Task, classification, clip_loss, cross_entropy, squared_error


def _normalize_squared_error(loss: Tensor) -> Tensor:
    return 10 * loss.nan_to_num(1.0, 1.0, 1.0).clamp(max=1.0)


def _forward(model: Model, batch: Batch, key: Tensor | None) -> Tensor:
    logits: Tensor = model(batch["image"], key)
    return logits


def _task(
    name: str,
    dataset: str,
    size: int,
    hidden: Sequence[int],
    *,
    batch_size: int = 128,
    grayscale: bool = False,
    activation: Callable[[Tensor], Tensor] = torch.relu,
    norm: Callable[[int], nn.Module] = lambda _: nn.Identity(),
    mse: bool = False,
    dropout_rate: float | None = None,
) -> Task:
    images = ImageSpec(dataset=dataset, size=size, grayscale=grayscale)
    sizes = [math.prod(images.shape), *hidden, images.num_classes]
    return classification(
        name=name,
        family="image_mlp",
        dataset=images,
        batch_size=batch_size,
        build=lambda: MLP(sizes, activation=activation, norm=norm, dropout_rate=dropout_rate),
        forward=_forward,
        loss_fn=squared_error if mse else cross_entropy,
        normalize_fn=(_normalize_squared_error if mse else clip_loss(images.num_classes, nan_is_worst=True)),
    )


_P = "ImageMLP_"
_C = "ImageMLP_Cifar10_"

IMAGE_MLP_TASKS = (
    _task(_P + "Cifar10BW8_Relu32", "cifar10", 8, [32], grayscale=True),
    _task(_P + "Cifar10_8_Relu32", "cifar10", 8, [32]),
    _task(_P + "FashionMnist_Relu128x128", "fashion_mnist", 28, [128, 128]),
    _task(_P + "FashionMnist8_Relu32", "fashion_mnist", 8, [32]),
    _task(_P + "FashionMnist16_Relu32", "fashion_mnist", 16, [32]),
    _task(_P + "FashionMnist32_Relu32", "fashion_mnist", 32, [32]),
    _task(_P + "Mnist_128x128x128_Relu", "mnist", 28, [128] * 3),
    _task(_P + "Imagenet16_Relu256x256x256", "imagenet16", 16, [256] * 3),
    _task(_P + "Cifar100_128x128x128_Relu", "cifar100", 32, [128] * 3),
    _task(_C + "128x128x128_Relu", "cifar10", 32, [128] * 3),
    _task(_C + "128x128x128_Tanh_bs64", "cifar10", 32, [128] * 3, activation=torch.tanh, batch_size=64),
    _task(_C + "128x128x128_Tanh_bs128", "cifar10", 32, [128] * 3, activation=torch.tanh),
    _task(_C + "128x128x128_Tanh_bs256", "cifar10", 32, [128] * 3, activation=torch.tanh, batch_size=256),
    _task(_C + "256x256_Relu", "cifar10", 32, [256] * 2),
    _task(_C + "256x256_Relu_BS32", "cifar10", 32, [256] * 2, batch_size=32),
    _task(_C + "1024x1024_Relu", "cifar10", 32, [1024] * 2),
    _task(_C + "4096x4096_Relu", "cifar10", 32, [4096] * 2),
    _task(_C + "8192x8192_Relu", "cifar10", 32, [8192] * 2),
    _task(_C + "16384x16384_Relu", "cifar10", 32, [16384] * 2),
    _task(_C + "128x128x128_Relu_MSE", "cifar10", 32, [128] * 3, mse=True),
    _task(_C + "128x128_Dropout02_Relu_MSE", "cifar10", 32, [128] * 2, mse=True, dropout_rate=0.2),
    _task(_C + "128x128_Dropout05_Relu_MSE", "cifar10", 32, [128] * 2, mse=True, dropout_rate=0.5),
    _task(_C + "128x128_Dropout08_Relu_MSE", "cifar10", 32, [128] * 2, mse=True, dropout_rate=0.8),
    _task(_C + "128x128x128_LayerNorm_Relu", "cifar10", 32, [128] * 3, norm=LayerNorm),
    _task(_C + "128x128x128_LayerNorm_Tanh", "cifar10", 32, [128] * 3, norm=LayerNorm, activation=torch.tanh),
    _task(_C + "128x128x128_BatchNorm_Relu", "cifar10", 32, [128] * 3, norm=BatchNorm),
    _task(_C + "128x128x128_BatchNorm_Tanh", "cifar10", 32, [128] * 3, norm=BatchNorm, activation=torch.tanh),
)
