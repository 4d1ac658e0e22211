"""Layer-wise step sizes, shared by several optimizers."""

from __future__ import annotations

import torch
from torch import Tensor

from optsuite.optimizers._base import Optimizer, Scalar, cast, stateless
from optsuite.tree import tree_map


def scale_by_trust_ratio(*, trust_coefficient: Scalar = 1.0, min_norm: Scalar = 0.0) -> Optimizer:
    """Scale each tensor by the size of its parameter over its own: trust_coefficient |p| / |u|.

    If either norm is 0, such as at a fresh bias, u is passed on as it is.

    Args:
        trust_coefficient: >= 0.
        min_norm: Lower bound of both norms, >= 0.

    Source: optax, `_src/transform.py: scale_by_trust_ratio`.

    Example:
        >>> params = {"weight": torch.tensor([3.0, 4.0]), "bias": torch.zeros(1)}
        >>> grads = {"weight": torch.tensor([1.0, 0.0]), "bias": torch.ones(1)}
        >>> opt = scale_by_trust_ratio()
        >>> opt.update(grads, opt.init(params), params)[0]
        {'weight': tensor([5., 0.]), 'bias': tensor([1.])}
    """

    def norm(tensor: Tensor) -> Tensor:
        return torch.clamp(torch.linalg.vector_norm(tensor), min=cast(min_norm, tensor))

    def scale(u: Tensor, p: Tensor) -> Tensor:
        u_norm, p_norm = norm(u), norm(p)
        ratio = p_norm / u_norm * cast(trust_coefficient, p_norm)
        return u * torch.where((u_norm == 0) | (p_norm == 0), 1.0, ratio)

    return stateless(lambda grads, params: tree_map(scale, grads, params))
