"""Evolution strategies with antithetic pairs, from losses alone."""

from __future__ import annotations

from torch import Tensor
from torch.func import vmap

from optsuite._types import Batch, Params
from optsuite.gradients._base import Carry, GradientEstimator, Loss, perturbations, remember_nothing
from optsuite.tree import tree_map


def antithetic_es(num_pairs: int, std: float) -> GradientEstimator:
    """Estimate the gradient as the mean over pairs of e (L(p + e) - L(p - e)) / (2 std^2).

    The loss is that at p, or NaN where a loss at p + e or p - e is not finite: the next step could not be
    taken. Nothing is remembered.

    Args:
        num_pairs: Number of draws of the noise e, normal of deviation `std`; all losses of a step share batch
            and key.
        std: In units of the parameters, the same for all of them.

    Source: learned_optimization, `tasks/es_wrapper.py`.

    Example:
        >>> import torch
        >>> params = {"x": torch.tensor([1.0])}
        >>> estimator = antithetic_es(1000, std=0.01)
        >>> grads, loss, _ = estimator.estimate(
        ...     lambda p, *_: 3 * p["x"].sum(), params, (), {}, torch.tensor(0)
        ... )
        >>> round(grads["x"].item()), loss
        (3, tensor(3.))
    """

    def estimate(
        loss: Loss, params: Params, carry: Carry, batch: Batch, key: Tensor
    ) -> tuple[Params, Tensor, Carry]:
        noise = perturbations(params, key, num_pairs, std)

        def losses_at(sign: int) -> Tensor:
            def shifted(shift: Params) -> Tensor:
                return loss(tree_map(lambda param, e: param + sign * e, params, shift), batch, key)

            losses: Tensor = vmap(shifted)(noise)
            return losses

        slopes = (losses_at(1) - losses_at(-1)) / (2 * std**2 * num_pairs)
        # Zero where all numbers are finite, else NaN.
        zero = sum(((0 * param).sum() for param in params.values()), (0 * slopes).sum())
        value = loss(params, batch, key) + zero
        grads = tree_map(
            lambda e, param: (e.reshape(num_pairs, -1).mT @ slopes).view_as(param), noise, params
        )
        return grads, value, carry

    return GradientEstimator(remember_nothing, estimate)
