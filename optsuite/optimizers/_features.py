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
    scales = torch.tensor(_TIME_SCALES, dtype=torch.float32, device=like.device)
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


def over_rms(features: Tensor, like: Params) -> Tensor:
    """Divide each feature (F, P) by its root mean square over each of the tensors."""
    sizes = [leaf.numel() for leaf in like.values()]
    squares = torch.split(features.square(), sizes, dim=1)
    factors = [torch.rsqrt(part.mean(1, keepdim=True) + _EPS) for part in squares]
    spread = [factor.expand(-1, size) for factor, size in zip(factors, sizes, strict=True)]
    return features * torch.cat(spread, dim=1)


def init_layers(sizes: Sequence[int]) -> Layers:
    """Draw a network: weights truncated normal of deviation 0.88 / sqrt(in), biases 0."""
    return [
        (truncated_normal_(torch.empty(n_in, n_out), 1 / math.sqrt(n_in)), torch.zeros(n_out))
        for n_in, n_out in itertools.pairwise(sizes)
    ]


def network_updates(
    layers: Layers, features: Tensor, time: Tensor, *, exp_mult: float, step_mult: float
) -> Tensor:
    """Run the network for each parameter; its outputs are the direction and the log-size of an update.

    Args:
        layers: The network, relu between its layers; two outputs.
        features: (F, P), which differ from parameter to parameter.
        time: (T,), inputs after these that do not.
        exp_mult: Factor of the second output, before its exponential is taken.
        step_mult: Factor of all updates.

    Returns:
        The updates, (P,).
    """
    (weight, bias), *rest = layers
    num_features = features.shape[0]
    hidden = weight[:num_features].mT @ features + (time @ weight[num_features:] + bias)[:, None]
    for weight, bias in rest:
        hidden = weight.mT @ F.relu(hidden) + bias[:, None]
    direction, magnitude = hidden.unbind()
    return -step_mult * direction * torch.exp(exp_mult * magnitude)
