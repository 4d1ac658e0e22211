"""Decoder-only transformers for language."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from optsuite.modules._init import truncated_normal_, variance_scaling_
from optsuite.modules._layers import Dense, Dropout, Embedding, FeedForward, LayerNorm, attend
from optsuite.noise import draw_key, fold_in

_KEY_SIZE = 32  # features of every head, whatever the width of the model


class TransformerLM(nn.Module):
    """A transformer: Embedding, pre-norm blocks of causal self-attention and MLP, norm, Dense.

    Positions are not embedded. A token attends to itself and those before it that are no padding; where there
    is none, to all alike.

    Source: learned_optimization, `tasks/transformer.py`.
    """

    roles: ClassVar[Mapping[str, str]] = {"head.weight": "output"}

    def __init__(
        self,
        vocab_size: int,
        num_features: int,
        num_layers: int,
        num_heads: int,
        *,
        dropout_rate: float = 0.0,
    ) -> None:
        """Build and initialise.

        Args:
            vocab_size: Number of tokens; 0 is padding.
            num_features: Width of the residual stream.
            num_layers: Number of blocks.
            num_heads: Number of heads of each attention, of 32 features each.
            dropout_rate: Probability of dropping a feature of a block's output.
        """
        super().__init__()
        self.embedding = Embedding(vocab_size, num_features)
        self.blocks = nn.ModuleList(
            _Block(num_features, num_heads, 2 / num_layers, dropout_rate) for _ in range(num_layers)
        )
        self.norm = LayerNorm(num_features, dim=-1)
        self.head = Dense(num_features, vocab_size)
        truncated_normal_(self.head.weight, 1 / math.sqrt(num_features))
        self.dropout_rate = dropout_rate

    def forward(self, tokens: Tensor, key: Tensor | None = None) -> Tensor:
        """Return the logits of each next token, (B, T, vocab_size).

        Args:
            tokens: int64 (B, T).
            key: Key that decides what is dropped, (), int64; None draws one from torch's generator.
        """
        if self.dropout_rate and key is None:
            key = draw_key(tokens.device)
        length = tokens.shape[-1]
        is_past = torch.ones(length, length, dtype=torch.bool, device=tokens.device).tril()
        allowed = (is_past & (tokens != 0)[:, None, :])[:, None]  # (B, 1, T, T)
        hidden = self.embedding(tokens)
        for layer, block in enumerate(self.blocks):
            hidden = block(hidden, allowed, key if key is None else fold_in(key, layer))
        logits: Tensor = self.head(self.norm(hidden))
        return logits


class _Block(nn.Module):
    def __init__(self, num_features: int, num_heads: int, scale: float, dropout_rate: float) -> None:
        super().__init__()
        self.attention_norm = LayerNorm(num_features, dim=-1)
        self.attention = _CausalAttention(num_features, num_heads)
        self.mlp_norm = LayerNorm(num_features, dim=-1)
        self.mlp = FeedForward(num_features, 4 * num_features)
        for layer in (*self.attention.layers(), self.mlp.hidden, self.mlp.out):
            variance_scaling_(layer.weight, layer.weight.shape[1], scale)
        self.dropout = Dropout(dropout_rate)

    def forward(self, hidden: Tensor, allowed: Tensor, key: Tensor | None) -> Tensor:
        """Map (B, T, num_features) to the same shape."""
        hidden = hidden + self._drop(self.attention(self.attention_norm(hidden), allowed), key, 0)
        return hidden + self._drop(self.mlp(self.mlp_norm(hidden)), key, 1)

    def _drop(self, outputs: Tensor, key: Tensor | None, number: int) -> Tensor:
        if key is None or not self.dropout.rate:
            return outputs
        dropped: Tensor = self.dropout(outputs, fold_in(key, number))
        return dropped


class _CausalAttention(nn.Module):
    def __init__(self, num_features: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        inner = num_heads * _KEY_SIZE
        self.query = Dense(num_features, inner)
        self.key = Dense(num_features, inner)
        self.value = Dense(num_features, inner)
        self.out = Dense(inner, num_features)

    def forward(self, hidden: Tensor, allowed: Tensor) -> Tensor:
        """Map (B, T, num_features) to the same shape."""
        query, key, value = (layer(hidden) for layer in (self.query, self.key, self.value))
        mixed: Tensor = self.out(attend(query, key, value, num_heads=self.num_heads, allowed=allowed))
        return mixed

    def layers(self) -> tuple[Dense, ...]:
        """Return all layers of the attention."""
        return self.query, self.key, self.value, self.out
