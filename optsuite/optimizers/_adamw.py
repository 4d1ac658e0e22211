"""AdamW."""

from __future__ import annotations

from optsuite.optimizers._adam import scale_by_adam
from optsuite.optimizers._base import LrSchedule, Optimizer, Scalar, chain
from optsuite.optimizers._decay import add_decayed_weights
from optsuite.optimizers._lr import scale_by_lr


def adamw(
    lr: Scalar | LrSchedule,
    *,
    beta1: Scalar = 0.9,
    beta2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    weight_decay: Scalar = 1e-4,
) -> Optimizer:
    """Make AdamW, Adam with decoupled weight decay: p -= lr (adam direction + weight_decay p).

    Args:
        lr: Learning rate, >= 0, or a schedule; it multiplies the decay too.
        beta1: Decay of the moving average of the gradient, in [0, 1).
        beta2: Decay of the moving average of its square, in [0, 1).
        eps: > 0, added to the root. Nothing is added under the root, unlike in `adam`.
        weight_decay: >= 0, for every tensor. The default is optax's; torch's is 1e-2.

    Source: Loshchilov and Hutter, https://arxiv.org/abs/1711.05101;
    `learned_optimization/optimizers/optax_opts.py: AdamW`.

    Example:
        >>> opt = adamw(lr=1e-3, weight_decay=1e-2)
    """
    return chain(
        scale_by_adam(beta1=beta1, beta2=beta2, eps=eps, eps_root=0.0),
        add_decayed_weights(weight_decay),
        scale_by_lr(lr),
    )
