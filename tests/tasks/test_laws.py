"""What holds for every task."""

from __future__ import annotations

import copy
import functools
import math

import pytest
import torch
from torch.func import grad_and_value, vmap

from optsuite.gradients import backpropagation
from optsuite.modules import Dropout
from optsuite.tasks import Bound, get_task, list_tasks

from .reference import brief

LARGE = [name for name in list_tasks() if get_task(name).num_params > 50_000_000]  # 0.2 GB of parameters
SMALL = [name for name in list_tasks() if name not in LARGE]
ES = list_tasks("ESWrapped_*")
MSE = list_tasks("*MSE")
LOPT = list_tasks("LOpt*")  # their loss depends on the key, and that of few steps hardly on the parameters
LANGUAGE = [name for name in list_tasks() if get_task(name).family in ("rnn_lm", "transformer_lm")]


def has_dropout(name):
    layers = get_task(name).meta_module().modules()
    return any(isinstance(layer, Dropout) and layer.rate > 0 for layer in layers)


DROPOUT = [name for name in SMALL if has_dropout(name)]
CHANCE = [n for n in SMALL if get_task(n).family != "image_mlp_ae" and n not in MSE and "IRNN" not in n]


with_dropout = pytest.mark.parametrize("name", DROPOUT)


def random_batch(task, batch_size=4, seed=0):
    """Uniform images, labels and tokens, a few of them padding; for many tokens, of two examples."""
    generator = torch.Generator().manual_seed(seed)
    if task.name in LANGUAGE:
        shape = (2, task.dataset.length)
        obs, target = torch.randint(task.dataset.vocab_size, (2, *shape), generator=generator)
        obs[0, -2:] = 0
        return {"obs": obs, "target": target}
    axes = *task.batch_dims, batch_size
    return {
        "image": torch.rand((*axes, *task.dataset.shape), generator=generator),
        "label": torch.randint(task.dataset.num_classes, axes, generator=generator),
    }


def key_of(number):
    return torch.tensor(number)


@pytest.fixture(scope="module", params=SMALL)
def small(request):
    """The name of a task; of this scope, pytest runs all laws of one task before those of the next."""
    return request.param


@pytest.fixture(scope="module", params=[n for n in SMALL if get_task(n).num_params < 3_000_000])
def light(request):
    """Likewise, for laws that hold by construction."""
    return request.param


@functools.lru_cache(maxsize=2)  # the two seeds of a task
def module_of(name, seed=0):
    """To be read only: drawing the parameters anew for every law would take most of the time."""
    return get_task(name).module(seed)


def params_of(task_name, seed=0):
    return {name: p.detach() for name, p in module_of(task_name, seed).named_parameters()}


def loss_fn_of(task):
    module = task.meta_module()
    return lambda params, batch, key: task.loss(Bound(module, params), batch, key)


def test_the_kinds_of_tasks_are_as_many_as_the_reference_has():
    assert [len(LARGE), len(ES), len(MSE), len(LANGUAGE), len(DROPOUT), len(LOPT)] == [2, 6, 4, 30, 9, 23]


def test_parameters_are_a_function_of_the_seed(light):
    task = get_task(light)
    before = torch.get_rng_state()
    again, other = (dict(task.module(seed).named_parameters()) for seed in (0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    for key, param in params_of(light, 0).items():
        assert torch.equal(param, again[key])
        is_random = (
            param.numel() > 1 and param.std() > 0 and not torch.equal(param, torch.eye(*param.shape[-2:]))
        )
        assert torch.equal(param, other[key]) != is_random


def first_loss(name, batch_size=32, seed=0):
    """On stand-ins, of fewer examples than the task has in a batch."""
    task = brief(name, batch_size=batch_size)
    return task.loss(
        module_of(name, seed), next(task.dataloader("train", mode="synthetic")), key_of(0)
    ).item()


@pytest.mark.parametrize("name", CHANCE)
def test_first_loss_is_near_that_of_chance(name):
    """Further away where initialisers or norms make logits that vary."""
    task = get_task(name)
    chance = math.log(task.dataset.vocab_size if name in LANGUAGE else task.dataset.num_classes)
    if task.family in ("resnet", "vit", "mlp_mixer"):  # their last weights are zeros
        assert first_loss(name) == pytest.approx(chance, rel=1e-6)
    elif "orm" in name:
        assert chance - 0.2 < first_loss(name) < chance + 1
    else:
        assert first_loss(name) == pytest.approx(chance, rel=0.15)


@pytest.mark.parametrize("name", list_tasks("TransformerLM_*"))
def test_first_loss_of_a_transformer_is_that_of_the_published_curves(name):
    """Logits of variance 0.77 put it at 10.76; seeds scatter by 0.05, and published are 10.68 to 10.72."""
    assert 10.55 < first_loss(name) < 10.95


@pytest.mark.parametrize(
    ("name", "published"),
    [("RNNLM_lm1b32k_Patch32_IRNN256_Embed128", 13.2), ("RNNLM_lm1bbytes_Patch32_IRNN128_Embed64", 8.84)],
)
def test_first_loss_of_an_irnn_is_near_that_of_the_published_curves(name, published):
    """It sums up what it has seen, so that the loss depends on the text and, by a tenth, on the seed."""
    mean = sum(first_loss(name, seed=seed) for seed in range(4)) / 4
    assert mean == pytest.approx(published, rel=0.1)


@pytest.mark.parametrize("name", MSE)
def test_first_squared_error_of_a_classifier_is_near_that_of_zero(name):
    """Logits of 0 cost 1/C; those of a dropout net vary more."""
    assert 0.1 <= first_loss(name, batch_size=128) < 1.0


@pytest.mark.parametrize("name", [n for n in SMALL if get_task(n).family == "image_mlp_ae"])
def test_first_loss_of_an_auto_encoder_is_near_that_of_grey(name):
    task = get_task(name)
    batch = next(task.dataloader("train", mode="synthetic"))
    grey = (batch["image"] - 0.5).square().mean().item()
    assert task.loss(module_of(name), batch).item() == pytest.approx(grey, rel=0.15)


@pytest.mark.parametrize("small", [name for name in SMALL if name not in LOPT], indirect=True)
def test_a_small_step_downhill_lowers_the_loss(small):
    task, key = get_task(small), key_of(7)
    loss_of = loss_fn_of(task)
    batch, params = random_batch(task), params_of(small)
    grads, before = grad_and_value(lambda p: loss_of(p, batch, key))(params)
    squared_norm = sum(grad.square().sum().item() for grad in grads.values())
    rate = 1e-3 * before.item() / squared_norm
    after = loss_of({k: p - rate * grads[k] for k, p in params.items()}, batch, key)
    assert 0.5 < (before - after).item() / (rate * squared_norm) < 1.5


def test_vmap_over_trials_equals_a_loop(small):
    task = brief(small)
    trials = [params_of(small, seed) for seed in range(2)]
    batches = [random_batch(task, seed=seed) for seed in range(2)]
    keys = torch.tensor([11, 12])
    loss_of = loss_fn_of(task)

    def one(params, batch, key):
        carry = task.estimator.init(params, key)
        grads, loss, _ = task.estimator.estimate(loss_of, params, carry, batch, key)
        return grads, loss

    stack = [{k: torch.stack([tree[k] for tree in trees]) for k in trees[0]} for trees in (trials, batches)]
    grads_N, loss_N = vmap(one)(*stack, keys)
    for n in range(2):
        grads, loss = one(trials[n], batches[n], keys[n])
        torch.testing.assert_close(loss_N[n], loss, rtol=1e-5, atol=1e-7)
        for key, grad in grads.items():
            # The last share is for gradients that are only rounding, as before a BatchNorm.
            # Differences of losses over a hundredth of a step make much of their rounding.
            rtol = 3e-2 if task.estimator != backpropagation() else 1e-5
            error = (grads_N[key][n] - grad).norm()
            assert error <= rtol * grad.norm() + 1e-6


def test_no_task_keeps_state_or_consumes_noise_that_it_does_not_use(light):
    task = brief(light)
    module, batch = module_of(light), random_batch(task)
    before = torch.get_rng_state()
    losses = [task.loss(module, batch, key_of(5)).item() for _ in range(2)]
    assert losses[0] == losses[1]
    assert list(module.buffers()) == []
    if light not in (*DROPOUT, *LOPT):
        assert task.loss(module, batch).item() == task.loss(module, batch, key_of(6)).item() == losses[0]
    in_evaluation = copy.deepcopy(module).eval()
    assert task.loss(in_evaluation, batch, key_of(5)).item() == losses[0]
    assert torch.equal(torch.get_rng_state(), before)


@with_dropout
def test_dropout_depends_on_the_key_alone(name):
    task = get_task(name)
    module, batch = module_of(name), random_batch(task)

    def loss(key):
        return task.loss(module, batch, key).item()

    assert loss(key_of(1)) == loss(key_of(1))
    assert loss(key_of(1)) != loss(key_of(2))


@with_dropout
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
