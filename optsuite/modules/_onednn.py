"""The LSTM layer of oneDNN, which `torch.nn.LSTM` runs on CPUs: the fastest one there for a single trial.

The order of its gates is i, f, g, o.
"""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

_LSTM = 2  # the number of this kind among torch's recurrent layers
_aten = torch.ops.aten


def serves(inputs: Tensor) -> bool:
    """Return whether the layer can run on these inputs, (N, T, B, E)."""
    backend: Any = torch.backends.mkldnn  # which has no types
    is_here = inputs.device.type == "cpu" and backend.is_available()
    return is_here and inputs.dtype == torch.float32 and inputs.shape[0] == 1 and inputs.numel() > 0


def lstm(
    inputs: Tensor, input_weight: Tensor, weight: Tensor, bias: Tensor, hidden: Tensor, cell: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return hidden states (1, T, B, H), the last cell (1, B, H), and the bytes that the gradient needs."""
    args = _arguments(inputs, input_weight, weight, bias, hidden, cell)
    with torch.enable_grad():  # without it the layer keeps nothing for the gradient
        outputs, _, last, workspace = _aten.mkldnn_rnn_layer(*args, train=True, **_settings(hidden))
    return outputs[None], last, workspace[None]


def lstm_inference(
    inputs: Tensor, input_weight: Tensor, weight: Tensor, bias: Tensor, hidden: Tensor, cell: Tensor
) -> tuple[Tensor]:
    """Return hidden states (1, T, B, H)."""
    args = _arguments(inputs, input_weight, weight, bias, hidden, cell)
    outputs = _aten.mkldnn_rnn_layer(*args, train=False, **_settings(hidden))
    return (outputs[0][None],)


def lstm_like(inputs: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return empty tensors of the shapes that `lstm` returns."""
    *leading, features = inputs.shape
    size = hidden.shape[-1]
    # Whole numbers, no symbols of the compiler: each size is compiled by itself.
    num_bytes = _workspace_size(*map(int, (*leading[1:], features, size)))
    workspace = inputs.new_empty(1, num_bytes, dtype=torch.uint8)
    return inputs.new_empty(*leading, size), hidden.new_empty(hidden.shape), workspace


def has_kept(saved: Tensor) -> bool:
    """Return whether `lstm` saved this: `vmap` may ask for the gradient of more trials than ran."""
    return saved.dtype == torch.uint8


def lstm_grad(*args: Tensor) -> tuple[Tensor, ...]:
    """Return the gradients of the arguments of `lstm`, computed for one trial after the other.

    Args:
        *args: The gradient of the hidden states, the arguments of `lstm` and its results, for N trials. The
            layer writes into the bytes among these, and returns the same when it is called again.
    """
    of_trials = [_lstm_grad(*trial) for trial in zip(*(arg[:, None] for arg in args), strict=True)]
    return tuple(torch.cat(grads) for grads in zip(*of_trials, strict=True))


def _lstm_grad(grad_hiddens: Tensor, *kept: Tensor) -> tuple[Tensor, ...]:
    *args, hiddens, last_cell, workspace = kept
    nothing = torch.zeros_like(last_cell)
    of_inputs, of_input_weight, of_weight, of_bias, _, of_hidden, of_cell = _aten.mkldnn_rnn_layer_backward(
        *(*_arguments(*args), hiddens[0], hiddens[:, -1], last_cell),
        *(grad_hiddens[0].contiguous(), nothing, nothing),
        train=True,
        workspace=workspace[0],
        **_settings(last_cell),
    )
    of_params = (_swapped(grad[None]) for grad in (of_input_weight, of_weight, of_bias))
    return of_inputs[None], *of_params, of_hidden, of_cell


def _arguments(
    inputs: Tensor, input_weight: Tensor, weight: Tensor, bias: Tensor, hidden: Tensor, cell: Tensor
) -> list[Tensor]:
    """Return the arguments in the form of oneDNN's layer, which has two biases."""
    params = [_swapped(param)[0] for param in (input_weight, weight, bias)]
    args = (inputs[0], *params, torch.zeros_like(params[-1]), hidden, cell)
    return [arg.detach().contiguous() for arg in args]


def _swapped(param: Tensor) -> Tensor:
    """Swap the last two gates: i, f, o, g to i, f, g, o, and back."""
    i, f, third, fourth = param.chunk(4, 1)
    return torch.cat([i, f, fourth, third], 1)


def _settings(hidden: Tensor) -> dict[str, Any]:
    return {
        "mode": _LSTM,
        "hidden_size": hidden.shape[-1],
        "num_layers": 1,
        "has_biases": True,
        "bidirectional": False,
        "batch_first": False,
        "reverse": False,
        "batch_sizes": [],
    }


@functools.cache
def _workspace_size(steps: int, examples: int, features: int, size: int) -> int:
    """Return the number of bytes that the layer keeps, which only running it tells.

    It runs in another thread, where nothing that traces this one sees it.
    """

    def run() -> int:
        shapes = [(1, steps, examples, features), (1, 4 * size, features), (1, 4 * size, size), (1, 4 * size)]
        states = [(1, examples, size)] * 2
        args = (torch.zeros(shape, dtype=torch.float32, device="cpu") for shape in [*shapes, *states])
        return lstm(*args)[2].numel()

    with ThreadPoolExecutor(1) as another:
        return another.submit(run).result()
