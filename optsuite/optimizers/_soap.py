"""SOAP."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from optsuite._types import Params
from optsuite.optimizers._base import (
    LrSchedule,
    Optimizer,
    Scalar,
    add_scaled,
    average,
    average_square,
    cast,
    chain,
    decay_power,
    first_step,
    piece,
)
from optsuite.optimizers._blocks import Shape
from optsuite.optimizers._eigenbasis import follow_eigenbasis
from optsuite.optimizers._pieces import scale_by_lr
from optsuite.optimizers._roles import Roles, check_roles, matrix_shape
from optsuite.tree import tree_map

Sides: TypeAlias = dict[tuple[str, int], Tensor]
"""Square matrices by the name of a parameter and the axis of its matrix, 0 for rows."""

# Cost of the factors of an n x n matrix, divided by n^3: measured on a CPU, for n = 64.
_FACTORING_FLOPS = 25


class SoapState(NamedTuple):
    """State of `scale_by_soap`."""

    step: Tensor  # (), updates made
    mu: Params  # moving average of the gradient, as a matrix where it is one
    nu: Params  # moving average of its square in the eigenbases, shaped like mu
    statistics: Sides  # moving averages of G G^T and G^T G
    bases: Sides  # their eigenvectors, columns


def scale_by_soap(
    *,
    beta1: Scalar = 0.95,
    beta2: Scalar = 0.95,
    eps: Scalar = 1e-8,
    precondition_frequency: int = 10,
    max_precondition_dim: int = 1024,
    roles: Roles | None = None,
) -> Optimizer:
    """Give Adam's direction in the eigenbases of each matrix's statistics; `soap` says how.

    Args:
        beta1: As in `soap`.
        beta2: As in `soap`.
        eps: As in `soap`.
        precondition_frequency: As in `soap`.
        max_precondition_dim: As in `soap`.
        roles: As in `soap`.

    Example:
        >>> opt = chain(scale_by_soap(), scale_by_lr(3e-3))
    """
    known = roles or {}

    def init(params: Params) -> SoapState:
        matrices = _as_matrices(params, known)
        sides = _empty_sides(params, known, max_precondition_dim)
        bases = {side: torch.eye(len(m), dtype=m.dtype, device=m.device) for side, m in sides.items()}
        mu, nu = (tree_map(torch.zeros_like, matrices) for _ in range(2))
        return SoapState(first_step(params), mu, nu, sides, bases)

    def update(grads: Params, state: SoapState, _: Params) -> tuple[Params, SoapState]:
        is_first = state.step == 0
        is_due = ~is_first & (state.step % precondition_frequency == 0)
        matrices = _as_matrices(grads, known)
        # The first gradient makes the bases and nothing else.
        seen = tree_map(lambda g: torch.where(is_first, 0.0, g), matrices)
        mu = average(state.mu, seen, beta1)
        nu = average_square(state.nu, _turned(seen, state.bases), beta2)
        count = state.step.clamp(min=1)
        factor = torch.sqrt(1 - decay_power(beta2, count)) / (1 - decay_power(beta1, count))
        ratio = tree_map(lambda m, v: m / (torch.sqrt(v) + cast(eps, v)), _turned(mu, state.bases), nu)
        steps = tree_map(lambda u: u * cast(factor, u), _turned(ratio, state.bases, is_back=True))

        statistics, bases = _averaged(state.statistics, matrices, 1 - beta2), {}
        for (name, axis), old in state.bases.items():
            bases[name, axis], order = follow_eigenbasis(statistics[name, axis], old, is_first, is_due)
            nu[name] = nu[name].take_along_dim(order.unsqueeze(1 - axis), axis)
        updates = tree_map(lambda u, g: u.reshape(g.shape).to(g.dtype), steps, grads)
        return updates, SoapState(state.step + 1, mu, nu, statistics, bases)

    return piece(init, update)


def soap(
    lr: Scalar | LrSchedule,
    *,
    beta1: Scalar = 0.95,
    beta2: Scalar = 0.95,
    eps: Scalar = 1e-8,
    weight_decay: Scalar = 1e-2,
    precondition_frequency: int = 10,
    max_precondition_dim: int = 1024,
    roles: Roles | None = None,
) -> Optimizer:
    """Make SOAP: Adam in the slowly turning eigenbases that Shampoo would precondition in.

    For a gradient G as a matrix, L = beta2 L + (1 - beta2) G G^T and R likewise of G^T G. With their
    eigenvectors Q_L and Q_R, M the moving average of G and V that of (Q_L^T G Q_R)^2, the direction is
    Q_L (Q_L^T M Q_R / (sqrt(V) + eps)) Q_R^T, corrected for the start as Adam's. The first gradient makes the
    eigenvectors alone and moves nothing, by the decay neither; from then on each `precondition_frequency`
    updates take them one step of power iteration further, by a QR decomposition, the largest first. What is
    no matrix takes Adam's steps.

    Where gradients have fewer directions than a side of the matrix, the others are eigenvectors of 0, which
    are any, and rounding decides. So a trial may part by more than rounding where it trains in another group,
    compiled or not, or on another machine; the way in which it trained gives the same bits again.

    Args:
        lr: Learning rate, >= 0, or a schedule.
        beta1: Decay of M, in [0, 1).
        beta2: Decay of L, R and V, in [0, 1).
        eps: > 0, added to the root before the correction.
        weight_decay: >= 0, for every tensor; multiplied by the learning rate.
        precondition_frequency: Number of updates from one step of the eigenvectors to the next, >= 1.
        max_precondition_dim: Longest side that has eigenvectors, >= 1; a longer one keeps its own basis. The
            source allows 10,000, whose decomposition takes minutes for trials side by side.
        roles: Roles of the parameters by name, which say how they are matrices. A task gives its own. A
            parameter without role is a matrix of its first axis and the others, if both are above 1.

    Raises:
        HParamError: A role is none.

    Source: Vyas et al., https://arxiv.org/abs/2409.11321; there a kernel of a convolution has a basis for
    each of its axes, and the decay is of the parameters after the step.

    Example:
        >>> opt = soap(lr=3e-3)
    """
    check_roles(roles or {})
    directions = scale_by_soap(
        beta1=beta1,
        beta2=beta2,
        eps=eps,
        precondition_frequency=precondition_frequency,
        max_precondition_dim=max_precondition_dim,
        roles=roles,
    )
    return chain(directions, _add_later_decay(weight_decay), scale_by_lr(lr))


def _add_later_decay(weight_decay: Scalar) -> Optimizer:
    """Add `weight_decay` times the parameter, but to the first update, which moves nothing."""

    def update(updates: Params, step: Tensor, params: Params) -> tuple[Params, Tensor]:
        decayed = tree_map(lambda u, p: add_scaled(u, p, weight_decay), updates, params)
        return tree_map(lambda u, d: torch.where(step == 0, u, d), updates, decayed), step + 1

    return piece(first_step, update)


def soap_flops(
    shapes: Iterable[Shape],
    *,
    precondition_frequency: int = 10,
    max_precondition_dim: int = 1024,
    roles: Roles | None = None,
    **_: object,
) -> int:
    """Return how many floating-point operations one update is worth in the mean, for these shapes.

    Args:
        shapes: Shapes of the parameters.
        precondition_frequency: As in `soap`.
        max_precondition_dim: As in `soap`.
        roles: Roles of the parameters, in the same order.
    """
    shapes = list(shapes)
    known = list(roles.values()) if roles else [None] * len(shapes)
    total = 0
    for shape, role in zip(shapes, known, strict=True):
        matrix = matrix_shape(shape, role)
        for length in matrix or ():
            if matrix and length <= max_precondition_dim:
                # Into the basis twice, out of it once, and the statistics.
                total += 8 * length * matrix[0] * matrix[1]
                total += _FACTORING_FLOPS * length**3 // precondition_frequency
    return total


def _as_matrices(tensors: Params, roles: Roles) -> Params:
    def one(name: str, tensor: Tensor) -> Tensor:
        # Eigenvectors need the digits of float32, whatever the parameters are kept in.
        wide = tensor.to(torch.promote_types(tensor.dtype, torch.float32))
        return wide.reshape(matrix_shape(tensor.shape, roles.get(name)) or tensor.shape)

    return {name: one(name, tensor) for name, tensor in tensors.items()}


def _empty_sides(params: Params, roles: Roles, longest: int) -> Sides:
    """Return zeros for every side of a matrix that is to have eigenvectors."""
    return {
        (name, axis): torch.zeros(
            length, length, dtype=torch.promote_types(param.dtype, torch.float32), device=param.device
        )
        for name, param in params.items()
        for axis, length in enumerate(matrix_shape(param.shape, roles.get(name)) or ())
        if length <= longest
    }


def _turned(tensors: Params, bases: Sides, *, is_back: bool = False) -> Params:
    """Turn matrices into the bases, or back."""

    def one(name: str, tensor: Tensor) -> Tensor:
        if (rows := bases.get((name, 0))) is not None:
            tensor = (rows if is_back else rows.mT) @ tensor
        if (columns := bases.get((name, 1))) is not None:
            tensor = tensor @ (columns.mT if is_back else columns)
        return tensor

    return {name: one(name, tensor) for name, tensor in tensors.items()}


def _averaged(old: Sides, grads: Params, gain: Scalar) -> Sides:
    def product(name: str, axis: int) -> Tensor:
        grad = grads[name].mT if axis else grads[name]
        return grad @ grad.mT

    return {side: torch.lerp(m, product(*side), cast(gain, m)) for side, m in old.items()}
