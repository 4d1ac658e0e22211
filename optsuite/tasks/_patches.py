"""Classification of images with vision transformers and MLP-Mixers.

Source: learned_optimization, `tasks/fixed/vit.py` and `mlp_mixer.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

from optsuite.data import ImageSpec
from optsuite.modules import MLPMixer, VisionTransformer
from optsuite.tasks._task import Task, classification

_SPECS = {
    "ImageNet64": ImageSpec(dataset="imagenet64", size=64),
    "Food101_64": ImageSpec(dataset="food101", size=64),
    "Cifar100": ImageSpec(dataset="cifar100", size=32),
}


def _clip_to_ten(num_classes: int) -> Callable[[Tensor], Tensor]:
    """10 loss / ln(2 C), cut to [0, 10]; what is not finite is 10."""
    worst = math.log(2 * num_classes)

    def normalize(loss: Tensor) -> Tensor:
        return (10 * loss.nan_to_num(worst, worst, worst) / worst).clamp(0.0, 10.0)

    return normalize


def _task(
    name: str, family: str, spec: ImageSpec, network: Callable[[int, int], nn.Module], batch_size: int = 128
) -> Task:
    return classification(
        name=name,
        family=family,
        dataset=spec,
        batch_size=batch_size,
        build=lambda: network(spec.size, spec.num_classes),
        normalize_fn=_clip_to_ten(spec.num_classes),
    )


_VITS = {
    "wideshallow": partial(VisionTransformer, num_features=384, num_layers=6, num_heads=6, mlp_features=1536),
    "skinnydeep": partial(VisionTransformer, num_features=128, num_layers=10, num_heads=4, mlp_features=512),
}
_MIXERS = {
    "small16": partial(MLPMixer, num_features=768, num_layers=8, token_features=384, channel_features=3072),
    "tiny16": partial(MLPMixer, num_features=512, num_layers=5, token_features=384, channel_features=2048),
}

VIT_TASKS = tuple(
    _task(f"VIT_{title}_{size}", "vit", spec, network)
    for title, spec in _SPECS.items()
    for size, network in _VITS.items()
)

MLP_MIXER_TASKS = (
    *(
        _task(f"MLPMixer_{title}_{size}", "mlp_mixer", spec, network)
        for title, spec in _SPECS.items()
        for size, network in _MIXERS.items()
    ),
    *(
        _task(f"MLPMixer_{title}_bs256_tiny16", "mlp_mixer", spec, _MIXERS["tiny16"], batch_size=256)
        for title, spec in _SPECS.items()
    ),
)
