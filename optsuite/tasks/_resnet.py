"""Classification of ImageNet with residual networks of growing cost.

Source: learned_optimization, `tasks/fixed/resnet.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

from optsuite.data import ImageSpec
from optsuite.modules import ResNet
from optsuite.tasks._task import Task, classification, unchanged


def _task(
    number: int,
    size: int,
    batch_size: int,
    channels: Sequence[int],
    *,
    kernel: int = 3,
    blocks: Sequence[int] = (1, 1, 1, 1),
    max_pool: bool = True,
) -> Task:
    spec = ImageSpec(dataset=f"imagenet{size}", size=size)
    return classification(
        name=f"Resnet_MultiRuntime_{number}",
        family="resnet",
        dataset=spec,
        batch_size=batch_size,
        build=lambda: ResNet(3, blocks, channels, spec.num_classes, initial_kernel=kernel, max_pool=max_pool),
        normalize_fn=unchanged,
    )


RESNET_TASKS = (
    _task(0, 16, 64, [8, 16, 16, 16]),
    _task(1, 16, 64, [8, 16, 16, 32]),
    _task(2, 16, 64, [64, 128, 128, 128]),
    _task(3, 16, 192, [64, 128, 256, 512], kernel=5),
    _task(4, 16, 192, [128, 256, 512, 512], kernel=5),
    _task(5, 32, 128, [128, 256, 512, 512], kernel=5),
    _task(6, 32, 256, [128, 256, 512, 512]),
    _task(7, 32, 256, [256, 512, 512, 1024], kernel=5),
    _task(8, 64, 256, [256, 512, 1024, 1024]),
    _task(9, 64, 256, [256, 512, 1024, 1024], blocks=(1, 2, 4, 5)),
    _task(10, 64, 256, [256, 512, 1024, 1024], kernel=5, blocks=(1, 1, 3, 4), max_pool=False),
)
