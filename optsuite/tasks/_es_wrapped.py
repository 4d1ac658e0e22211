"""Tasks whose gradient is estimated by evolution strategies, from losses alone.

Source: learned_optimization, `tasks/es_wrapper.py` and `tasks/fixed/es_wrapped.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor
from torch.func import vmap

from optsuite._types import Batch, Params
from optsuite.noise import draw_key, fold_in, normal
from optsuite.tasks._image_mlp import IMAGE_MLP_TASKS
from optsuite.tasks._task import Bound, LossFn, Model, Task
from optsuite.tree import tree_map


def antithetic_es(num_pairs: int, std: float) -> Callable[[LossFn], LossFn]:
    """Replace the gradient of a loss by the mean over pairs of e (L(p + e) - L(p - e)) / (2 std^2).

    Args:
        num_pairs: Draws of the noise e, normal of deviation `std`; all losses share batch and key.
        std: In units of the parameters.

    Returns:
        What maps a loss to one of the same value, whose gradient is the estimate. Where a loss at p + e or
        p - e is not finite both are NaN: the next step could not be taken.
    """

    def with_estimate(loss: LossFn) -> LossFn:
        def estimated(model: Model, batch: Batch, key: Tensor | None) -> Tensor:
            bound = model if isinstance(model, Bound) else Bound(model, dict(model.named_parameters()))
            params = tree_map(torch.Tensor.detach, bound.params)
            key = draw_key(next(iter(params.values())).device) if key is None else key
            own_key = fold_in(key, -1)  # dropout folds in the numbers from 0
            noise = {
                name: std * normal(fold_in(own_key, number), (num_pairs, *param.shape))
                for number, (name, param) in enumerate(params.items())
            }

            def loss_at(sign: int) -> Tensor:
                def shifted(shift: Params) -> Tensor:
                    moved = tree_map(lambda param, e: param + sign * e, params, shift)
                    return loss(bound._replace(params=moved), batch, key)

                losses: Tensor = vmap(shifted)(noise)
                return losses

            slopes = (loss_at(1) - loss_at(-1)) / (2 * std**2 * num_pairs)
            # Zero, but with the estimate as its gradient.
            tangent = sum(
                slopes @ (noise[name].flatten(1) @ (param - params[name]).flatten())
                for name, param in bound.params.items()
            )
            return loss(bound._replace(params=params), batch, key) + tangent

        return estimated

    return with_estimate


def _task(num_pairs: int, inner_name: str) -> Task:
    (inner,) = (task for task in IMAGE_MLP_TASKS if task.name == inner_name)
    name = f"ESWrapped_{num_pairs}pair_{inner_name}"
    return replace(inner, name=name, family="es_wrapped", wrap_loss=antithetic_es(num_pairs, std=0.01))


ES_WRAPPED_TASKS = (
    _task(1, "ImageMLP_Cifar10_128x128x128_Relu"),
    _task(8, "ImageMLP_Cifar10_128x128x128_Relu"),
    _task(1, "ImageMLP_Mnist_128x128x128_Relu"),
    _task(8, "ImageMLP_Mnist_128x128x128_Relu"),
    _task(1, "ImageMLP_FashionMnist8_Relu32"),
    _task(1, "ImageMLP_Cifar10BW8_Relu32"),
)
