"""Inverse roots of symmetric matrices.

On a CPU they are made from eigenvalues, in float64, elsewhere by Newton's iteration, made of products only:
`torch.linalg.eigh` would make the host wait for the device at every step. On one core of a CPU the iteration
takes longer for 128 x 128. Eigenvalues in float32 take half as long, and lose the digits of those that are a
millionth of the largest: steps then differ from the original's by 0.7 %, where these do by less than 0.5 %.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch._C import _functorch

from optsuite.optimizers._threads import over_matrices

_OPERATOR = "optsuite::inverse_root"

# This fraction of the largest eigenvalue is added to all of them, so that their quotients stay below 1e6.
_RIDGE = 1e-6

# Newton's step takes an eigenvalue x in (0, 1] to x ((order + 1 - x) / order)^order, which is nearer to 1.
# Doubling the matrix before it makes small ones grow twice as fast, and leaves large ones above 1/2; by a
# larger factor they would come out near 0, as differences that have lost their digits. These 13 steps bring
# all of [1e-6, 1] to within 1e-6 of 1, for every even order; without doubling it takes up to 21.
_FACTORS = (2.0,) * 9 + (1.0,) * 4

# A root counts if no entry of root^order A is further from I than this.
_TOLERANCE = 0.1

_SQUARINGS = 6


def inverse_root(matrices: Tensor, order: int) -> tuple[Tensor, Tensor]:
    """Return (A + ridge I)^(-1 / order), with ridge = 1e-6 max(largest eigenvalue of A, 1e-6).

    No error is raised: a matrix that is not finite has no root and does not change the roots of the others.

    Args:
        matrices: A, float32 or float64 (..., n, n), symmetric and positive semidefinite.
        order: Order of the root, an even number: 2 for the inverse square root.

    Returns:
        The roots, shaped like `matrices`, and whether each is good, bool (..., 1, 1); a root that is not good
        has no meaning.

    Source: optax-shampoo 0.0.6, which iterates in float32 as well, and gives up roots by the same tolerance.
    """
    if matrices.device.type != "cpu":
        return _by_newton(matrices, order)
    if _needs_gradient(matrices):  # which the threads of the operator do not record
        return _share_by_eigenvalues(matrices, order)
    roots, are_good = torch.ops.optsuite.inverse_root(matrices, order)
    return roots, are_good


def _needs_gradient(tensor: Tensor) -> bool:
    while _functorch.is_batchedtensor(tensor):  # which does not tell
        tensor = _functorch.get_unwrapped(tensor)
    return tensor.requires_grad


def _by_eigenvalues(matrices: Tensor, order: int) -> tuple[Tensor, Tensor]:
    stack, batch = matrices.reshape(-1, *matrices.shape[-2:]), matrices.shape[:-2]
    roots, are_good = over_matrices(lambda share: _share_by_eigenvalues(share, order), stack)
    return roots.reshape(matrices.shape), are_good.reshape(*batch, 1, 1)


def _share_by_eigenvalues(matrices: Tensor, order: int) -> tuple[Tensor, Tensor]:
    is_finite = matrices.sum((-2, -1), keepdim=True).isfinite()
    # One matrix that is not finite would be an error of the whole batch.
    values, vectors = torch.linalg.eigh(torch.where(is_finite, matrices, 0.0).double())
    values = values.clamp(min=0.0)
    ridge = _RIDGE * values[..., -1:].clamp(min=_RIDGE)
    scale = (values + ridge) ** (-1 / order)
    scaled = (vectors * scale.unsqueeze(-2)).to(matrices.dtype)
    return scaled @ vectors.to(matrices.dtype).mT, is_finite


def _by_newton(matrices: Tensor, order: int) -> tuple[Tensor, Tensor]:
    """Return roots and whether they are good, as `inverse_root` does.

    Source: Higham, Functions of Matrices, 2008, equation 7.18.
    """
    identity = torch.eye(matrices.shape[-1], dtype=matrices.dtype, device=matrices.device)
    largest = _largest_eigenvalue(matrices + _RIDGE**2 * identity)
    ridge = _RIDGE * largest.clamp(min=_RIDGE)
    bound = largest + ridge

    root, residual = identity, (matrices + ridge * identity) / bound
    for factor in _FACTORS:
        step = (1 + 1 / order) * identity - (factor / order) * residual
        square = step @ step
        root = root @ step
        residual = factor * residual
        for _ in range(order // 2):
            residual = square @ residual
    error = (residual - identity).abs().amax((-2, -1), keepdim=True)
    return root * (math.prod(_FACTORS) / bound) ** (1 / order), error < _TOLERANCE


def _largest_eigenvalue(matrices: Tensor) -> Tensor:
    """Return an upper bound of the largest eigenvalue, (..., 1, 1): the 128th root of the trace of A^128.

    It is at most 4 % too large for 128 x 128, when all eigenvalues are equal and the ridge hardly matters.
    """
    norm = torch.linalg.matrix_norm(matrices, keepdim=True)
    log = torch.log(norm)
    for doublings in range(1, _SQUARINGS + 1):
        matrices = matrices / norm
        matrices = matrices @ matrices
        norm = torch.linalg.matrix_norm(matrices, keepdim=True)
        log = log + torch.log(norm) / 2**doublings
    return torch.exp(log)


def _fake(matrices: Tensor, order: int) -> tuple[Tensor, Tensor]:
    del order
    are_good = matrices.new_empty((*matrices.shape[:-2], 1, 1), dtype=torch.bool)
    return matrices.new_empty(matrices.shape), are_good


def _over_trials(
    info: Any,  # noqa: ANN401 - torch's own class
    in_dims: Sequence[int | None],
    matrices: Tensor,
    order: int,
) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
    del info
    return torch.ops.optsuite.inverse_root(matrices.movedim(in_dims[0] or 0, 0), order), (0, 0)


torch.library.define(_OPERATOR, "(Tensor matrices, int order) -> (Tensor, Tensor)")
torch.library.impl(_OPERATOR, "CPU", _by_eigenvalues)
torch.library.register_fake(_OPERATOR, _fake)
torch.library.register_vmap(_OPERATOR, _over_trials)
