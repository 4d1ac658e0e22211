"""Recurrences over time with gradients of their own.

What autograd records of a loop over time is slow under `vmap` and takes minutes to compile. Here a whole
recurrence is one operator, with another for its gradient: they compile as they stand, and the gradient of the
weights is one product over all steps at once. Both carry an axis of trials, N, which `vmap` lengthens.
Second derivatives are refused.

| letter | dimension |
| --- | --- |
| N | trials |
| T, B | steps and examples |
| H, G | features of the state, and of all gates together |
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from optsuite import _compiler
from optsuite.errors import UnsupportedError

__all__ = ["FLOP_FORMULAS", "gru", "lstm", "relu_rnn"]

FLOP_FORMULAS: dict[Any, Callable[..., int]] = {}
"""By operator, from the shapes of its arguments; for the `custom_mapping` of torch's `FlopCounterMode`."""

_Op: TypeAlias = Callable[..., tuple[Tensor, ...]]
_ListOp: TypeAlias = Callable[..., list[Tensor]]
_aten = torch.ops.aten


def _lstm(inputs: Tensor, weight: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, ...]:
    """Hidden states (N, T, B, H), cells, their tanh, and gates i, f, o, g (N, T, B, G)."""
    gates, size = torch.empty_like(inputs), hidden.shape[-1]
    hiddens, cells, tanhs = (_states(inputs, size) for _ in range(3))
    weight, logistic = weight.mT, gates[..., : 3 * size]
    for x, gate, ifo, i, f, o, g, h, c, tanh in _steps(
        inputs, gates, logistic, *gates.chunk(4, -1), hiddens, cells, tanhs
    ):
        torch.baddbmm(x, hidden, weight, out=gate)
        ifo.sigmoid_()
        g.tanh_()
        cell = torch.mul(f, cell, out=c).addcmul_(i, g)
        hidden = torch.mul(torch.tanh(cell, out=tanh), o, out=h)
    return hiddens, cells, tanhs, gates


def _lstm_grad(
    grad_hiddens: Tensor,
    weight: Tensor,
    hidden: Tensor,
    cell: Tensor,
    hiddens: Tensor,
    cells: Tensor,
    tanhs: Tensor,
    gates: Tensor,
) -> tuple[Tensor, ...]:
    size = hidden.shape[-1]
    i, f, o, g = gates.chunk(4, -1)
    # What a gate changes of the cell (i, f, g) or of the hidden state (o), and what a cell changes of that:
    # for all steps at once, since small operators cost more than their arithmetic.
    grads, logistic = torch.empty_like(gates), gates[..., : 3 * size]
    torch.mul(logistic, 1 - logistic, out=grads[..., : 3 * size])
    grad_i, grad_f, grad_o, grad_g = grads.chunk(4, -1)
    grad_i *= g
    grad_f *= _shifted(cell, cells)
    grad_o *= tanhs
    torch.mul(i, 1 - g * g, out=grad_g)
    through_tanh = o * (1 - tanhs * tanhs)
    grad_hidden, grad_cell = torch.zeros_like(hidden), torch.zeros_like(cell)
    steps = _steps(grad_hiddens, through_tanh, f, grads, grad_i, grad_f, grad_o, grad_g)
    for grad, tanh, forget, gate, of_i, of_f, of_o, of_g in reversed(steps):
        grad_hidden += grad
        grad_cell.addcmul_(grad_hidden, tanh)
        of_o.mul_(grad_hidden)
        of_i.mul_(grad_cell)
        of_f.mul_(grad_cell)
        of_g.mul_(grad_cell)
        grad_cell *= forget
        torch.bmm(gate, weight, out=grad_hidden)
    return grads, _weight_grad(grads, _shifted(hidden, hiddens)), grad_hidden, grad_cell


def _gru(inputs: Tensor, weight: Tensor, hidden: Tensor) -> tuple[Tensor, ...]:
    """Hidden states (N, T, B, H), and gates z, r, a (N, T, B, G)."""
    gates, size = torch.empty_like(inputs), hidden.shape[-1]
    hiddens = _states(inputs, size)
    gate_weight, new_weight = weight[:, : 2 * size].mT, weight[:, 2 * size :].mT
    halves = (*inputs.tensor_split([2 * size], -1), gates[..., : 2 * size])
    for x_both, x_new, both, z, r, a, h in _steps(*halves, *gates.chunk(3, -1), hiddens):
        torch.baddbmm(x_both, hidden, gate_weight, out=both).sigmoid_()
        torch.baddbmm(x_new, r * hidden, new_weight, out=a).tanh_()
        hidden = torch.lerp(hidden, a, z, out=h)
    return hiddens, gates


def _gru_grad(
    grad_hiddens: Tensor, weight: Tensor, hidden: Tensor, hiddens: Tensor, gates: Tensor
) -> tuple[Tensor, ...]:
    grads, size = torch.empty_like(gates), hidden.shape[-1]
    before = _shifted(hidden, hiddens)
    gate_weight, new_weight = weight[:, : 2 * size], weight[:, 2 * size :]
    grad_hidden = torch.zeros_like(hidden)
    steps = _steps(
        *(grad_hiddens, before, gates[..., : 2 * size], grads[..., : 2 * size]),
        *(*gates.chunk(3, -1), *grads.chunk(3, -1)),
    )
    for grad, h, both, grad_both, z, r, a, grad_z, grad_r, grad_a in reversed(steps):
        grad_hidden += grad
        torch.mul(grad_hidden, a - h, out=grad_z)
        grad_new = grad_hidden * z
        grad_hidden -= grad_new
        grad_a.copy_(_aten.tanh_backward(grad_new, a))
        grad_reset = torch.bmm(grad_a, new_weight)
        torch.mul(grad_reset, h, out=grad_r)
        grad_hidden.addcmul_(grad_reset, r)
        grad_both.copy_(_aten.sigmoid_backward(grad_both, both))
        grad_hidden.baddbmm_(grad_both, gate_weight)
    reset = gates[..., size : 2 * size] * before
    grad_weights = (
        _weight_grad(grads[..., : 2 * size], before),
        _weight_grad(grads[..., 2 * size :], reset),
    )
    return grads, torch.cat(grad_weights, 1), grad_hidden


def _relu_rnn(inputs: Tensor, weight: Tensor, hidden: Tensor) -> tuple[Tensor, ...]:
    """Hidden states (N, T, B, H)."""
    hiddens, weight = torch.empty_like(inputs), weight.mT
    for x, h in _steps(inputs, hiddens):
        hidden = torch.baddbmm(x, hidden, weight, out=h).relu_()
    return (hiddens,)


def _relu_rnn_grad(
    grad_hiddens: Tensor, weight: Tensor, hidden: Tensor, hiddens: Tensor
) -> tuple[Tensor, ...]:
    grads, grad_hidden = torch.empty_like(hiddens), torch.zeros_like(hidden)
    for of_hidden, hidden_after, grad in reversed(_steps(grad_hiddens, hiddens, grads)):
        grad_hidden += of_hidden
        grad.copy_(_aten.threshold_backward(grad_hidden, hidden_after, 0))
        torch.bmm(grad, weight, out=grad_hidden)
    return grads, _weight_grad(grads, _shifted(hidden, hiddens)), grad_hidden


def _steps(*tensors: Tensor) -> list[tuple[Tensor, ...]]:
    """Views of each step of (N, T, ...), all made at once: one by one they cost what small operators do."""
    return list(zip(*(tensor.unbind(1) for tensor in tensors), strict=True))


def _states(inputs: Tensor, size: int) -> Tensor:
    return inputs.new_empty(*inputs.shape[:-1], size)


def _shifted(first: Tensor, states: Tensor) -> Tensor:
    """The state before each step: (N, T, B, H)."""
    return torch.cat([first[:, None], states[:, :-1]], 1)


def _weight_grad(grads: Tensor, states: Tensor) -> Tensor:
    return torch.bmm(grads.flatten(1, 2).mT, states.flatten(1, 2))


def _differentiable(name: str, forward: _Op, backward: _Op, num_states: int, num_outputs: int) -> _Op:
    """Register both as operators and join them.

    Args:
        name: Of the forward operator.
        forward: (inputs, weight, *states) to its outputs: hidden states, what else the gradient needs.
        backward: (gradient of the hidden states, weight, *states, *outputs) to those of the inputs, the
            weight and the states.
        num_states: How many states there are before the first step.
        num_outputs: How many tensors `forward` gives; the last has the shape of the inputs.

    Returns:
        (inputs, weight, *states) to the outputs, of which the first is differentiable.
    """

    def fake_forward(inputs: Tensor, _: Tensor, *states: Tensor) -> list[Tensor]:
        size = states[0].shape[-1]
        return [*(_states(inputs, size) for _ in range(num_outputs - 1)), torch.empty_like(inputs)]

    def fake_backward(_: Tensor, weight: Tensor, *rest: Tensor) -> list[Tensor]:
        return [torch.empty_like(tensor) for tensor in (rest[-1], weight, *rest[:num_states])]

    forward_op = _operator(name, forward, fake_forward, 2 + num_states, 2)
    backward_op = _operator(f"{name}_grad", backward, fake_backward, 2 + num_states + num_outputs, 4)

    class Gradient(torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(*args: Tensor) -> tuple[Tensor, ...]:
            return tuple(backward_op(*args))

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, ...]) -> None:  # noqa: ANN401 - torch's own class
            pass

        @staticmethod
        def backward(*_: object) -> None:
            raise UnsupportedError(
                f"a second derivative through `{name}` was asked for, and there is only a first one: write "
                "the cell as a loop over time"
            )

    class Recurrence(torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(*args: Tensor) -> tuple[Tensor, ...]:
            return tuple(forward_op(*args))

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, ...]) -> None:  # noqa: ANN401 - torch's own class
            ctx.mark_non_differentiable(*output[1:])
            ctx.save_for_backward(*inputs[1:], *output)

        @staticmethod
        def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor, ...]:  # noqa: ANN401 - likewise
            grads: tuple[Tensor, ...] = Gradient.apply(grad, *ctx.saved_tensors)
            return grads

    @_compiler.opaque  # which cannot look into such a class under vmap, and need not
    def apply(*args: Tensor) -> tuple[Tensor, ...]:
        outputs: tuple[Tensor, ...] = Recurrence.apply(*args)
        return outputs

    return apply


def _operator(name: str, kernel: _Op, fake: _ListOp, num_args: int, factor: int) -> _ListOp:
    """An operator whose arguments and outputs all have N as their first axis.

    Args:
        name: Without the namespace.
        kernel: What it does.
        fake: The same for shapes alone.
        num_args: Its arguments; the first is (N, T, B, ...), the second the weight, (N, G, H).
        factor: Operations per step, example and entry of the weight.
    """
    qualified = f"optsuite::{name}"
    args = ", ".join(f"Tensor arg{i}" for i in range(num_args))
    torch.library.define(qualified, f"({args}) -> Tensor[]")
    torch.library.impl(qualified, "CompositeExplicitAutograd", lambda *tensors: list(kernel(*tensors)))
    torch.library.register_fake(qualified, fake)
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

    def count(first: torch.Size, weight: torch.Size, *_: object, **__: object) -> int:
        return factor * first[1] * first[2] * torch.Size(weight).numel()

    torch.library.register_vmap(qualified, over_trials)
    FLOP_FORMULAS[op] = count
    return op


_LSTM = _differentiable("lstm", _lstm, _lstm_grad, 2, 4)
_GRU = _differentiable("gru", _gru, _gru_grad, 1, 2)
_RELU_RNN = _differentiable("relu_rnn", _relu_rnn, _relu_rnn_grad, 1, 1)


def lstm(inputs: Tensor, weight: Tensor, hidden: Tensor, cell: Tensor) -> Tensor:
    """Long short-term memory: c' = s(f) c + s(i) tanh(g), h' = s(o) tanh(c'), s the logistic function.

    Args:
        inputs: (T, B, 4 H): what the inputs and biases add to the gates i, f, o, g.
        weight: (4 H, H): from the hidden state to the gates.
        hidden: (B, H), before the first step.
        cell: (B, H), likewise.

    Returns:
        (T, B, H), the hidden states after each step.

    Source: Hochreiter and Schmidhuber, 1997.
    """
    return _of_one_trial(_LSTM, inputs, weight, hidden, cell)


def gru(inputs: Tensor, weight: Tensor, hidden: Tensor) -> Tensor:
    """Gated recurrent units: h' = (1 - z) h + z a, a = tanh(x + W (r h)), gates z and r logistic.

    Unlike `torch.nn.GRU`, which resets after the product and has z the other way round.

    Args:
        inputs: (T, B, 3 H): what the inputs and biases add to z, r, a.
        weight: (3 H, H): from the hidden state to them.
        hidden: (B, H), before the first step.

    Returns:
        (T, B, H), the hidden states after each step.

    Source: Cho et al., 2014; dm-haiku, `hk.GRU`.
    """
    return _of_one_trial(_GRU, inputs, weight, hidden)


def relu_rnn(inputs: Tensor, weight: Tensor, hidden: Tensor) -> Tensor:
    """Plain recurrence: h' = relu(x + W h).

    Args:
        inputs: (T, B, H).
        weight: (H, H).
        hidden: (B, H), before the first step.

    Returns:
        (T, B, H), the hidden states after each step.
    """
    return _of_one_trial(_RELU_RNN, inputs, weight, hidden)


def _of_one_trial(op: _Op, *args: Tensor) -> Tensor:
    dtype = args[0].dtype  # autocast gives products of its own, beside weights of another
    return op(*(arg[None].to(dtype) for arg in args))[0].squeeze(0)
