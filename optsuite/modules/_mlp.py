"""Multi-layer perceptrons on images."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from optsuite.modules._layers import Dropout, Linear
from optsuite.noise import draw_key, fold_in

# Outputs: so many are pixels, which a loss compares with images row by row; few are classes, over which a
# softmax is faster along the batch.
_MANY = 256


class MLP(nn.Module):
    """Flatten, then Linear, norm, dropout, activation on each hidden size, then Linear.

    Source: learned_optimization, `tasks/fixed/image_mlp.py` (dropout before the activation).
    """

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        activation: Callable[[Tensor], Tensor] = torch.relu,
        norm: Callable[[int], nn.Module] = lambda _: nn.Identity(),
        dropout_rate: float | None = None,
    ) -> None:
        """Build and initialise.

        Args:
            sizes: Input, hidden and output features.
            activation: Applied to every hidden layer.
            norm: Makes the normalisation layer for so many features.
            dropout_rate: Probability of dropping a hidden activation; None for no dropout.
        """
        super().__init__()
        self.linears = nn.ModuleList(map(Linear, sizes, sizes[1:]))
        self.norms = nn.ModuleList(map(norm, sizes[1:-1]))
        self.activation = activation
        self.dropout = None if dropout_rate is None else Dropout(dropout_rate)

    def forward(self, images: Tensor, key: Tensor | None = None) -> Tensor:
        """Outputs of the last layer.

        Args:
            images: (B, C, Y, X).
            key: (), int64, fixes the dropout; None draws one from torch's generator.

        Returns:
            (B, sizes[-1]).
        """
        hidden = images.flatten(1).mT  # (features, B) up to the last layer
        if self.dropout is not None and key is None:
            key = draw_key(images.device)
        for layer, (linear, norm) in enumerate(zip(self.linears, self.norms, strict=False)):
            hidden = norm(linear(hidden).mT).mT
            if self.dropout is not None and key is not None:
                hidden = self.dropout(hidden, fold_in(key, layer))
            hidden = self.activation(hidden)
        last = self.linears[-1]
        assert isinstance(last, Linear)
        return last.in_rows(hidden) if len(last.bias) >= _MANY else last(hidden).mT
