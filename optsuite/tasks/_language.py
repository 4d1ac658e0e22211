"""Losses of next tokens and their means, which the language families share."""

from __future__ import annotations

import math
from functools import partial

import torch.nn.functional as F
from torch import Tensor

from optsuite._types import Batch
from optsuite.tasks._task import Task, unchanged


def token_losses(logits: Tensor, targets: Tensor) -> Tensor:
    """Softmax cross entropy of each token.

    Args:
        logits: (..., V).
        targets: int64 (...).

    Returns:
        Of the shape of `targets`.
    """
    losses = F.cross_entropy(logits.flatten(0, -2), targets.flatten(), reduction="none")
    return losses.view(targets.shape)


def mean_loss(losses: Tensor, batch: Batch) -> Tensor:
    """Mean over the tokens whose input is no padding; NaN if there is none.

    Args:
        losses: (B, T).
        batch: `obs`, int64 (B, T).

    Source: learned_optimization, the losses of `tasks/fixed/rnn_lm.py` and `transformer_lm.py`.
    """
    is_token = batch["obs"] != 0
    return (losses * is_token).sum() / is_token.sum()


def bits_per_token(losses: Tensor, batch: Batch) -> Tensor:
    """The same mean in bits: of a byte vocabulary, bits per byte."""
    return mean_loss(losses, batch) / math.log(2)


language_model = partial(
    Task, loss_fn=mean_loss, normalize_fn=unchanged, metric_fns={"bits_per_token": bits_per_token}
)
"""Makes a task of next tokens from what is left: name, family, data, network, and losses of tokens."""
