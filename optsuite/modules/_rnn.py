"""Recurrent networks for language."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from optsuite.modules._init import truncated_normal_, variance_scaling_
from optsuite.modules._layers import Dense, Embedding
from optsuite.modules._recurrence import gru, lstm, relu_rnn


class RNNLM(nn.Module):
    """A recurrent language model: Embedding, a recurrent layer, Dense.

    Source: learned_optimization, `tasks/fixed/rnn_lm.py`.
    """

    roles: ClassVar[Mapping[str, str]] = {"head.weight": "output"}

    def __init__(self, vocab_size: int, embedding_size: int, core: LSTM | GRU | VanillaRNN) -> None:
        """Build and initialise.

        Args:
            vocab_size: Number of tokens.
            embedding_size: Number of features of a token, which are the inputs of `core`.
            core: The recurrent layer.
        """
        super().__init__()
        self.embedding = Embedding(vocab_size, embedding_size)
        self.core = core
        self.head = Dense(core.hidden_size, vocab_size)
        truncated_normal_(self.head.weight, 1 / math.sqrt(core.hidden_size))

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits of each next token, (T, B, vocab_size).

        Args:
            tokens: int64 (T, B): time comes first, as in torch's own recurrent layers.
        """
        logits: Tensor = self.head(self.core(self.embedding(tokens)))
        return logits


class LSTM(nn.Module):
    """A layer of long short-term memory with learned first states; 1 is added to the forget gate.

    Source: dm-haiku, `hk.LSTM`: one truncated normal matrix of deviation 0.88 / sqrt(in + hidden).
    """

    def __init__(self, in_features: int, hidden_size: int) -> None:
        super().__init__()
        self.in_features, self.hidden_size = in_features, hidden_size
        self.weight = nn.Parameter(torch.empty(4 * hidden_size, in_features + hidden_size))
        self.bias = nn.Parameter(torch.zeros(4 * hidden_size))
        self.hidden = nn.Parameter(torch.zeros(1, hidden_size))
        self.cell = nn.Parameter(torch.zeros(1, hidden_size))
        truncated_normal_(self.weight, 1 / math.sqrt(in_features + hidden_size))

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (T, B, in_features) to (T, B, hidden_size); the rows of the weight are the gates i, f, o, g."""
        input_weight, hidden_weight = self.weight.tensor_split([self.in_features], 1)
        is_forget = torch.arange(4, device=inputs.device).repeat_interleave(self.hidden_size) == 1
        states = (state.expand(inputs.shape[1], -1) for state in (self.hidden, self.cell))
        return lstm(inputs, input_weight, hidden_weight, self.bias + is_forget, *states)


class GRU(nn.Module):
    """A layer of gated recurrent units with a learned first state.

    Source: dm-haiku, `hk.GRU`.
    """

    def __init__(self, in_features: int, hidden_size: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.input_weight = nn.Parameter(torch.empty(3 * hidden_size, in_features))
        self.hidden_weight = nn.Parameter(torch.empty(3 * hidden_size, hidden_size))
        self.bias = nn.Parameter(torch.zeros(3 * hidden_size))
        self.hidden = nn.Parameter(torch.zeros(1, hidden_size))
        variance_scaling_(self.input_weight, in_features)
        variance_scaling_(self.hidden_weight, hidden_size)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (T, B, in_features) to (T, B, hidden_size); the rows of the weights are z, r, a."""
        hidden = self.hidden.expand(inputs.shape[1], -1)
        return gru(inputs, self.input_weight, self.hidden_weight, self.bias, hidden)


class VanillaRNN(nn.Module):
    """A recurrent layer: relu of linear layers of the input and of the state, with a learned first state.

    Source: dm-haiku, `hk.VanillaRNN`.
    """

    def __init__(self, in_features: int, hidden_size: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.from_input = Dense(in_features, hidden_size)
        self.from_hidden = Dense(hidden_size, hidden_size)
        self.hidden = nn.Parameter(torch.zeros(1, hidden_size))
        truncated_normal_(self.from_input.weight, 1 / math.sqrt(in_features))
        truncated_normal_(self.from_hidden.weight, 1 / math.sqrt(hidden_size))

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (T, B, in_features) to (T, B, hidden_size)."""
        bias = self.from_input.bias + self.from_hidden.bias
        hidden = self.hidden.expand(inputs.shape[1], -1)
        return relu_rnn(inputs, self.from_input.weight, self.from_hidden.weight, bias, hidden)


def IRNN(in_features: int, hidden_size: int) -> VanillaRNN:  # noqa: N802 - it stands for a layer
    """Make a vanilla RNN whose recurrent weights start as the identity, so that its state sums up the inputs.

    Source: Le, Jaitly and Hinton, "A simple way to initialize recurrent networks", 2015.
    """
    core = VanillaRNN(in_features, hidden_size)
    with torch.no_grad():  # `nn.init.eye_` on the meta device imports the compiler, which takes seconds
        core.from_hidden.weight.zero_().fill_diagonal_(1.0)
    return core
