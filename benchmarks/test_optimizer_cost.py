"""Time of one update of each optimizer in a group of 75 trials, against Adam's in the same run.

The update alone, compiled, with the addition to the parameters; for a small network, where calls cost, and
for a larger one, where arithmetic and memory do.
"""

from __future__ import annotations

import time

import pytest
import torch

from optsuite import get_optimizer, get_task, list_optimizers
from optsuite.trainer import resolve_device
from optsuite.trainer._compile import Compiled

GROUPS = {"ImageMLP_FashionMnist8_Relu32": 75, "ImageMLP_Cifar10_128x128x128_Relu": 15}
SECONDS, ROUNDS = 0.2, 5


def make_step(name, given, task, num_trials, device):
    """A compiled function from nothing to nothing that updates all trials once."""
    rates_N = torch.logspace(-5, -1, num_trials, device=device)
    shapes = {key: param.shape for key, param in task.module().named_parameters()}
    params_N = {key: torch.randn(num_trials, *shape, device=device) for key, shape in shapes.items()}
    grads_N = {key: torch.randn_like(param) for key, param in params_N.items()}

    with device:  # where what is read from files goes
        fixed = None if "lr" in given else get_optimizer(name, **given)

    def make(lr):
        return fixed or get_optimizer(name, **given | {"lr": lr})

    def init(params, lr):
        return make(lr).init(params, num_steps=1000)

    def update(grads, state, params, lr):
        updates, state = make(lr).update(grads, state, params, loss=torch.ones((), device=device))
        return {key: param + updates[key] for key, param in params.items()}, state

    state_N = torch.vmap(init)(params_N, rates_N)
    compiled = Compiled(torch.vmap(update), "it", is_known=True)

    def step():
        nonlocal params_N, state_N
        params_N, state_N = compiled(grads_N, state_N, params_N, rates_N)

    return step


def seconds_per_call(step, device):
    """The best of some rounds, each of about the same time."""

    def timed(calls):
        began = time.perf_counter()
        for _ in range(calls):
            step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return (time.perf_counter() - began) / calls

    timed(3)
    calls = max(1, int(SECONDS / timed(3)))
    return min(timed(calls) for _ in range(ROUNDS))


@pytest.mark.parametrize("name", GROUPS)
@torch.no_grad()
def test_update_cost(name, required_hparams, report_line):
    """Prints a line an optimizer, the cheapest first."""
    task, num_trials, device = get_task(name), GROUPS[name], resolve_device(None)
    times = {}
    for optimizer in list_optimizers():
        step = make_step(optimizer, required_hparams(optimizer), task, num_trials, device)
        times[optimizer] = seconds_per_call(step, device)
    report_line(f"{name}, {num_trials} trials, one compiled update:")
    for optimizer, seconds in sorted(times.items(), key=lambda item: item[1]):
        report_line(f"  {optimizer:28} {1e3 * seconds:9.3f} ms, {seconds / times['Adam']:6.2f} x Adam")
