"""Multi-layer perceptrons on images."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from optsuite.modules._layers import Dropout, Linear
from optsuite.noise import draw_key, fold_in

# Networks with at least so many outputs give pixels, which a loss compares with images row by row; those with
# fewer give classes, over which a softmax is faster along the batch.
_MANY = 256


class MLP(nn.Module):
    """A multi-layer perceptron: Linear, norm, dropout and activation for each hidden size, then Linear.

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
            sizes: Numbers of input, hidden and output features.
            activation: Applied to every hidden layer.
            norm: Function that makes a normalisation layer, given the number of features.
            dropout_rate: Probability of dropping a hidden activation; None for no dropout.
        """
        super().__init__()
        self.linears = nn.ModuleList(map(Linear, sizes, sizes[1:]))
        self.norms = nn.ModuleList(map(norm, sizes[1:-1]))
        self.activation = activation
        self.dropout = None if dropout_rate is None else Dropout(dropout_rate)
        self.roles = {"linears.0.weight": "input", f"linears.{len(sizes) - 2}.weight": "output"}

    def forward(self, images: Tensor, key: Tensor | None = None) -> Tensor:
        """Return the outputs of the last layer, (B, sizes[-1]).

        Args:
            images: (B, C, Y, X).
            key: Key that decides what is dropped, (), int64; None draws one from torch's generator.
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
