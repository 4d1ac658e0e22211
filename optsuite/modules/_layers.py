"""Layers with the reference's initialisers; none keeps state from batch to batch.

Layers of networks on sequences, from `Dense` on, have their features last.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from optsuite.modules._init import truncated_normal_
from optsuite.noise import uniform

# Finite, so that a row with nothing allowed attends to every position alike instead of giving NaN.
_FORBIDDEN = -1e30


class Linear(nn.Module):
    """A linear layer that maps columns x to `weight @ x + bias`.

    Weights start out truncated normal of deviation 0.88 / sqrt(in), biases at 0. Features come first: the
    products of many trials with one shared input then fold into a single large one, and what follows (bias,
    activation, softmax over few classes) runs along the batch.

    Source: dm-haiku, `hk.Linear`.
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_features, in_features))
        self.bias = nn.Parameter(torch.zeros(out_features))
        truncated_normal_(self.weight, 1 / math.sqrt(in_features))

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (in, B) to (out, B)."""
        return self.weight @ inputs + self.bias[:, None]

    def in_rows(self, inputs: Tensor) -> Tensor:
        """Map (in, B) to (B, out)."""
        return F.linear(inputs.mT, self.weight, self.bias)


class BatchNorm(nn.Module):
    """A layer that normalises each channel over all else, always by the statistics of the batch at hand.

    Source: dm-haiku, `hk.BatchNorm` in training mode (biased variance, eps 1e-5).
    """

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (B, C) or (B, C, Y, X) to the same shape."""
        dims = [d for d in range(inputs.ndim) if d != 1]
        return _affine(_normalize(inputs, dims, 1e-5), self.weight, self.bias, 1)


class LayerNorm(nn.Module):
    """A layer that normalises along one axis: features of an example or a token, or channels of a pixel.

    Args:
        num_features: Number of features or channels.
        dim: Axis that holds them.
        eps: Number added to the variance.

    Source: dm-haiku, `hk.LayerNorm` over the last axis of its channels-last layout (eps 1e-5).
    """

    def __init__(self, num_features: int, *, dim: int = 1, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))
        self.dim = dim
        self.eps = eps

    def forward(self, inputs: Tensor) -> Tensor:
        """Map any shape to the same shape."""
        return _affine(_normalize(inputs, [self.dim], self.eps), self.weight, self.bias, self.dim)


class Dropout(nn.Module):
    """A layer that zeroes each activation with probability `rate` and divides the rest by 1 - rate.

    It does so in evaluation too, as the reference does.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, inputs: Tensor, key: Tensor) -> Tensor:
        """Map any shape to the same shape; `key` decides which activations stay."""
        keep = uniform(key, inputs.shape) >= self.rate
        return torch.where(keep, inputs / (1 - self.rate), 0.0)


def _normalize(inputs: Tensor, dims: list[int], eps: float) -> Tensor:
    var, mean = torch.var_mean(inputs, dims, correction=0, keepdim=True)
    return (inputs - mean) * torch.rsqrt(var + eps)


def _affine(inputs: Tensor, weight: Tensor, bias: Tensor, dim: int) -> Tensor:
    shape = (-1,) + (1,) * (inputs.ndim - 1 - dim % inputs.ndim)
    return inputs * weight.view(shape) + bias.view(shape)


class Dense(nn.Module):
    """A linear layer on the last axis, `inputs @ weight.T + bias`; the caller initialises the weight.

    Source: flax, `nn.Dense`.
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_features, in_features))
        self.bias = nn.Parameter(torch.zeros(out_features))

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (..., in) to (..., out)."""
        return F.linear(inputs, self.weight, self.bias)


class Embedding(nn.Module):
    """A layer that looks up a row for each token; rows start as truncated normals of deviation 0.88.

    Source: dm-haiku, `hk.Embed`.
    """

    def __init__(self, vocab_size: int, num_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(vocab_size, num_features))
        truncated_normal_(self.weight, 1.0)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map int64 (...) to (..., num_features)."""
        return F.embedding(tokens, self.weight)


class FeedForward(nn.Module):
    """Dense, GELU (tanh form) and Dense back to the same features; the caller initialises the weights."""

    def __init__(self, num_features: int, hidden_features: int) -> None:
        super().__init__()
        self.hidden = Dense(num_features, hidden_features)
        self.out = Dense(hidden_features, num_features)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (..., num_features) to the same shape."""
        outputs: Tensor = self.out(F.gelu(self.hidden(inputs), approximate="tanh"))
        return outputs


def attend(
    query: Tensor, key: Tensor, value: Tensor, *, num_heads: int, allowed: Tensor | None = None
) -> Tensor:
    """Return the scaled dot-product attention of several heads, (B, T, num_heads * V).

    Args:
        query: (B, T, num_heads * K).
        key: (B, T, num_heads * K).
        value: (B, T, num_heads * V).
        num_heads: Number of heads, each of which has its share of the features.
        allowed: Positions (last axis) that each position may read, bool; broadcasts to (B, num_heads, T, T).
    """
    query, key, value = (x.view(*x.shape[:-1], num_heads, -1).transpose(1, 2) for x in (query, key, value))
    scores = query @ key.mT / math.sqrt(query.shape[-1])
    if allowed is not None:
        scores = scores.masked_fill(~allowed, _FORBIDDEN)
    return (scores.softmax(-1) @ value).transpose(1, 2).flatten(-2)
