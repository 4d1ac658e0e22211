"""Tasks whose gradient is estimated by evolution strategies."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from optsuite.tasks import get_task, list_tasks
from optsuite.trainer import width_limit

ES_TASKS = list_tasks("ESWrapped_*")


def inner_of(name):
    return get_task(name.split("_", 2)[2])


@pytest.mark.parametrize("name", ES_TASKS)
def test_loss_and_metrics_are_those_of_the_inner_task(name):
    task, inner = get_task(name), inner_of(name)
    batch = next(replace(task, batch_size=8).dataloader("train", mode="synthetic"))
    module, key = task.module(), torch.tensor(3)
    assert torch.equal(task.loss(module, batch, key), inner.loss(module, batch, key))
    assert task.metrics(module, batch, key) == inner.metrics(module, batch, key)
    assert (task.dataset, task.batch_size) == (inner.dataset, inner.batch_size)


@pytest.mark.parametrize("name", ES_TASKS)
def test_the_cost_is_that_of_the_losses(name):
    """Two of each pair and one at the parameters; a step of the inner task takes a forward pass thrice."""
    task, inner, num_pairs = get_task(name), inner_of(name), int(name.split("_")[1].removesuffix("pair"))
    module = inner.meta_module()
    first = next(p for p in module.parameters() if p.ndim == 2).numel()  # whose inputs need no gradient
    forward = (inner.flops_per_step + 2 * inner.batch_size * first) // 3
    assert task.flops_per_step == (2 * num_pairs + 1) * forward
    noise_bytes = 4 * num_pairs * task.num_params
    assert noise_bytes <= task.activation_bytes <= noise_bytes + 1000
    assert task.peak_bytes > 2.5 * noise_bytes
    assert task.carry_bytes == 0


def test_as_many_trials_train_side_by_side_as_ever(monkeypatch):
    """Their curves depend on it by rounding."""
    monkeypatch.setattr("optsuite.trainer._memory.free_bytes", lambda _: 12 * 2**30)
    widths = {name: width_limit(get_task(name), torch.device("cpu")) for name in ES_TASKS}
    assert [width for name, width in widths.items() if "128x128" in name] == [3, 12, 1, 1]
    assert all(width > 600 for name, width in widths.items() if name.endswith("Relu32"))
