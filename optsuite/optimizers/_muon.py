"""Muon."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from optsuite._types import Params
from optsuite.optimizers._adam import scale_by_adam
from optsuite.optimizers._base import (
    LrSchedule,
    Optimizer,
    OptState,
    Scalar,
    average,
    cast,
    chain,
    piece,
    stateless,
)
from optsuite.optimizers._blocks import Shape
from optsuite.optimizers._pieces import add_decayed_weights, scale_by_lr
from optsuite.optimizers._roles import Roles, check_roles, hidden_shape
from optsuite.tree import tree_map

Scaling: TypeAlias = Literal["spectral", "match_rms_adamw"]

_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
_NUM_ITERATIONS = 5
_LEAST_NORM = 1e-7


def scale_by_muon(
    *,
    momentum: Scalar = 0.95,
    nesterov: bool = True,
    scaling: Scaling = "spectral",
    roles: Roles | None = None,
) -> Optimizer:
    """Replace the momentum of each matrix by a nearly orthogonal one; `muon` says how.

    Args:
        momentum: As in `muon`.
        nesterov: As in `muon`.
        scaling: As in `muon`.
        roles: As in `muon`; every tensor must be a hidden matrix.

    Example:
        >>> opt = chain(scale_by_muon(), scale_by_lr(0.02))
    """
    known = roles or {}

    def init(params: Params) -> Params:
        return tree_map(torch.zeros_like, params)

    def update(grads: Params, mean: Params, _: Params) -> tuple[Params, Params]:
        mean = average(mean, grads, momentum)
        moved = average(grads, mean, 1 - momentum) if nesterov else mean
        shapes = {name: hidden_shape(m.shape, known.get(name)) or m.shape for name, m in moved.items()}
        matrices = {name: m.reshape(shapes[name]) for name, m in moved.items()}
        factors = {name: _factor(shape[0], shape[1], scaling) for name, shape in shapes.items()}
        steps = {name: factors[name] * m for name, m in _orthogonalized(matrices).items()}
        return tree_map(lambda s, g: s.reshape(g.shape).to(g.dtype), steps, grads), mean

    return piece(init, update)


def muon(
    lr: Scalar | LrSchedule,
    *,
    momentum: Scalar = 0.95,
    nesterov: bool = True,
    scaling: Scaling = "spectral",
    weight_decay: Scalar = 0.0,
    adam_lr_ratio: Scalar = 0.015,
    beta1: Scalar = 0.9,
    beta2: Scalar = 0.95,
    eps: Scalar = 1e-8,
    roles: Roles | None = None,
) -> Optimizer:
    """Make Muon: momentum of hidden matrices, made nearly orthogonal; AdamW for all other parameters.

    m = momentum m + (1 - momentum) g; u is m, or with `nesterov` momentum m + (1 - momentum) g. Divided by
    its Frobenius norm it goes five times through X = a X + (b A + c A^2) X with A = X X^T, which brings its
    singular values near 1, between about 0.7 and 1.2. Then p -= lr (scale X + weight_decay p).

    Args:
        lr: Learning rate of hidden matrices, >= 0, or a schedule.
        momentum: In [0, 1).
        nesterov: Whether the step looks ahead.
        scaling: The scale of a matrix of R rows, its outputs, and C columns. `spectral`:
            sqrt(max(1, R / C)). `match_rms_adamw`: 0.2 sqrt(max(R, C)), for which good rates are AdamW's.
        weight_decay: >= 0, for every tensor; multiplied by its learning rate.
        adam_lr_ratio: Learning rate of AdamW over `lr`, >= 0. The default is that of the source, 3e-4 / 0.02;
            with `match_rms_adamw` it is usually 1.
        beta1: As in `adamw`.
        beta2: As in `adamw`.
        eps: As in `adamw`.
        roles: Roles of the parameters by name: hidden matrices are those of role `hidden` or `heads`. A task
            gives its own. A parameter without role is a hidden matrix if it has two axes or more, the first
            and the product of the others above 1.

    Raises:
        HParamError: A role is none.

    Source: Jordan et al., https://kellerjordan.github.io/posts/muon; the second scaling is Liu et al.'s,
    https://arxiv.org/abs/2502.16982. These, and `torch.optim.Muon`, iterate in bfloat16; here it is float32
    for parameters of float32 or less.

    Example:
        >>> opt = muon(lr=0.02, roles={"head.weight": "output"})
    """
    roles = roles or {}
    check_roles(roles)
    adam = scale_by_adam(beta1=beta1, beta2=beta2, eps=eps, eps_root=0.0)
    ratio = stateless(lambda steps, _: tree_map(lambda s: s * cast(adam_lr_ratio, s), steps))
    decay, rate = add_decayed_weights(weight_decay), scale_by_lr(lr)
    matrices = scale_by_muon(momentum=momentum, nesterov=nesterov, scaling=scaling, roles=roles)
    return _split(
        lambda name, param: hidden_shape(param.shape, roles.get(name)) is not None,
        chain(matrices, decay, rate),
        chain(adam, decay, ratio, rate),
    )


def muon_flops(shapes: Iterable[Shape], *, roles: Roles | None = None, **_: object) -> int:
    """Return how many floating-point operations the iterations of one update take, for these shapes.

    Args:
        shapes: Shapes of the parameters.
        roles: Their roles, in the same order.
    """
    shapes = list(shapes)
    known = list(roles.values()) if roles else [None] * len(shapes)
    found = (hidden_shape(shape, role) for shape, role in zip(shapes, known, strict=True))
    sides = (sorted(matrix) for matrix in found if matrix)
    return _NUM_ITERATIONS * sum(4 * least**2 * most + 2 * least**3 for least, most in sides)


def _factor(rows: int, columns: int, scaling: Scaling) -> float:
    if scaling == "spectral":
        return math.sqrt(max(1, rows / columns))
    return 0.2 * math.sqrt(max(rows, columns))


def _orthogonalized(matrices: Params) -> Params:
    """Return what the iteration makes of each matrix; those of one shape go through it at once."""
    wide = {name: m if m.shape[0] <= m.shape[1] else m.mT for name, m in matrices.items()}
    by_shape: dict[Shape, list[str]] = {}
    for name, matrix in wide.items():
        by_shape.setdefault(tuple(matrix.shape), []).append(name)
    done: Params = {}
    for names in by_shape.values():
        stack = _iterated(torch.stack([wide[name] for name in names]))
        done.update(zip(names, stack, strict=True))
    return {name: done[name] if wide[name] is m else done[name].mT for name, m in matrices.items()}


def _iterated(matrices: Tensor) -> Tensor:
    """Take matrices, (number, rows, columns) with no more rows than columns, through the iteration."""
    wide = matrices.to(torch.promote_types(matrices.dtype, torch.float32))
    x: Tensor = wide / torch.linalg.matrix_norm(wide, keepdim=True).clamp(min=_LEAST_NORM)
    a, b, c = _NEWTON_SCHULZ
    for _ in range(_NUM_ITERATIONS):
        products = x @ x.mT
        x = a * x + (b * products + c * products @ products) @ x
    return x


def _split(is_first: Callable[[str, Tensor], bool], first: Optimizer, second: Optimizer) -> Optimizer:
    """Let one optimizer step some of the parameters, and another one the rest."""

    def parts(tensors: Params, like: Params) -> list[tuple[Optimizer, Params]]:
        chosen = {name for name, param in like.items() if is_first(name, param)}
        split = ({n: t for n, t in tensors.items() if (n in chosen) == flag} for flag in (True, False))
        return list(zip((first, second), split, strict=True))

    def init(params: Params, *, num_steps: Scalar | None = None) -> tuple[OptState, ...]:
        # Without parameters there is no device to put a state on.
        return tuple(o.init(part, num_steps=num_steps) if part else () for o, part in parts(params, params))

    def update(
        grads: Params, state: tuple[OptState, ...], params: Params, *, loss: Tensor | None = None
    ) -> tuple[Params, tuple[OptState, ...]]:
        updates, states = {}, []
        for (one, part), old in zip(parts(grads, params), state, strict=True):
            own = {name: params[name] for name in part}
            done, new = one.update(part, old, own, loss=loss) if part else ({}, ())
            updates.update(done)
            states.append(new)
        return {name: updates[name] for name in grads}, tuple(states)

    return Optimizer(init, update)
