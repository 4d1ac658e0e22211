"""What holds for every task."""

from __future__ import annotations

import copy
import functools
import math
from dataclasses import replace

import pytest
import torch
from torch.func import functional_call, grad_and_value, vmap

from optsuite.data import DATASETS
from optsuite.tasks import get_task, list_tasks

SMALL = [name for name in list_tasks() if get_task(name).num_params < 1_000_000]
DROPOUT = [name for name in SMALL if "Dropout" in name]
MSE = [name for name in SMALL if name.endswith("MSE")]
PLAIN = [n for n in SMALL if get_task(n).family != "image_mlp_ae" and n not in MSE and "orm" not in n]


def architecture(name):
    return tuple((key, param.shape) for key, param in get_task(name).meta_module().named_parameters())


every_task = pytest.mark.parametrize("name", list_tasks())
every_small_task = pytest.mark.parametrize("name", SMALL)
every_architecture = pytest.mark.parametrize("name", {architecture(name): name for name in SMALL}.values())


def random_batch(task, batch_size=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    classes = DATASETS[task.dataset.dataset].num_classes
    return {
        "image": torch.rand((batch_size, *task.dataset.shape), generator=generator),
        "label": torch.randint(classes, (batch_size,), generator=generator),
    }


def key_of(number):
    return torch.tensor(number)


@functools.cache
def module_of(name, seed=0):
    """To be read only: drawing the parameters anew for every law would take most of the time."""
    return get_task(name).module(seed)


@functools.cache
def params_of(task_name, seed=0):
    module = module_of(task_name, seed)
    return {name: p.detach() for name, p in module.named_parameters()}


def loss_of(task, params, batch, key):
    module = task.meta_module()
    return task.loss(lambda *inputs: functional_call(module, params, inputs), batch, key)


def test_the_kinds_divide_the_small_tasks():
    kinds = [n for n in SMALL if get_task(n).family == "image_mlp_ae"], PLAIN, MSE
    assert [len(DROPOUT), *map(len, kinds)] == [3, 4, 24, 4]


@every_task
def test_every_task_is_counted_without_storage(name):
    task = replace(get_task(name))  # a copy that has counted nothing yet
    assert all(p.is_meta for p in task.meta_module().parameters())
    # At least a product with every weight for each example, and as much again for its gradient.
    num_weights = sum(p.numel() for p in task.meta_module().parameters() if p.ndim > 1)
    assert task.flops_per_step >= 4 * task.batch_size * num_weights
    assert task.num_params >= num_weights
    pixels = task.batch_size * math.prod(task.dataset.shape)
    assert 0 < task.activation_bytes <= 100 * 4 * pixels + 8 * task.batch_size * task.num_params


def test_operations_of_an_mlp_are_those_of_its_products():
    """Forward, gradient to the weights, and to the inputs of all layers but the first."""
    task = get_task("ImageMLP_FashionMnist8_Relu32")
    assert task.flops_per_step == 2 * 128 * (2 * 64 * 32 + 3 * 32 * 10)


def test_operations_of_a_conv_net_are_those_of_its_products():
    task = get_task("Conv_Cifar10_8_16x32")
    pixels = 4 * 4  # of both layers' outputs: the first has stride 2
    first, second, head = pixels * 3 * 9 * 16, pixels * 16 * 9 * 32, 32 * 10
    assert task.flops_per_step == 2 * 128 * (2 * first + 3 * second + 3 * head)


@pytest.mark.parametrize("name", ["ImageMLP_FashionMnist8_Relu32", "Conv_Cifar10_8_16x32"])
def test_activation_bytes_grow_with_the_batch(name):
    task = get_task(name)
    double = replace(task, batch_size=2 * task.batch_size)
    assert double.activation_bytes / task.activation_bytes == pytest.approx(2, rel=0.02)


@every_architecture
def test_initial_parameters_are_the_reference_distribution(name):
    """Weights: a normal cut at two deviations, so of 0.8796 deviations; biases 0; scales 1."""
    for key, param in module_of(name).named_parameters():
        assert param.dtype == torch.float32
        if key.endswith("bias"):
            assert (param == 0).all()
        elif key.startswith("norms"):
            assert (param == 1).all()
        else:
            scaled = param.detach() * math.sqrt(param[0].numel())  # fan in: everything but the outputs
            error = 5 / math.sqrt(2 * param.numel())
            assert scaled.std().item() == pytest.approx(0.87962566, rel=error)
            assert abs(scaled.mean().item()) < 5 / math.sqrt(param.numel())
            assert scaled.abs().max() <= 2 * (1 + 1e-6)


@every_architecture
def test_parameters_are_a_function_of_the_seed(name):
    task = get_task(name)
    before = torch.get_rng_state()
    again, other = (dict(task.module(seed).named_parameters()) for seed in (0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    for key, param in params_of(name, 0).items():
        assert torch.equal(param, again[key])
        is_random = not key.startswith("norms") and key.endswith("weight")
        assert torch.equal(param, other[key]) != is_random


@pytest.mark.parametrize("name", PLAIN)
def test_first_loss_of_a_classifier_is_near_that_of_chance(name):
    task = get_task(name)
    loss = task.loss(module_of(name), next(task.dataloader("train", mode="synthetic")))
    chance = math.log(DATASETS[task.dataset.dataset].num_classes)
    assert loss.item() == pytest.approx(chance, rel=0.15)


@pytest.mark.parametrize("name", MSE)
def test_first_squared_error_of_a_classifier_is_near_that_of_zero(name):
    """Logits of 0 cost 1/C; those of a dropout net vary more."""
    task = get_task(name)
    loss = task.loss(module_of(name), next(task.dataloader("train", mode="synthetic")), key_of(0))
    assert 0.1 <= loss.item() < 1.0


@pytest.mark.parametrize("name", [n for n in SMALL if get_task(n).family == "image_mlp_ae"])
def test_first_loss_of_an_auto_encoder_is_near_that_of_grey(name):
    task = get_task(name)
    batch = next(task.dataloader("train", mode="synthetic"))
    grey = (batch["image"] - 0.5).square().mean().item()
    assert task.loss(module_of(name), batch).item() == pytest.approx(grey, rel=0.15)


@every_small_task
def test_a_small_step_downhill_lowers_the_loss(name):
    task, key = get_task(name), key_of(7)
    batch, params = random_batch(task), params_of(name)
    grads, before = grad_and_value(lambda p: loss_of(task, p, batch, key))(params)
    squared_norm = sum(grad.square().sum().item() for grad in grads.values())
    rate = 1e-3 * before.item() / squared_norm
    after = loss_of(task, {k: p - rate * grads[k] for k, p in params.items()}, batch, key)
    assert 0.5 < (before - after).item() / (rate * squared_norm) < 1.5


@every_small_task
def test_vmap_over_trials_equals_a_loop(name):
    task = get_task(name)
    trials = [params_of(name, seed) for seed in range(2)]
    batches = [random_batch(task, seed=seed) for seed in range(2)]
    keys = torch.tensor([11, 12])

    def one(params, batch, key):
        return grad_and_value(lambda p: loss_of(task, p, batch, key))(params)

    stack = [{k: torch.stack([tree[k] for tree in trees]) for k in trees[0]} for trees in (trials, batches)]
    grads_N, loss_N = vmap(one)(*stack, keys)
    for n in range(2):
        grads, loss = one(trials[n], batches[n], keys[n])
        torch.testing.assert_close(loss_N[n], loss, rtol=1e-5, atol=1e-7)
        for key, grad in grads.items():
            # The last share is for gradients that are only rounding, as before a BatchNorm.
            error = (grads_N[key][n] - grad).norm()
            assert error <= 1e-5 * grad.norm() + 1e-6


@every_small_task
def test_no_task_keeps_state_or_consumes_noise_that_it_does_not_use(name):
    task = get_task(name)
    module, batch = module_of(name), random_batch(task)
    before = torch.get_rng_state()
    losses = [task.loss(module, batch, key_of(5)).item() for _ in range(2)]
    assert losses[0] == losses[1]
    assert list(module.buffers()) == []
    if name not in DROPOUT:
        assert task.loss(module, batch).item() == task.loss(module, batch, key_of(6)).item() == losses[0]
    in_evaluation = copy.deepcopy(module).eval()
    assert task.loss(in_evaluation, batch, key_of(5)).item() == losses[0]
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", DROPOUT)
def test_dropout_depends_on_the_key_alone(name):
    task = get_task(name)
    module, batch = module_of(name), random_batch(task)

    def loss(key):
        return task.loss(module, batch, key).item()

    assert loss(key_of(1)) == loss(key_of(1))
    assert loss(key_of(1)) != loss(key_of(2))


@pytest.mark.parametrize("name", DROPOUT)
def test_dropout_without_a_key_draws_from_torch(name):
    task = get_task(name)
    module, batch = module_of(name), random_batch(task)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        first, second = task.loss(module, batch).item(), task.loss(module, batch).item()
        torch.manual_seed(0)
        again = task.loss(module, batch).item()
    assert first == again
    assert first != second
