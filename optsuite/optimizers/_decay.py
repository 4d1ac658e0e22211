"""Weight decay, shared by several optimizers."""

from __future__ import annotations

from optsuite.optimizers._base import Optimizer, Scalar, add_scaled, stateless
from optsuite.tree import tree_map


def add_decayed_weights(weight_decay: Scalar) -> Optimizer:
    """Add `weight_decay` times the parameter, for every tensor alike.

    Args:
        weight_decay: >= 0. Put before `scale_by_lr`, it is multiplied by the learning rate too.

    Source: optax, `transforms/_adding.py: add_decayed_weights`.

    Example:
        >>> params = {"weight": torch.ones(2)}
        >>> opt = add_decayed_weights(0.5)
        >>> opt.update({"weight": torch.zeros(2)}, opt.init(params), params)[0]["weight"]
        tensor([0.5000, 0.5000])
    """
    return stateless(
        lambda grads, params: tree_map(lambda g, p: add_scaled(g, p, weight_decay), grads, params)
    )
