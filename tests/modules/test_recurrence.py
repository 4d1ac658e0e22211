"""The recurrent operators do what a loop over time does, and so do their gradients."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.func import grad, grad_and_value, jacrev, jvp, vmap
from torch.utils.flop_counter import FlopCounterMode

from optsuite.errors import UnsupportedError
from optsuite.modules import FLOP_FORMULAS, GRU, IRNN, LSTM, VanillaRNN, _onednn
from optsuite.modules._recurrence import gru, lstm, relu_rnn
from optsuite.trainer._compile import Compiled

T, B, E, H = 5, 3, 6, 4


def loop_lstm(inputs, input_weight, weight, bias, hidden, cell):
    outputs = []
    for gates in inputs @ input_weight.mT + bias:
        i, f, o, g = (gates + hidden @ weight.mT).chunk(4, -1)
        cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
        hidden = o.sigmoid() * cell.tanh()
        outputs.append(hidden)
    return torch.stack(outputs)


def loop_gru(inputs, input_weight, weight, bias, hidden):
    outputs = []
    for gates in inputs @ input_weight.mT + bias:
        z, r = (gates[:, : 2 * H] + hidden @ weight[: 2 * H].mT).sigmoid().chunk(2, -1)
        a = (gates[:, 2 * H :] + (r * hidden) @ weight[2 * H :].mT).tanh()
        hidden = (1 - z) * hidden + z * a
        outputs.append(hidden)
    return torch.stack(outputs)


def loop_relu_rnn(inputs, input_weight, weight, bias, hidden):
    outputs = []
    for sums in inputs @ input_weight.mT + bias:
        hidden = (sums + hidden @ weight.mT).relu()
        outputs.append(hidden)
    return torch.stack(outputs)


CELLS = [(lstm, loop_lstm, 4 * H, 2), (gru, loop_gru, 3 * H, 1), (relu_rnn, loop_relu_rnn, H, 1)]
every_cell = pytest.mark.parametrize(("op", "loop", "gates", "num_states"), CELLS, ids=["lstm", "gru", "rnn"])


def arguments(gates, num_states, *leading, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    shapes = [(T, B, E), (gates, E), (gates, H), (gates,), *[(B, H)] * num_states]
    return [torch.randn((*leading, *shape), generator=generator, dtype=dtype) for shape in shapes]


def grads_and_loss(fn, num_args):
    """Return the gradients and the loss of a function, with a weight of its own for each output."""

    def loss(*args):
        outputs = fn(*args)
        weights = torch.linspace(-1, 1, T * B * H, device=outputs.device).view(T, B, H)
        return (outputs * weights).sum()

    return grad_and_value(loss, argnums=tuple(range(num_args)))


def in_one_graph(fn):
    return Compiled(fn, "it", is_known=True)


@every_cell
def test_recurrence_is_that_of_a_loop(op, loop, gates, num_states):
    args = arguments(gates, num_states)
    torch.testing.assert_close(op(*args), loop(*args))


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_lstm_of_one_trial_is_that_of_a_loop(compiled):
    args = arguments(4 * H, 2)
    ours, loop = (grads_and_loss(fn, len(args)) for fn in (lstm, loop_lstm))
    ours = in_one_graph(ours) if compiled else ours
    torch.testing.assert_close(ours(*args), loop(*args), rtol=1e-4, atol=1e-5)


def test_lstm_of_one_trial_needs_no_onednn(monkeypatch):
    args = arguments(4 * H, 2)
    monkeypatch.setattr(_onednn, "serves", lambda inputs: False)
    ours, loop = (grads_and_loss(fn, len(args))(*args) for fn in (lstm, loop_lstm))
    torch.testing.assert_close(ours, loop, rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")
@pytest.mark.parametrize("grad_enabled", [False, True])
def test_lstm_of_one_trial_runs_on_onednn(grad_enabled):
    with torch.profiler.profile() as profile, torch.set_grad_enabled(grad_enabled):
        lstm(*arguments(4 * H, 2))
    assert "aten::mkldnn_rnn_layer" in {event.name for event in profile.events()}


@every_cell
@pytest.mark.parametrize("num_trials", [1, 2])
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_inference_is_that_of_a_loop(op, loop, gates, num_states, num_trials, compiled):
    args = arguments(gates, num_states, num_trials)
    ours = in_one_graph(vmap(op)) if compiled else vmap(op)
    with torch.no_grad():
        torch.testing.assert_close(ours(*args), vmap(loop)(*args))


@every_cell
def test_gradients_are_those_of_numbers(op, loop, gates, num_states):
    args = [arg.requires_grad_() for arg in arguments(gates, num_states, dtype=torch.float64)]
    assert torch.autograd.gradcheck(op, args)


@every_cell
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_vmap_over_seeds_and_configs_is_that_of_a_loop(op, loop, gates, num_states, compiled):
    """The configs share their inputs, as in a grid of trials."""
    inputs, *rest = arguments(gates, num_states, 2, 3)
    args = [inputs[:, 0], *rest]
    in_dims = [(None, *[0] * len(rest)), (0, *[0] * len(rest))]

    def lifted(fn):
        return vmap(vmap(grads_and_loss(fn, len(args)), in_dims=in_dims[0]), in_dims=in_dims[1])

    ours = in_one_graph(lifted(op)) if compiled else lifted(op)
    torch.testing.assert_close(ours(*args), lifted(loop)(*args), rtol=1e-4, atol=1e-5)


@every_cell
@pytest.mark.parametrize("num_trials", [1, 2])
def test_strides_of_arguments_do_not_matter(op, loop, gates, num_states, num_trials):
    """Compiled code relies on the strides that the fake operators foretell."""
    args = arguments(gates, num_states, num_trials)

    def with_other_strides(fn):
        def run(inputs, *rest):
            inputs = inputs.transpose(0, 1).contiguous().transpose(0, 1)
            return fn(inputs, *rest[:3], *(state.mT.contiguous().mT for state in rest[3:]))

        return vmap(grads_and_loss(run, len(args)))

    ours = in_one_graph(with_other_strides(op))
    torch.testing.assert_close(ours(*args), with_other_strides(loop)(*args), rtol=1e-4, atol=1e-5)


@every_cell
def test_what_is_foretold_of_operators_is_true(op, loop, gates, num_states):
    args = [arg[None] for arg in arguments(gates, num_states)]
    name = {lstm: "lstm", gru: "gru", relu_rnn: "relu_rnn"}[op]
    forward, inference, backward = (
        getattr(torch.ops.optsuite, name + suffix).default for suffix in ("", "_inference", "_grad")
    )
    outputs = forward(*args)
    calls = {forward: args, inference: args, backward: [outputs[0], *args, *outputs]}
    for operator, its_args in calls.items():
        torch.library.opcheck(operator, its_args, test_utils="test_faketensor")


@every_cell
def test_gradients_of_many_losses_of_one_run(op, loop, gates, num_states):
    """The gradient then has trials that the run itself had not."""
    args = arguments(gates, num_states)
    scales = torch.tensor([1.0, -2.0])

    def grads(fn):
        def loss(args, scale):
            return (fn(*args) * scale).square().sum()

        return vmap(grad(loss), in_dims=(None, 0))(tuple(args), scales)

    torch.testing.assert_close(grads(op), grads(loop), rtol=1e-4, atol=1e-4)
    jacobians = (jacrev(fn)(*args) for fn in (op, loop))
    torch.testing.assert_close(*jacobians, rtol=1e-4, atol=1e-5)


@every_cell
@pytest.mark.parametrize("grad_enabled", [False, True])
def test_batches_of_any_size_run_compiled(op, loop, gates, num_states, grad_enabled):
    inputs, *params = arguments(gates, num_states)
    ours = in_one_graph(op)
    with torch.set_grad_enabled(grad_enabled):
        for size in (3, 2, 1):
            args = inputs[:, :size], *params[:3], *(state[:size] for state in params[3:])
            torch.testing.assert_close(ours(*args), loop(*args))


@every_cell
@pytest.mark.filterwarnings("ignore:.*torch.jit.script:FutureWarning")
@pytest.mark.parametrize("grad_enabled", [False, True])
def test_forward_mode_is_refused(op, loop, gates, num_states, grad_enabled):
    """Otherwise the derivatives would be zeros."""
    args = tuple(arguments(gates, num_states))
    with torch.set_grad_enabled(grad_enabled), pytest.raises(RuntimeError, match="jvp"):
        jvp(op, args, args)


@every_cell
def test_nothing_gives_nothing(op, loop, gates, num_states):
    inputs, *rest = arguments(gates, num_states)
    assert op(inputs[:0], *rest).shape == (0, B, H)
    states = [state[:0] for state in rest[3:]]
    assert op(inputs[:, :0], *rest[:3], *states).shape == (T, 0, H)


def test_double_precision_is_left_alone_by_autocast():
    args = arguments(4 * H, 2, dtype=torch.float64)
    with torch.autocast("cpu", torch.bfloat16):
        assert lstm(*args).dtype == torch.float64


@every_cell
def test_second_derivatives_are_refused(op, loop, gates, num_states):
    """Otherwise they would be zeros, and nobody would know."""
    inputs, *rest = arguments(gates, num_states)

    def loss(inputs):
        return op(inputs, *rest).sum()

    with pytest.raises(UnsupportedError, match="write the cell as a loop over time"):
        jacrev(grad(loss))(inputs)
    (first,) = torch.autograd.grad(loss(inputs.requires_grad_()), inputs, create_graph=True)
    with pytest.raises(UnsupportedError, match="a second derivative"):
        torch.autograd.grad(first.sum(), inputs)


@pytest.mark.parametrize("make", [LSTM, GRU, VanillaRNN])
def test_layers_run_under_autocast(make):
    core, inputs = with_random_parameters(make(6, H)), torch.randn(T, B, 6)
    with torch.autocast("cpu", torch.bfloat16):
        outputs = core(inputs)
    torch.testing.assert_close(outputs.float(), core(inputs), rtol=0.1, atol=0.1)


@every_cell
@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_recurrence_on_a_gpu_is_that_on_the_cpu(op, loop, gates, num_states):
    args = arguments(gates, num_states)
    expected = grads_and_loss(op, len(args))(*args)
    moved = grads_and_loss(op, len(args))(*(arg.cuda() for arg in args))
    torch.testing.assert_close(moved, expected, check_device=False, rtol=1e-4, atol=1e-5)


@every_cell
def test_operations_are_counted_for_shapes_alone(op, loop, gates, num_states):
    """There are two products in each step forwards, and four backwards."""
    args = [arg.to("meta").requires_grad_() for arg in arguments(gates, num_states)]
    with FlopCounterMode(display=False, custom_mapping=FLOP_FORMULAS) as counter:
        grads = torch.autograd.grad(op(*args).sum(), args)
    assert [grad.shape for grad in grads] == [arg.shape for arg in args]
    assert counter.get_total_flops() == 3 * 2 * T * B * gates * (E + H)


def with_random_parameters(layer):
    generator = torch.Generator().manual_seed(0)
    for param in layer.parameters():
        param.data = torch.randn(param.shape, generator=generator)
    return layer


def test_lstm_is_that_of_torch_but_for_the_forget_gate_and_the_first_state():
    ours, theirs = with_random_parameters(LSTM(6, H)), nn.LSTM(6, H)
    order = [0, 1, 3, 2]  # torch has the gates i, f, g, o
    weight, bias = (p.detach().unflatten(0, (4, H))[order] for p in (ours.weight, ours.bias))
    bias[1] += 1
    theirs.weight_ih_l0.data, theirs.weight_hh_l0.data = weight.flatten(0, 1).tensor_split([6], 1)
    theirs.bias_ih_l0.data, theirs.bias_hh_l0.data = bias.flatten(), torch.zeros(4 * H)
    inputs = torch.randn(T, B, 6)
    states = tuple(state.expand(B, -1)[None].contiguous() for state in (ours.hidden, ours.cell))
    torch.testing.assert_close(ours(inputs), theirs(inputs, states)[0])


@pytest.mark.parametrize("make", [VanillaRNN, IRNN])
def test_relu_rnn_is_that_of_torch_but_for_the_first_state(make):
    ours, theirs = with_random_parameters(make(6, H)), nn.RNN(6, H, nonlinearity="relu")
    theirs.weight_ih_l0.data, theirs.bias_ih_l0.data = ours.from_input.weight, ours.from_input.bias
    theirs.weight_hh_l0.data, theirs.bias_hh_l0.data = ours.from_hidden.weight, ours.from_hidden.bias
    inputs = torch.randn(T, B, 6)
    torch.testing.assert_close(ours(inputs), theirs(inputs, ours.hidden.expand(B, -1)[None].contiguous())[0])


def test_irnn_starts_as_a_sum_of_its_inputs():
    core = IRNN(6, H)
    torch.nn.init.ones_(core.from_input.weight)
    inputs = torch.rand(T, B, 6)
    expected = inputs.sum(-1, keepdim=True).cumsum(0).expand(-1, -1, H)
    torch.testing.assert_close(core(inputs), expected)


def test_gru_resets_before_the_product():
    """If the update gate is open and the reset gate is shut, nothing of the state is left."""
    core = GRU(6, H)
    core.bias.data[:H], core.bias.data[H : 2 * H] = 100.0, -100.0
    inputs = torch.randn(T, B, 6)
    new = inputs @ core.input_weight[2 * H :].mT
    torch.testing.assert_close(core(inputs), new.tanh())
