"""Tasks whose gradient is estimated by evolution strategies, from losses alone.

Source: learned_optimization, `tasks/fixed/es_wrapped.py`.
"""

from __future__ import annotations

from dataclasses import replace

from optsuite.gradients import antithetic_es
from optsuite.tasks._image_mlp import IMAGE_MLP_TASKS
from optsuite.tasks._task import Task


def _task(num_pairs: int, inner_name: str) -> Task:
    (inner,) = (task for task in IMAGE_MLP_TASKS if task.name == inner_name)
    name = f"ESWrapped_{num_pairs}pair_{inner_name}"
    return replace(inner, name=name, family="es_wrapped", estimator=antithetic_es(num_pairs, std=0.01))


ES_WRAPPED_TASKS = (
    _task(1, "ImageMLP_Cifar10_128x128x128_Relu"),
    _task(8, "ImageMLP_Cifar10_128x128x128_Relu"),
    _task(1, "ImageMLP_Mnist_128x128x128_Relu"),
    _task(8, "ImageMLP_Mnist_128x128x128_Relu"),
    _task(1, "ImageMLP_FashionMnist8_Relu32"),
    _task(1, "ImageMLP_Cifar10BW8_Relu32"),
)
