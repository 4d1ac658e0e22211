"""Training within a task: its steps are those of a plain loop, its gradient is that of the whole unroll."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.func import grad

from optsuite.errors import UnsupportedError
from optsuite.modules import MLP
from optsuite.noise import INITIAL, PERTURBATIONS, RESTARTS, fold_in
from optsuite.optimizers import LEARNED_OPTIMIZERS, _adam, get_learned_optimizer, learnable_sgd
from optsuite.tasks import Bound, get_task
from optsuite.tasks._inner import InnerState, InnerTraining
from optsuite.tasks._lopt import unrolled

from .reference import brief

SMALL = replace(
    get_task("ImageMLP_FashionMnist8_Relu32"), name="Small", build=lambda: MLP([64, 4, 10]), batch_size=3
)
every_kind = pytest.mark.parametrize("kind", LEARNED_OPTIMIZERS)


def training_of(kind, num_steps=4, task=SMALL):
    training = InnerTraining(task, get_learned_optimizer(kind), num_steps)
    training.prepare()
    return training


def batches(num_steps=4, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    return {
        "image": torch.rand((num_steps, 3, 1, 8, 8), generator=generator).to(dtype),
        "label": torch.randint(10, (num_steps, 3), generator=generator),
    }


def theta_of(training, dtype=torch.float32):
    """Parameters of which none leaves the loss alone."""
    torch.manual_seed(0)
    theta = training.learned.init()
    if any("/~/" in name for name in theta):  # a network
        theta = {name: t + 0.1 * torch.randn(t.shape) for name, t in theta.items()}
    return {name: t.to(dtype) for name, t in theta.items()}


@every_kind
def test_losses_are_those_of_a_plain_loop(kind):
    training, key = training_of(kind), torch.tensor(5)
    theta, data = theta_of(training), batches()
    opt = training.learned.optimizer(theta)
    params, _ = training.init(theta, fold_in(key, INITIAL))
    params = {name: p.clone() for name, p in params.items()}
    state, losses = opt.init(params, num_steps=4), []
    network = SMALL.meta_module()
    for t in range(4):
        batch = {name: field[t] for name, field in data.items()}
        leaves = {name: p.detach().requires_grad_() for name, p in params.items()}
        loss = SMALL.loss(Bound(network, leaves), batch)
        grads = dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))
        updates, state = opt.update(grads, state, params, loss=loss.detach())
        params = {name: p + updates[name] for name, p in params.items()}
        losses.append(SMALL.normalizer(loss.detach()))
    torch.testing.assert_close(training.mean_loss(theta, data, key), torch.stack(losses).mean())


@every_kind
def test_the_gradient_is_that_of_the_whole_unroll(kind, monkeypatch):
    """In double precision, against finite differences so small that no relu changes its side."""
    training, key, step = training_of(kind), torch.tensor(5), 1e-6
    init = training.init

    def double_init(theta, key):
        params = init({name: t.float() for name, t in theta.items()}, key).params
        params = {name: p.double() for name, p in params.items()}
        return InnerState(params, training.learned.optimizer(theta).init(params, num_steps=4))

    monkeypatch.setattr(training, "init", double_init)
    monkeypatch.setattr(_adam, "decay_power", lambda decay, step: decay ** step.double())
    theta, data = theta_of(training, torch.float64), batches(dtype=torch.float64)
    generator = torch.Generator().manual_seed(1)
    grads = grad(training.mean_loss)(theta, data, key)
    for name, tensor in theta.items():
        way = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
        ahead, behind = (
            training.mean_loss({**theta, name: tensor + shift * way}, data, key) for shift in (step, -step)
        )
        slope = (ahead - behind) / (2 * step)
        torch.testing.assert_close((grads[name] * way).sum(), slope, rtol=1e-4, atol=1e-9)


def test_networks_begin_as_the_task_draws_them_and_differ_from_key_to_key():
    training = training_of("LearnableSGD")
    theta = theta_of(training)
    one, again, other = (training.init(theta, torch.tensor(key)).params for key in (1, 1, 2))
    for name, param in SMALL.module().named_parameters():
        assert torch.equal(one[name], again[name])
        assert one[name].shape == param.shape
        assert torch.equal(one[name], other[name]) == name.endswith("bias")
        assert one[name].std().item() == pytest.approx(param.std().item(), rel=0.4)


@pytest.mark.parametrize(
    "name", ["LOpt_LearnableAdam_Cifar10_8_50", "LOptPES_Adafac_Fashion_OuterBS4_Length50_Trunc5"]
)
def test_the_loss_depends_on_the_key_alone(name):
    task = brief(name)
    module, batch = task.module(), next(task.dataloader("train", mode="synthetic"))
    losses = [task.loss(module, batch, torch.tensor(key)).item() for key in (1, 1, 2)]
    assert losses[0] == losses[1] != losses[2]
    torch.manual_seed(0)
    drawn = [task.loss(module, batch).item() for _ in range(2)]
    assert drawn[0] != drawn[1]


class Net(nn.Module):
    """A network with something that cannot be drawn from a key, or given to it."""

    def __init__(self, change):
        super().__init__()
        self.layer = MLP([64, 10])
        change(self)

    def forward(self, images):
        return self.layer(images)


def with_own_layer(net):
    net.own = nn.Linear(3, 3)


def with_buffer(net):
    net.register_buffer("count", torch.zeros(()))


def with_frozen_bias(net):
    net.layer.linears[0].bias.requires_grad_(False)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (with_own_layer, r"draws `own.(weight|bias)` by an initialiser that is not one of optsuite\.modules"),
        (with_buffer, "has buffers or frozen parameters"),
        (with_frozen_bias, "has buffers or frozen parameters"),
    ],
)
def test_networks_that_cannot_be_drawn_anew_are_refused(change, words):
    task = unrolled("Own", replace(SMALL, build=lambda: Net(change)), learnable_sgd(), 2)
    with pytest.raises(UnsupportedError, match=f"`Small` cannot be trained within another task.*{words}"):
        task.module()


def test_perturbations_and_initial_parameters_are_drawn_apart():
    """A gradient by evolution strategies would be biased if the network began with its perturbations."""
    keys = fold_in(torch.arange(50)[:, None], torch.tensor([PERTURBATIONS, RESTARTS, INITIAL, *range(20)]))
    by_tensor = fold_in(keys[..., None], torch.arange(9))
    assert len(set(by_tensor.flatten().tolist())) == by_tensor.numel()


@pytest.mark.parametrize(
    ("name", "fixed"),
    [
        ("Resnet_MultiRuntime_0", "head.weight"),  # zeros
        ("RNNLM_lm1bbytes_Patch32_IRNN128_Embed64", "core.from_hidden.weight"),  # the identity
        ("VIT_Cifar100_skinnydeep", "head.weight"),  # zeros
    ],
)
def test_parameters_that_are_overwritten_begin_as_the_constructor_leaves_them(name, fixed):
    task = get_task(name)
    training = InnerTraining(task, learnable_sgd(), 3)
    training.prepare()
    params = training.init(training.learned.init(), torch.tensor(3)).params
    drawn = {n for n, p in task.module(0).named_parameters() if not torch.equal(p, params[n])}
    begun = dict(task.module(7).named_parameters())
    assert torch.equal(params[fixed], begun[fixed])
    for one in {name for name in drawn if params[name].numel() > 1000}:
        assert params[one].std() == pytest.approx(begun[one].std().item(), rel=0.1)


def test_networks_can_be_pickled():
    module = get_task("VIT_Cifar100_skinnydeep").module()
    again = pickle.loads(pickle.dumps(module))  # noqa: S301 - its own bytes
    assert all(map(torch.equal, module.parameters(), again.parameters()))


def test_a_task_of_evolution_strategies_is_no_inner_task():
    with pytest.raises(UnsupportedError, match="its gradient is estimated"):
        unrolled("Own", get_task("ESWrapped_1pair_ImageMLP_FashionMnist8_Relu32"), learnable_sgd(), 2)
