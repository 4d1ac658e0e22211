"""Shampoo."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor

from optsuite._types import Params
from optsuite.optimizers._adagrad import scale_by_adagrad
from optsuite.optimizers._base import (
    LrSchedule,
    Optimizer,
    OptState,
    Scalar,
    cast,
    chain,
    first_step,
    piece,
    stateless,
)
from optsuite.optimizers._blocks import Blocks, Shape, block_shapes, cut_into_blocks, glue_blocks
from optsuite.optimizers._graft import resize
from optsuite.optimizers._inverse_root import inverse_root
from optsuite.optimizers._pieces import scale_by_lr, trace
from optsuite.optimizers._rmsprop import scale_by_rms
from optsuite.tree import tree_map

GraftType: TypeAlias = Literal[
    "SGD", "SQRT_N", "ADAGRAD", "ADAGRAD_NORMALIZED", "RMSPROP", "RMSPROP_NORMALIZED"
]

Kind: TypeAlias = tuple[int, int]
"""Size n of the matrices, and the order of their root."""

Matrices: TypeAlias = dict[Kind, Tensor]
"""Matrices of all blocks by kind, (number of matrices, n, n) each, so that one call takes all of a kind."""

# Until this step the steps are those of the grafted optimizer alone.
_START = 5.0
_INITIAL_STATISTICS = 1e-6
# Cost of the root of an n x n matrix, divided by n^3: measured on a CPU, for n = 64 and 128.
_ROOT_FLOPS = 25
# Added to the roots of the grafted optimizers.
_EPS = 1e-10


class ShampooState(NamedTuple):
    """State of `scale_by_shampoo`."""

    step: Tensor  # (), updates made
    statistics: Matrices  # moving averages of the gradients' products along each axis
    roots: Matrices  # inverse roots of the statistics
    magnitude: OptState  # state of the grafted optimizer
    early: OptState  # momentum of its steps
    late: OptState  # momentum of the preconditioned steps


def scale_by_shampoo(
    *, graft_type: GraftType = "SGD", block_size: int = 128, beta1: Scalar = 0.9, beta2: Scalar = 0.999
) -> Optimizer:
    """Precondition each axis of each block of a tensor by an inverse root of its own statistics.

    `shampoo` says how.

    Args:
        graft_type: As in `shampoo`.
        block_size: As in `shampoo`.
        beta1: As in `shampoo`.
        beta2: As in `shampoo`.

    Example:
        >>> opt = chain(scale_by_shampoo(), add_decayed_weights(1e-4), scale_by_lr(1e-2))
    """
    magnitude = _magnitude(graft_type, beta2)
    momentum = trace(beta1, nesterov=True)

    def init(params: Params) -> ShampooState:
        products = _products(cut_into_blocks(tree_map(_widened, params), block_size))
        eyes = {kind: _eyes_like(matrices) for kind, matrices in products.items()}
        statistics = {kind: _INITIAL_STATISTICS * eye for kind, eye in eyes.items()}
        early, late = momentum.init(params), momentum.init(params)
        return ShampooState(first_step(params), statistics, eyes, magnitude.init(params), early, late)

    def update(grads: Params, state: ShampooState, params: Params) -> tuple[Params, ShampooState]:
        sizes, magnitude_state = magnitude.update(grads, state.magnitude, params)

        blocks = cut_into_blocks(tree_map(_widened, grads), block_size)
        statistics = _averaged(state.statistics, _products(blocks), beta2)
        roots = {kind: _renewed(old, statistics[kind], kind) for kind, old in state.roots.items()}
        directions = glue_blocks(_precondition(blocks, roots), grads, block_size)
        # A tensor that is not cut keeps the grafted step.
        steps = sizes | {name: resize(d.to(sizes[name].dtype), sizes[name]) for name, d in directions.items()}

        early, early_state = momentum.update(sizes, state.early, params)
        late, late_state = momentum.update(steps, state.late, params)
        updates = tree_map(lambda a, b: torch.where(state.step < _START, a, b), early, late)
        return updates, ShampooState(
            state.step + 1, statistics, roots, magnitude_state, early_state, late_state
        )

    return piece(init, update)


def shampoo(
    lr: Scalar | LrSchedule,
    *,
    graft_type: GraftType = "SGD",
    block_size: int = 128,
    beta1: Scalar = 0.9,
    beta2: Scalar = 0.999,
) -> Optimizer:
    """Make Shampoo, with grafting and Nesterov momentum.

    A gradient is cut into blocks G with R axes. With G_i for G as a matrix whose rows are its slices along
    axis i, every block and axis has L_i = beta2 L_i + (1 - beta2) G_i G_i^T, from L_i = 1e-6 I on, and G is
    multiplied along each axis by (L_i + ridge I)^(-1 / 2R). Put together again, the tensor is given the norm
    of the grafted step. The first five updates are the grafted steps alone.

    Args:
        lr: Learning rate, >= 0, or a schedule.
        graft_type: Optimizer from which the norm of a step comes: SGD; SQRT_N, the signs of the gradient;
            ADAGRAD; RMSPROP; or these two of the gradient divided by its norm, ADAGRAD_NORMALIZED and
            RMSPROP_NORMALIZED.
        block_size: Longest axis of a block, >= 1. Axes are merged before they are cut, while their
            product is at most 4096; a tensor with a longer axis takes the grafted steps.
        beta1: Nesterov momentum of the steps, which are summed, in [0, 1).
        beta2: Decay of the moving averages L, and of those of RMSPROP, in [0, 1).

    Source: Gupta et al., https://arxiv.org/abs/1802.09568; Anil et al., https://arxiv.org/abs/2002.09018;
    `learned_optimization/optimizers/shampoo.py`, which wraps optax-shampoo.

    Example:
        >>> opt = shampoo(lr=1e-2, graft_type="RMSPROP")
    """
    steps = scale_by_shampoo(graft_type=graft_type, block_size=block_size, beta1=beta1, beta2=beta2)
    return chain(steps, scale_by_lr(lr))


def shampoo_flops(shapes: Iterable[Shape], *, block_size: int = 128, **_: object) -> int:
    """Return how many floating-point operations the roots of one update are worth, for these shapes."""
    blocks = (block for shape in shapes for block in block_shapes(shape, block_size))
    return sum(_ROOT_FLOPS * length**3 for block in blocks for length in block)


def _magnitude(graft_type: GraftType, beta2: Scalar) -> Optimizer:
    normalize = stateless(lambda grads, _: tree_map(_normalized, grads))
    adagrad = scale_by_adagrad(initial_accumulator_value=0.0, eps=_EPS, eps_in_root=False)
    rmsprop = scale_by_rms(alpha=beta2, eps=_EPS, eps_in_root=False)
    return {
        "SGD": chain(),
        "SQRT_N": stateless(lambda grads, _: tree_map(torch.sign, grads)),
        "ADAGRAD": adagrad,
        "ADAGRAD_NORMALIZED": chain(normalize, adagrad),
        "RMSPROP": rmsprop,
        "RMSPROP_NORMALIZED": chain(normalize, rmsprop),
    }[graft_type]


def _normalized(tensor: Tensor) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(tensor)
    return tensor / (norm + 1e-16)


def _widened(tensor: Tensor) -> Tensor:
    # A root needs the digits of float32, whatever the parameters are kept in.
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def _kind(shape: Shape, axis: int) -> Kind:
    return shape[axis], 2 * len(shape)


def _products(blocks: Blocks) -> Matrices:
    """Return G_i G_i^T for every axis i of every block."""
    products: dict[Kind, list[Tensor]] = {}
    for shape, stack in blocks.items():
        for axis in range(len(shape)):
            flat = stack.movedim(axis + 1, 1).reshape(len(stack), shape[axis], -1)
            products.setdefault(_kind(shape, axis), []).append(flat @ flat.mT)
    return {kind: torch.cat(same) for kind, same in products.items()}


def _eyes_like(matrices: Tensor) -> Tensor:
    eye = torch.eye(matrices.shape[-1], dtype=matrices.dtype, device=matrices.device)
    return torch.zeros_like(matrices) + eye


def _averaged(old: Matrices, new: Matrices, beta2: Scalar) -> Matrices:
    gain = 1 - beta2
    return {kind: torch.lerp(matrices, new[kind], cast(gain, matrices)) for kind, matrices in old.items()}


def _renewed(old: Tensor, statistics: Tensor, kind: Kind) -> Tensor:
    root, is_good = inverse_root(statistics, order=kind[1])
    return torch.where(is_good, root, old)


def _precondition(blocks: Blocks, roots: Matrices) -> Blocks:
    """Multiply each axis of each block by its root."""
    rest = dict(roots)
    result = {}
    for shape, stack in blocks.items():
        count = len(stack)
        for axis, length in enumerate(shape):
            kind = _kind(shape, axis)
            own, rest[kind] = rest[kind][:count], rest[kind][count:]
            # The first axis of the block becomes its last, so that in the end all are where they were.
            stack = (stack.reshape(count, length, -1).mT @ own).reshape(count, *stack.shape[2:], length)
        result[shape] = stack
    return result
