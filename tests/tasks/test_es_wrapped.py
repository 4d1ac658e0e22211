"""Gradients by evolution strategies."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.func import grad_and_value, vmap

from optsuite.noise import fold_in, normal
from optsuite.tasks import Bound, get_task, list_tasks
from optsuite.tasks._es_wrapped import antithetic_es

ES_TASKS = list_tasks("ESWrapped_*")
TINY = "ESWrapped_1pair_ImageMLP_FashionMnist8_Relu32"


def batch_of(task, batch_size=8):
    return next(replace(task, batch_size=batch_size).dataloader("train", mode="synthetic"))


def grads_and_loss(task, module, params, batch, key):
    return grad_and_value(lambda params: task.loss(Bound(module, params), batch, key))(params)


@pytest.mark.parametrize("name", ES_TASKS)
def test_loss_and_metrics_are_those_of_the_inner_task(name):
    task = get_task(name)
    inner = get_task(name.split("_", 2)[2])
    module, batch, key = task.module(), batch_of(task), torch.tensor(3)
    assert torch.equal(task.loss(module, batch, key), inner.loss(module, batch, key))
    assert task.metrics(module, batch, key) == inner.metrics(module, batch, key)
    assert (task.dataset, task.batch_size) == (inner.dataset, inner.batch_size)


def test_gradient_is_the_antithetic_estimate():
    """By its formula, in a plain loop over pairs."""
    inner = get_task("ImageMLP_FashionMnist8_Relu32")
    task = replace(inner, wrap_loss=antithetic_es(3, std=0.02))
    module, batch, key = task.meta_module(), batch_of(inner), torch.tensor(3)
    params = {name: param.detach() for name, param in task.module().named_parameters()}
    grads, _ = grads_and_loss(task, module, params, batch, key)

    own_key = fold_in(key, -1)
    noise = {
        name: 0.02 * normal(fold_in(own_key, number), (3, *param.shape))
        for number, (name, param) in enumerate(params.items())
    }
    for name in params:
        expected = torch.zeros_like(params[name])
        for pair in range(3):
            plus, minus = (
                inner.loss(Bound(module, {k: p + sign * noise[k][pair] for k, p in params.items()}), batch)
                for sign in (1, -1)
            )
            expected += noise[name][pair] * (plus - minus) / (2 * 0.02**2) / 3
        torch.testing.assert_close(grads[name], expected, rtol=1e-3, atol=1e-4)


def test_the_mean_of_many_estimates_is_the_gradient():
    inner = get_task("ImageMLP_FashionMnist8_Relu32")
    module, batch = inner.meta_module(), batch_of(inner)
    params = {name: param.detach() for name, param in inner.module().named_parameters()}
    expected, _ = grads_and_loss(inner, module, params, batch, None)
    task = replace(inner, wrap_loss=antithetic_es(10_000, std=1e-2))
    estimate, _ = grads_and_loss(task, module, params, batch, torch.tensor(0))
    # An estimate's squared error is that of the gradient, times the parameters, over the pairs.
    true, mean = (torch.cat([tree[k].flatten() for k in params]) for tree in (expected, estimate))
    error = ((mean - true).norm() / true.norm()).item()
    assert error == pytest.approx((len(true) / 10_000) ** 0.5, rel=0.1)


def test_noise_depends_on_the_key_alone():
    task = get_task(TINY)
    module, batch = task.meta_module(), batch_of(task)
    params = {name: param.detach() for name, param in task.module().named_parameters()}
    keys = torch.tensor([5, 6])
    grads_N, _ = vmap(lambda key: grads_and_loss(task, module, params, batch, key))(keys)
    for n, key in enumerate(keys):
        alone, _ = grads_and_loss(task, module, params, batch, key)
        for name, grad in alone.items():
            torch.testing.assert_close(grads_N[name][n], grad, rtol=1e-4, atol=1e-3)
    assert not torch.allclose(*grads_N["linears.0.weight"])


def test_an_ordinary_loop_trains_on_the_estimate():
    """Without a key, noise comes from torch's generator."""
    task = get_task(TINY)
    module, batch = task.module(), batch_of(task, 64)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        optimizer = torch.optim.Adam(module.parameters(), lr=1e-2)
        first = task.loss(module, batch).item()
        for _ in range(200):
            optimizer.zero_grad()
            task.loss(module, batch).backward()
            optimizer.step()
        assert task.loss(module, batch).item() < first - 0.1
