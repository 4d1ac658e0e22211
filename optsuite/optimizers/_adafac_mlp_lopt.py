"""A learned optimizer that runs a small network for each parameter, on Adafactor's features too."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from optsuite._types import Params
from optsuite.optimizers._base import LearnedOptimizer, Optimizer, first_step, piece
from optsuite.optimizers._domains import SIZE, check_value
from optsuite.optimizers._features import (
    NUM_TIME_FEATURES,
    flatten,
    init_layers,
    moving_averages,
    network_updates,
    time_features,
)
from optsuite.tree import numbers_on

_MOMENTUM_DECAYS, _RMS_DECAYS, _ADAFACTOR_DECAYS = (0.9, 0.99, 0.999), (0.999,), (0.9, 0.99, 0.999)
# Gradient, parameter, momenta as they are and over the root of the second moment, that moment and its root,
# gradient and momenta preconditioned, row and column means and their roots.
_NUM_FEATURES = 2 + 2 * 3 + 2 * 1 + 2 * 3 + 4 * 3
_SMALLEST_SQUARE = 1e-30
_SMALLEST_MEAN = 1e-9


class AdafacMLPLOptState(NamedTuple):
    """State of `adafac_mlp_lopt`."""

    step: Tensor  # (), updates made
    momenta: Tensor  # (3, P)
    square: Tensor  # (1, P)
    rows: Params  # (3, ...) of each tensor of rank 2 or more: means over its largest axis, which is kept
    columns: Params  # (3, ...) of the same: means over its second largest axis, which is kept
    whole: Params  # (3, ...) of each tensor of rank 0 or 1


class _Factors(NamedTuple):
    """Second moments of one tensor, (3, ...) each, shaped so that they broadcast to its shape."""

    row: Tensor
    column: Tensor
    scale: Tensor
    """Factor of a gradient."""
    momentum_scale: Tensor
    """Factor of a momentum."""


def adafac_mlp_lopt(
    *, hidden_size: int = 4, hidden_layers: int = 2, exp_mult: float = 0.001, step_mult: float = 0.001
) -> LearnedOptimizer:
    """Make a learned optimizer of one network: p -= step_mult * d * exp(exp_mult * s), outputs d and s.

    Its inputs are gradient, parameter, three momenta, the second moment and what Adafactor makes of three
    factored ones, 28 in all, each divided by its root mean square over the tensor; and eleven features of
    time. The decays of all averages are learned too.

    Args:
        hidden_size: Number of units in a hidden layer, >= 1.
        hidden_layers: Number of hidden layers, >= 1.
        exp_mult: Factor of s.
        step_mult: Factor of the step.

    Raises:
        HParamError: A size is out of range.

    Source: Metz et al., https://arxiv.org/abs/2203.11860;
    `learned_optimization/learned_optimizers/adafac_mlp_lopt.py`.

    Example:
        >>> learned = adafac_mlp_lopt()
        >>> theta = learned.init()
        >>> sum(tensor.numel() for tensor in theta.values())
        197
        >>> opt = learned.optimizer(theta)
    """
    check_value("AdafacMLPLOpt", "hidden_size", hidden_size, SIZE)
    check_value("AdafacMLPLOpt", "hidden_layers", hidden_layers, SIZE)
    num_layers = hidden_layers + 1

    def init() -> Params:
        layers = init_layers([_NUM_FEATURES + NUM_TIME_FEATURES, *[hidden_size] * hidden_layers, 2])
        return {
            "adafactor_decays": torch.zeros(len(_ADAFACTOR_DECAYS)),
            "momentum_decays": torch.zeros(len(_MOMENTUM_DECAYS)),
            **{f"nn/~/b{n}": bias for n, (_, bias) in enumerate(layers)},
            **{f"nn/~/w{n}": weight for n, (weight, _) in enumerate(layers)},
            "rms_decays": torch.zeros(len(_RMS_DECAYS)),
        }

    def optimizer(theta: Params) -> Optimizer:
        layers = [(theta[f"nn/~/w{n}"], theta[f"nn/~/b{n}"]) for n in range(num_layers)]

        def update(
            grads: Params, state: AdafacMLPLOptState, params: Params
        ) -> tuple[Params, AdafacMLPLOptState]:
            new = _next_state(theta, grads, state)
            features = _features(grads, new, params)
            time = time_features(state.step, features)
            updates = network_updates(layers, features, time, params, exp_mult=exp_mult, step_mult=step_mult)
            return updates, new

        return piece(_init_state, update)

    return LearnedOptimizer(init, optimizer)


def _init_state(params: Params) -> AdafacMLPLOptState:
    flat = flatten(params)
    rows, columns, whole = {}, {}, {}
    for name, p in params.items():
        squares = p.new_zeros(len(_ADAFACTOR_DECAYS), *p.shape)
        if p.ndim < 2:
            whole[name] = squares
        else:
            rows[name], columns[name] = _row_means(squares), _column_means(squares)
    return AdafacMLPLOptState(
        first_step(params),
        flat.new_zeros(len(_MOMENTUM_DECAYS), len(flat)),
        flat.new_zeros(len(_RMS_DECAYS), len(flat)),
        rows,
        columns,
        whole,
    )


def _next_state(theta: Params, grads: Params, state: AdafacMLPLOptState) -> AdafacMLPLOptState:
    grad = flatten(grads)
    decays = _decays(_ADAFACTOR_DECAYS, theta["adafactor_decays"]).clamp(0, 1)

    def averages(old: Params, means: Callable[[Tensor], Tensor]) -> Params:
        squares = {name: (grads[name] * grads[name] + _SMALLEST_SQUARE)[None] for name in old}
        return {name: moving_averages(old[name], means(squares[name])[0], decays) for name in old}

    return AdafacMLPLOptState(
        state.step + 1,
        moving_averages(state.momenta, grad, _decays(_MOMENTUM_DECAYS, theta["momentum_decays"])),
        moving_averages(state.square, grad * grad, _decays(_RMS_DECAYS, theta["rms_decays"]).clamp(0, 1)),
        averages(state.rows, _row_means),
        averages(state.columns, _column_means),
        averages(state.whole, lambda squares: squares),
    )


def _decays(initial: tuple[float, ...], offsets: Tensor) -> Tensor:
    """Return 1 - (1 - d) exp(10 offset), computed as the reference does, which matters for float32."""
    start = torch.log(1 - numbers_on(offsets.device, initial)) / 10
    return 1 - ((start + offsets) * 10).exp()


def _features(grads: Params, state: AdafacMLPLOptState, params: Params) -> Tensor:
    """Return the inputs of the network that differ from parameter to parameter, (28, P)."""
    grad, momenta = flatten(grads), state.momenta
    inverse_root = torch.rsqrt(state.square + 1e-6)
    by_tensor = []
    momenta_of = torch.split(momenta, [g.numel() for g in grads.values()], 1)
    for (name, g), momentum in zip(grads.items(), momenta_of, strict=True):
        factors = _whole(state.whole[name]) if g.ndim < 2 else _factored(state, name, g)
        scaled_momentum = momentum.view(-1, *g.shape) * factors.momentum_scale
        raw = (
            g * factors.scale,
            factors.row,
            factors.column,
            torch.rsqrt(factors.row + 1e-8),
            torch.rsqrt(factors.column + 1e-8),
            scaled_momentum,
        )
        by_tensor.append(torch.cat([part.expand(-1, *g.shape).reshape(-1, g.numel()) for part in raw]))
    flat = (grad[None], flatten(params)[None], momenta, state.square, momenta * inverse_root, inverse_root)
    return torch.cat([*flat, torch.cat(by_tensor, dim=1)])


def _factored(state: AdafacMLPLOptState, name: str, like: Tensor) -> _Factors:
    row, column = state.rows[name], state.columns[name]
    mean = row.mean(_two_largest_axes(like.shape)[1] + 1, keepdim=True)
    scale = _inverse_root(row / (mean + _SMALLEST_MEAN)) * _inverse_root(column)
    return _Factors(row, column, scale, scale)


def _whole(square: Tensor) -> _Factors:
    return _Factors(square, square, _inverse_root(square + _SMALLEST_MEAN), torch.rsqrt(square + 1e-6))


def _inverse_root(square: Tensor) -> Tensor:
    return torch.rsqrt(square.clamp(min=_SMALLEST_MEAN))


def _row_means(squares: Tensor) -> Tensor:
    """Average (D, ...) over the largest axis of a tensor (...)."""
    return squares.mean(_two_largest_axes(squares.shape[1:])[0] + 1, keepdim=True)


def _column_means(squares: Tensor) -> Tensor:
    """Average (D, ...) over the second largest axis of a tensor (...)."""
    return squares.mean(_two_largest_axes(squares.shape[1:])[1] + 1, keepdim=True)


def _two_largest_axes(shape: torch.Size) -> tuple[int, int]:
    """Return the largest and the second largest axis, of equal ones those that the reference takes.

    Its weights have axes (..., in, out) where torch's have (out, in, ...), and the later counts as larger.
    """
    in_reference = [*range(2, len(shape)), 1, 0]
    *_, second, first = sorted(in_reference, key=shape.__getitem__)
    return first, second
