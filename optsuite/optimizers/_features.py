"""Pieces that learned optimizers share which run a small network for each parameter.

All tensors are laid out as one vector, so that few large operations do the work of many small ones. Features
come first, (F, P), where P is the number of parameters: the network's products then run along them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from optsuite._types import Params
from optsuite.modules import truncated_normal_
from optsuite.tree import numbers_on

Layers = Sequence[tuple[Tensor, Tensor]]
"""Weights (in, out) and biases (out,) of a network, layer by layer."""

_TIME_SCALES = (1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000)
NUM_TIME_FEATURES = len(_TIME_SCALES)
_EPS = 1e-5


def flatten(tree: Params) -> Tensor:
    """Lay out all tensors as one vector, (P,)."""
    return torch.cat([leaf.reshape(-1) for leaf in tree.values()])


def unflatten(vector: Tensor, like: Params) -> Params:
    """Cut a vector (P,) into tensors of the names and shapes of `like`."""
    parts = torch.split(vector, [leaf.numel() for leaf in like.values()])
    return {name: part.view(leaf.shape) for part, (name, leaf) in zip(parts, like.items(), strict=True)}


def time_features(step: Tensor, like: Tensor) -> Tensor:
    """Return tanh(step / s - 1) for time scales s from 1 to 100,000, (11,), as `like` in type and device."""
    scales = numbers_on(like.device, _TIME_SCALES)
    return torch.tanh(step / scales - 1).to(like.dtype)


def moving_averages(old: Tensor, new: Tensor, decays: Tensor) -> Tensor:
    """Return d * old + (1 - d) * new for each of the decays d.

    Args:
        old: (D, ...).
        new: (...).
        decays: (D,).
    """
    decays = decays.to(old.dtype).view(-1, *[1] * (old.ndim - 1))
    return decays * old + (1 - decays) * new


def init_layers(sizes: Sequence[int]) -> Layers:
    """Draw a network: weights truncated normal of deviation 0.88 / sqrt(in), biases 0."""
    return [
        (truncated_normal_(torch.empty(n_in, n_out), 1 / math.sqrt(n_in)), torch.zeros(n_out))
        for n_in, n_out in itertools.pairwise(sizes)
    ]


def network_updates(
    layers: Layers, features: Tensor, time: Tensor, like: Params, *, exp_mult: float, step_mult: float
) -> Params:
    """Run the network for each parameter; its outputs are the direction and the log-size of an update.

    Args:
        layers: The network, relu between its layers; two outputs.
        features: (F, P), inputs that differ from parameter to parameter. Each reaches the network divided by
            its root mean square over the tensor.
        time: (T,), inputs after these that do not.
        like: The tensors.
        exp_mult: Factor of the second output, before its exponential is taken.
        step_mult: Factor of all updates.

    Returns:
        The updates, shaped as `like`.
    """
    (weight, bias), *rest = layers
    num_features = features.shape[0]
    products = _over_rms_product(weight[:num_features], features, like)
    hidden = products + (time @ weight[num_features:] + bias)[:, None]
    for weight, bias in rest:
        hidden = weight.mT @ F.relu(hidden) + bias[:, None]
    direction, magnitude = hidden.unbind()
    return unflatten(-step_mult * direction * torch.exp(exp_mult * magnitude), like)


def _over_rms_product(weight: Tensor, features: Tensor, like: Params) -> Tensor:
    """Multiply the transpose of weights (F, out) with features over their root mean squares, (out, P)."""
    by_tensor = torch.split(features, [leaf.numel() for leaf in like.values()], dim=1)
    factors = [torch.rsqrt(_mean_square(part) + _EPS) for part in by_tensor]
    if weight.shape[1] < weight.shape[0]:  # laying the products side by side takes less than the features
        products = [(weight * f).mT @ part for f, part in zip(factors, by_tensor, strict=True)]
        return torch.cat(products, dim=1)
    spread = [f.expand(part.shape) for f, part in zip(factors, by_tensor, strict=True)]
    return weight.mT @ (features * torch.cat(spread, dim=1))


def _mean_square(features: Tensor) -> Tensor:
    """Average squares over the last axis, which stays: (F, 1)."""
    square: Tensor = torch.linalg.vector_norm(features, dim=1, keepdim=True).square()
    return square / features.shape[1]
