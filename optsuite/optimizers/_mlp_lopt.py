"""A learned optimizer that runs a small network for each parameter, on momentum and time."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from optsuite._types import Params
from optsuite.optimizers._base import LearnedOptimizer, Optimizer, first_step, piece
from optsuite.optimizers._domains import SIZE, check_value
from optsuite.optimizers._features import (
    NUM_TIME_FEATURES,
    flatten,
    init_layers,
    moving_averages,
    network_updates,
    time_features,
)
from optsuite.tree import numbers_on

_DECAYS = (0.1, 0.5, 0.9, 0.99, 0.999, 0.9999)
_NUM_FEATURES = 2 + len(_DECAYS)  # gradient, parameter and momenta


class MLPLOptState(NamedTuple):
    """State of `mlp_lopt`."""

    step: Tensor  # (), updates made
    momenta: Tensor  # (6, P)


def mlp_lopt(
    *, hidden_size: int = 32, hidden_layers: int = 2, exp_mult: float = 0.001, step_mult: float = 0.001
) -> LearnedOptimizer:
    """Make a learned optimizer of one network: p -= step_mult * d * exp(exp_mult * s), outputs d and s.

    Its inputs are gradient, parameter and six momenta, each divided by its root mean square over the tensor,
    and eleven features of time.

    Args:
        hidden_size: Number of units in a hidden layer, >= 1.
        hidden_layers: Number of hidden layers, >= 1.
        exp_mult: Factor of s.
        step_mult: Factor of the step.

    Raises:
        HParamError: A size is out of range.

    Source: Metz et al., https://arxiv.org/abs/1810.10180;
    `learned_optimization/learned_optimizers/mlp_lopt.py`.

    Example:
        >>> learned = mlp_lopt()
        >>> theta = learned.init()
        >>> theta["mlp/~/linear_0/w"].shape
        torch.Size([19, 32])
        >>> opt = learned.optimizer(theta)
    """
    check_value("MLPLOpt", "hidden_size", hidden_size, SIZE)
    check_value("MLPLOpt", "hidden_layers", hidden_layers, SIZE)
    num_layers = hidden_layers + 1

    def init() -> Params:
        layers = init_layers([_NUM_FEATURES + NUM_TIME_FEATURES, *[hidden_size] * hidden_layers, 2])
        named = {f"mlp/~/linear_{n}": layer for n, layer in enumerate(layers)}
        return {f"{name}/{part}": t for name, (w, b) in named.items() for part, t in (("b", b), ("w", w))}

    def optimizer(theta: Params) -> Optimizer:
        names = [f"mlp/~/linear_{n}" for n in range(num_layers)]
        layers = [(theta[f"{name}/w"], theta[f"{name}/b"]) for name in names]

        def init(params: Params) -> MLPLOptState:
            flat = flatten(params)
            return MLPLOptState(first_step(params), flat.new_zeros(len(_DECAYS), len(flat)))

        def update(grads: Params, state: MLPLOptState, params: Params) -> tuple[Params, MLPLOptState]:
            grad = flatten(grads)
            momenta = moving_averages(state.momenta, grad, numbers_on(grad.device, _DECAYS))
            raw = torch.cat([grad[None], flatten(params)[None], momenta])
            time = time_features(state.step, grad)
            updates = network_updates(layers, raw, time, params, exp_mult=exp_mult, step_mult=step_mult)
            return updates, MLPLOptState(state.step + 1, momenta)

        return piece(init, update)

    return LearnedOptimizer(init, optimizer)
