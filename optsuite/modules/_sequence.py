"""Layers of networks on sequences, whose features come last."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from optsuite.modules._init import truncated_normal_

# Finite, so that a row with nothing allowed attends to every position alike instead of giving NaN.
_FORBIDDEN = -1e30


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
