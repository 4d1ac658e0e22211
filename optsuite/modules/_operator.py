"""Operators with an axis of trials and gradients of their own, which `vmap` and the compiler can take."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from inspect import signature
from typing import Any, TypeAlias

import torch
from torch import Tensor

from optsuite.errors import UnsupportedError

FLOP_FORMULAS: dict[Any, Callable[..., int]] = {}
"""Functions that count the operations of an operator from the shapes of its arguments, by operator; for the
`custom_mapping` of torch's `FlopCounterMode`."""

_Op: TypeAlias = Callable[..., tuple[Tensor, ...]]
_ListOp: TypeAlias = Callable[..., list[Tensor]]


class _Function(torch.autograd.Function):
    """A base of functions that `vmap` lifts as they stand and that save nothing for a gradient."""

    generate_vmap_rule = True

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, ...]) -> None:  # noqa: ANN401 - torch's own class
        pass


def differentiable(
    name: str, forward: _Op, backward: _Op, fake: _Op, inference: _Op | None = None
) -> Callable[..., Tensor]:
    """Register a recurrent layer and its gradient as operators and join them.

    All arguments and outputs have the axis of trials first: inputs (N, T, B, E), the weights of the inputs
    (N, G, E) and of the hidden state (N, G, H), biases (N, G) and states (N, B, H).

    Args:
        name: Name of the forward operator.
        forward: Function of (inputs, input weight, weight, bias, *states) that returns hidden states
            (N, T, B, H) and what else the gradient needs.
        backward: Function of (gradient of the hidden states, *arguments of `forward`, *its outputs) that
            returns the gradients of those arguments.
        fake: Function like `forward` that returns empty tensors of the right shapes.
        inference: Faster function that returns the first output alone, for where no gradient is wanted.

    Returns:
        A differentiable function of the arguments of `forward` that returns its first output.
    """
    forward_op, inference_op, backward_op = _operators(name, forward, backward, fake, inference)

    class Gradient(_Function):
        @staticmethod
        def forward(*args: Tensor) -> tuple[Tensor, ...]:
            return tuple(backward_op(*args))

        @staticmethod
        def backward(*_: object) -> None:
            raise UnsupportedError(
                f"a second derivative through `{name}` was asked for, and there is only a first one: write "
                "the cell as a loop over time"
            )

    class Recurrence(_Function):
        @staticmethod
        def forward(*args: Tensor) -> tuple[Tensor, ...]:
            return tuple(forward_op(*args))

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, ...]) -> None:  # noqa: ANN401 - torch's own class
            ctx.mark_non_differentiable(*output[1:])
            ctx.save_for_backward(*inputs, *output)

        @staticmethod
        def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor, ...]:  # noqa: ANN401 - likewise
            grads: tuple[Tensor, ...] = Gradient.apply(grad, *ctx.saved_tensors)
            return grads

    class Inference(_Function):  # the operator alone would give zeros in forward mode
        @staticmethod
        def forward(*args: Tensor) -> tuple[Tensor, ...]:
            return tuple(inference_op(*args))

    def apply(*args: Tensor) -> Tensor:
        outputs: tuple[Tensor, ...] = (Recurrence if torch.is_grad_enabled() else Inference).apply(*args)
        return outputs[0]

    return apply


def _operators(
    name: str, forward: _Op, backward: _Op, fake: _Op, inference: _Op | None
) -> tuple[_ListOp, _ListOp, _ListOp]:
    """Register the operators of a layer, as `differentiable` is given them: forward, inference, gradient."""
    num_args = len(signature(forward).parameters)

    def fake_backward(_: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        return tuple(tensor.new_empty(tensor.shape) for tensor in rest[:num_args])

    def fake_inference(inputs: Tensor, _: Tensor, weight: Tensor, *__: Tensor) -> tuple[Tensor, ...]:
        return (inputs.new_empty(*inputs.shape[:-1], weight.shape[-1]),)

    @functools.wraps(forward)
    def first_output(*args: Tensor) -> tuple[Tensor, ...]:
        return forward(*args)[:1]

    return (
        _operator(name, forward, fake, 2),
        _operator(f"{name}_inference", inference or first_output, fake_inference, 2),
        _operator(f"{name}_grad", backward, fake_backward, 4),
    )


def _operator(name: str, kernel: _Op, fake: _Op, factor: int) -> _ListOp:
    """Register and return an operator whose arguments and outputs all have N as their first axis.

    Args:
        name: Name without the namespace.
        kernel: Function that computes the outputs.
        fake: Function that returns empty tensors of the right shapes.
        factor: Number of operations per step, example and entry of the two weights.
    """
    qualified = f"optsuite::{name}"
    names = list(signature(kernel).parameters)
    weights = slice(names.index("input_weight"), names.index("weight") + 1)
    torch.library.define(qualified, f"({', '.join(f'Tensor {name}' for name in names)}) -> Tensor[]")
    torch.library.impl(qualified, "CompositeExplicitAutograd", lambda *tensors: list(kernel(*tensors)))
    torch.library.register_fake(qualified, lambda *tensors: list(fake(*tensors)))
    op: _ListOp = getattr(torch.ops.optsuite, name)

    def over_trials(
        info: Any,  # noqa: ANN401 - torch's own class
        in_dims: Sequence[int | None],
        *tensors: Tensor,
    ) -> tuple[list[Tensor], list[int]]:
        size = info.batch_size
        stacked = (
            t.expand(size, *t.shape) if dim is None else t.movedim(dim, 0)
            for t, dim in zip(tensors, in_dims, strict=True)
        )
        outputs = op(*(t.flatten(0, 1) for t in stacked))
        return [out.view(size, -1, *out.shape[1:]) for out in outputs], [0] * len(outputs)

    def count(*shapes: Sequence[int], **_: object) -> int:
        num_weights = sum(math.prod(shape) for shape in shapes[weights])
        return factor * shapes[0][1] * shapes[0][2] * num_weights

    torch.library.register_vmap(qualified, over_trials)
    FLOP_FORMULAS[op] = count
    return op
