"""Recurrences over time with gradients of their own.

A loop over time, as autograd records it, is slow under `vmap` and takes minutes to compile. Here a whole
recurrence is one operator, with another one for its gradient: the compiler need not look into them, and the
gradient of the weights is one product over all steps at once. Both have an axis of trials, N, which `vmap`
lengthens. Second derivatives are refused.

| letter | dimension |
| --- | --- |
| N | trials |
| T, B | steps and examples |
| E, H, G | features of the inputs, of the state, and of all gates together |
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from optsuite.modules import _onednn
from optsuite.modules._operator import differentiable

_aten = torch.ops.aten


def _lstm(
    inputs: Tensor, input_weight: Tensor, weight: Tensor, bias: Tensor, hidden: Tensor, cell: Tensor
) -> tuple[Tensor, ...]:
    """Return hidden states and cells (N, T, B, H), and gates i, f, o, g (N, T, B, G)."""
    if _onednn.serves(inputs):
        return _onednn.lstm(inputs, input_weight, weight, bias, hidden, cell)
    gates, weight = _projected(inputs, input_weight, bias), weight.mT
    hiddens, cells = _states_like(inputs, hidden), _states_like(inputs, cell)
    logistic = gates[..., : 3 * hidden.shape[-1]]
    for gate, ifo, i, f, o, g, h, c in _steps(gates, logistic, *gates.chunk(4, -1), hiddens, cells):
        gate.baddbmm_(hidden, weight)
        ifo.sigmoid_()
        g.tanh_()
        cell = torch.mul(f, cell, out=c).addcmul_(i, g)
        hidden = torch.tanh(cell, out=h).mul_(o)
    return hiddens, cells, gates


def _lstm_inference(
    inputs: Tensor, input_weight: Tensor, weight: Tensor, bias: Tensor, hidden: Tensor, cell: Tensor
) -> tuple[Tensor, ...]:
    """Return hidden states (N, T, B, H)."""
    run = _onednn.lstm_inference if _onednn.serves(inputs) else _lstm
    return run(inputs, input_weight, weight, bias, hidden, cell)[:1]


def _lstm_like(inputs: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
    bias, hidden, cell = rest[2:]
    if _onednn.serves(inputs):
        return _onednn.lstm_like(inputs, hidden)
    return _states_like(inputs, hidden), _states_like(inputs, cell), _states_like(inputs, bias)


def _lstm_grad(
    grad_hiddens: Tensor,
    inputs: Tensor,
    input_weight: Tensor,
    weight: Tensor,
    bias: Tensor,
    hidden: Tensor,
    cell: Tensor,
    hiddens: Tensor,
    cells: Tensor,
    gates: Tensor,
) -> tuple[Tensor, ...]:
    if _onednn.has_kept(gates):
        params = (input_weight, weight, bias)
        return _onednn.lstm_grad(grad_hiddens, inputs, *params, hidden, cell, hiddens, cells, gates)
    logistic = gates[..., : 3 * hidden.shape[-1]]
    i, f, o, g = gates.chunk(4, -1)
    # The derivatives of the cell by i, f and g, and of the hidden state by o and by the cell, are computed
    # for all steps at once, since small operators cost more than their arithmetic.
    grads, tanhs = torch.empty_like(gates), cells.tanh()
    torch.mul(logistic, 1 - logistic, out=grads[..., : 3 * hidden.shape[-1]])
    grad_i, grad_f, grad_o, grad_g = grads.chunk(4, -1)
    grad_i *= g
    grad_f *= _shifted(cell, cells)
    grad_o *= tanhs
    torch.mul(i, 1 - g * g, out=grad_g)
    through_tanh = o * (1 - tanhs * tanhs)
    grad_hidden, grad_cell = _zeros(hidden), _zeros(cell)
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
    of_weight = _weight_grad(grads, _shifted(hidden, hiddens))
    return *_layer_grads(grads, inputs, input_weight, of_weight), grad_hidden, grad_cell


def _gru(
    inputs: Tensor, input_weight: Tensor, weight: Tensor, bias: Tensor, hidden: Tensor
) -> tuple[Tensor, ...]:
    """Return hidden states (N, T, B, H), and gates z, r, a (N, T, B, G)."""
    gates, hiddens = _projected(inputs, input_weight, bias), _states_like(inputs, hidden)
    both_size = 2 * hidden.shape[-1]
    both_weight, new_weight = (part.mT for part in weight.tensor_split([both_size], 1))
    for both, z, r, a, h in _steps(gates[..., :both_size], *gates.chunk(3, -1), hiddens):
        both.baddbmm_(hidden, both_weight).sigmoid_()
        a.baddbmm_(r * hidden, new_weight).tanh_()
        hidden = torch.lerp(hidden, a, z, out=h)
    return hiddens, gates


def _gru_like(inputs: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
    bias, hidden = rest[2:]
    return _states_like(inputs, hidden), _states_like(inputs, bias)


def _gru_grad(
    grad_hiddens: Tensor,
    inputs: Tensor,
    input_weight: Tensor,
    weight: Tensor,
    _bias: Tensor,
    hidden: Tensor,
    hiddens: Tensor,
    gates: Tensor,
) -> tuple[Tensor, ...]:
    grads, both_size = torch.empty_like(gates), 2 * hidden.shape[-1]
    before = _shifted(hidden, hiddens)
    both_weight, new_weight = weight.tensor_split([both_size], 1)
    grad_hidden = _zeros(hidden)
    steps = _steps(
        *(grad_hiddens, before, gates[..., :both_size], grads[..., :both_size]),
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
        grad_hidden.baddbmm_(grad_both, both_weight)
    reset = gates[..., hidden.shape[-1] : both_size] * before
    of_weights = (_weight_grad(grads[..., :both_size], before), _weight_grad(grads[..., both_size:], reset))
    return *_layer_grads(grads, inputs, input_weight, torch.cat(of_weights, 1)), grad_hidden


def _relu_rnn(
    inputs: Tensor, input_weight: Tensor, weight: Tensor, bias: Tensor, hidden: Tensor
) -> tuple[Tensor, ...]:
    """Return hidden states (N, T, B, H)."""
    hiddens, weight = _projected(inputs, input_weight, bias), weight.mT
    for (h,) in _steps(hiddens):
        hidden = h.baddbmm_(hidden, weight).relu_()
    return (hiddens,)


def _relu_rnn_like(inputs: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
    return (_states_like(inputs, rest[-1]),)


def _relu_rnn_grad(
    grad_hiddens: Tensor,
    inputs: Tensor,
    input_weight: Tensor,
    weight: Tensor,
    _bias: Tensor,
    hidden: Tensor,
    hiddens: Tensor,
) -> tuple[Tensor, ...]:
    grads, grad_hidden = torch.empty_like(hiddens), _zeros(hidden)
    for of_hidden, hidden_after, grad in reversed(_steps(grad_hiddens, hiddens, grads)):
        grad_hidden += of_hidden
        grad.copy_(_aten.threshold_backward(grad_hidden, hidden_after, 0))
        torch.bmm(grad, weight, out=grad_hidden)
    of_weight = _weight_grad(grads, _shifted(hidden, hiddens))
    return *_layer_grads(grads, inputs, input_weight, of_weight), grad_hidden


def _projected(inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return what the inputs and biases add to the gates: (N, T, B, G)."""
    gates = torch.baddbmm(bias[:, None], inputs.flatten(1, 2), weight.mT)
    return gates.view(*inputs.shape[:-1], weight.shape[1])


def _layer_grads(
    grads: Tensor, inputs: Tensor, input_weight: Tensor, of_weight: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients of inputs, both weights and bias, given those of the gates and `of_weight`."""
    of_inputs = torch.bmm(grads.flatten(1, 2), input_weight).view_as(inputs)
    return of_inputs, _weight_grad(grads, inputs), of_weight, grads.sum((1, 2))


def _weight_grad(grads: Tensor, factors: Tensor) -> Tensor:
    """Sum the outer products of (N, T, B, G) and (N, T, B, K) over steps and examples: (N, G, K)."""
    return torch.bmm(grads.flatten(1, 2).mT, factors.flatten(1, 2))


def _steps(*tensors: Tensor) -> list[tuple[Tensor, ...]]:
    """Return views of each step of (N, T, ...), made at once: each alone costs as much as an operator."""
    return list(zip(*(tensor.unbind(1) for tensor in tensors), strict=True))


def _states_like(inputs: Tensor, features: Tensor) -> Tensor:
    """Return an empty tensor (N, T, B, K) for inputs (N, T, B, E) and features (N, ..., K)."""
    return inputs.new_empty(*inputs.shape[:-1], features.shape[-1])


def _zeros(state: Tensor) -> Tensor:
    """Return zeros in the shape of a state, whose strides do not depend on the state's."""
    return state.new_zeros(state.shape)


def _shifted(first: Tensor, states: Tensor) -> Tensor:
    """Return the state before each step: (N, T, B, H)."""
    return torch.cat([first[:, None], states[:, :-1]], 1)


_LSTM = differentiable("lstm", _lstm, _lstm_grad, _lstm_like, _lstm_inference)
_GRU = differentiable("gru", _gru, _gru_grad, _gru_like)
_RELU_RNN = differentiable("relu_rnn", _relu_rnn, _relu_rnn_grad, _relu_rnn_like)


def lstm(
    inputs: Tensor, input_weight: Tensor, weight: Tensor, bias: Tensor, hidden: Tensor, cell: Tensor
) -> Tensor:
    """Run long short-term memory: c' = s(f) c + s(i) tanh(g), h' = s(o) tanh(c'), s the logistic function.

    Args:
        inputs: (T, B, E).
        input_weight: Weights from the inputs to the gates i, f, o, g, (4 H, E).
        weight: Weights from the hidden state to the gates, (4 H, H).
        bias: (4 H,).
        hidden: Hidden state before the first step, (B, H).
        cell: Cell before the first step, (B, H).

    Returns:
        Hidden states after each step, (T, B, H).

    Source: Hochreiter and Schmidhuber, 1997.
    """
    return _of_one_trial(_LSTM, inputs, input_weight, weight, bias, hidden, cell)


def gru(inputs: Tensor, input_weight: Tensor, weight: Tensor, bias: Tensor, hidden: Tensor) -> Tensor:
    """Run gated recurrent units: h' = (1 - z) h + z a, a = tanh(x + W (r h)), gates z and r logistic.

    This differs from `torch.nn.GRU`, which resets after the product and has z the other way round.

    Args:
        inputs: (T, B, E).
        input_weight: Weights from the inputs to z, r, a, (3 H, E).
        weight: Weights from the hidden state to z, r, a, (3 H, H).
        bias: (3 H,).
        hidden: Hidden state before the first step, (B, H).

    Returns:
        Hidden states after each step, (T, B, H).

    Source: Cho et al., 2014; dm-haiku, `hk.GRU`.
    """
    return _of_one_trial(_GRU, inputs, input_weight, weight, bias, hidden)


def relu_rnn(inputs: Tensor, input_weight: Tensor, weight: Tensor, bias: Tensor, hidden: Tensor) -> Tensor:
    """Run a plain recurrence: h' = relu(V x + W h + b).

    Args:
        inputs: (T, B, E).
        input_weight: V, (H, E).
        weight: W, (H, H).
        bias: b, (H,).
        hidden: Hidden state before the first step, (B, H).

    Returns:
        Hidden states after each step, (T, B, H).
    """
    return _of_one_trial(_RELU_RNN, inputs, input_weight, weight, bias, hidden)


def _of_one_trial(op: Callable[..., Tensor], *args: Tensor) -> Tensor:
    dtype, kind = args[0].dtype, args[0].device.type
    if dtype != torch.float64 and torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
        dtype = torch.get_autocast_dtype(kind)
    return op(*(arg[None].to(dtype) for arg in args)).squeeze(0)
