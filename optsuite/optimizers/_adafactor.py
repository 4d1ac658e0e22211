"""Adafactor."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from optsuite._types import Params
from optsuite.optimizers._base import LrSchedule, Optimizer, Scalar, cast, chain, first_step, piece, stateless
from optsuite.optimizers._pieces import scale_by_lr
from optsuite.tree import tree_map


class FactoredState(NamedTuple):
    """State of `scale_by_factored_rms`."""

    step: Tensor  # (), updates made
    nu: Params  # moving average of the squared gradient, for tensors that are not factored
    rows: Params  # its mean over the largest axis, for tensors that are factored
    columns: Params  # its mean over the second largest axis, for tensors that are factored


def scale_by_factored_rms(
    *, decay_rate: Scalar = 0.8, eps: Scalar = 1e-30, min_dim_size_to_factor: int = 128
) -> Optimizer:
    """Divide by the root mean square, of which large tensors keep row and column means only.

    At the t-th update v = b v + (1 - b) (g^2 + eps) with b = 1 - t^-decay_rate, giving g / sqrt(v). A
    factored tensor keeps only the means R and C of v over its largest and second largest axis, and
    R C / mean(R) takes the place of v.

    Args:
        decay_rate: > 0.
        eps: > 0, added to the square.
        min_dim_size_to_factor: Least length of the second largest axis of a tensor that is factored.

    Source: optax, `_src/factorized.py: scale_by_factored_rms`.

    Example:
        >>> opt = chain(scale_by_factored_rms(), scale_by_lr(1e-3))
    """

    def is_factored(tensor: Tensor) -> bool:
        return tensor.ndim > 1 and sorted(tensor.shape)[-2] >= min_dim_size_to_factor

    def split(tree: Params) -> tuple[Params, Params]:
        """Return the tensors that are not factored, and those that are."""
        factored = {name: leaf for name, leaf in tree.items() if is_factored(leaf)}
        return {name: leaf for name, leaf in tree.items() if name not in factored}, factored

    def init(params: Params) -> FactoredState:
        whole, factored = (tree_map(torch.zeros_like, part) for part in split(params))
        return FactoredState(
            first_step(params), whole, tree_map(_row_means, factored), tree_map(_column_means, factored)
        )

    def update(grads: Params, state: FactoredState, _: Params) -> tuple[Params, FactoredState]:
        step = state.step + 1
        gain = torch.pow(step, -decay_rate)

        def average(old: Tensor, new: Tensor) -> Tensor:
            return old * cast(1 - gain, old) + new * cast(gain, old)

        squares = tree_map(lambda g: g * g + cast(eps, g), grads)
        whole, factored = split(squares)
        nu = tree_map(average, state.nu, whole)
        rows = tree_map(average, state.rows, tree_map(_row_means, factored))
        columns = tree_map(average, state.columns, tree_map(_column_means, factored))

        def direction(name: str, g: Tensor) -> Tensor:
            if name in nu:
                return g * torch.rsqrt(nu[name])
            return g * torch.rsqrt(_relative(rows[name], g)) * torch.rsqrt(columns[name])

        updates = {name: direction(name, g) for name, g in grads.items()}
        return updates, FactoredState(step, nu, rows, columns)

    return piece(init, update)


def _two_largest_axes(shape: torch.Size) -> tuple[int, int]:
    """Return the largest and the second largest axis; of equal ones the later counts as larger."""
    *_, second, first = sorted(range(len(shape)), key=shape.__getitem__)
    return first, second


def _row_means(tensor: Tensor) -> Tensor:
    return tensor.mean(_two_largest_axes(tensor.shape)[0], keepdim=True)


def _column_means(tensor: Tensor) -> Tensor:
    return tensor.mean(_two_largest_axes(tensor.shape)[1], keepdim=True)


def _relative(rows: Tensor, like: Tensor) -> Tensor:
    """Divide row means by the mean of all rows."""
    return rows / rows.mean(_two_largest_axes(like.shape)[1], keepdim=True)


def clip_by_block_rms(threshold: Scalar) -> Optimizer:
    """Shrink each tensor whose root mean square is above `threshold`, so that it equals `threshold`.

    Args:
        threshold: > 0.

    Source: optax, `transforms/_clipping.py: clip_by_block_rms`.

    Example:
        >>> opt = clip_by_block_rms(1.0)
        >>> opt.update({"weight": torch.tensor([2.0, -2.0])}, opt.init({}), {})[0]["weight"]
        tensor([ 1., -1.])
    """

    def clip(u: Tensor) -> Tensor:
        return u / torch.clamp(_rms(u) / cast(threshold, u), min=1.0)

    return stateless(lambda grads, _: tree_map(clip, grads))


def scale_by_param_block_rms(*, min_rms: Scalar = 1e-3) -> Optimizer:
    """Multiply each tensor by the root mean square of its parameter.

    Args:
        min_rms: Lower bound of that root mean square, > 0.

    Source: optax, `_src/transform.py: scale_by_param_block_rms`.

    Example:
        >>> params = {"weight": torch.full((2,), 3.0)}
        >>> opt = scale_by_param_block_rms()
        >>> opt.update({"weight": torch.ones(2)}, opt.init(params), params)[0]["weight"]
        tensor([3., 3.])
    """

    def scale(u: Tensor, p: Tensor) -> Tensor:
        return u * torch.clamp(_rms(p), min=cast(min_rms, p))

    return stateless(lambda grads, params: tree_map(scale, grads, params))


def _rms(tensor: Tensor) -> Tensor:
    return torch.sqrt(torch.mean(tensor * tensor))


def adafactor(
    lr: Scalar | LrSchedule,
    *,
    decay_rate: Scalar = 0.8,
    eps: Scalar = 1e-30,
    clipping_threshold: Scalar = 1.0,
    min_dim_size_to_factor: int = 128,
) -> Optimizer:
    """Make Adafactor: RMSProp in little memory, with clipped steps in proportion to the parameter's size.

    u = g / sqrt(v); u /= max(1, rms(u) / clipping_threshold); p -= lr max(rms(p), 0.001) u, for each tensor.

    Args:
        lr: Learning rate, >= 0, or a schedule: the relative size of a step.
        decay_rate: > 0; the decay of the moving average v is 1 - t^-decay_rate at the t-th update.
        eps: > 0, added to the squared gradient.
        clipping_threshold: > 0, largest root mean square of u.
        min_dim_size_to_factor: Least length of the second largest axis of a tensor that keeps only row and
            column means of v. It is the same for all trials.

    Source: Shazeer and Stern, https://arxiv.org/abs/1804.04235;
    `learned_optimization/optimizers/optax_opts.py: Adafactor`, without momentum and weight decay, its
    defaults.

    Example:
        >>> opt = adafactor(lr=1e-2)
    """
    return chain(
        scale_by_factored_rms(decay_rate=decay_rate, eps=eps, min_dim_size_to_factor=min_dim_size_to_factor),
        clip_by_block_rms(clipping_threshold),
        scale_by_param_block_rms(),
        scale_by_lr(lr),
    )
