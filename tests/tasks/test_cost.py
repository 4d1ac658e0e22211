"""What a loss and its gradient take is counted for any network, and never keeps one from being trained."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import patch

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from optsuite import Schedule, Trial, train_many
from optsuite._known_tasks import KnownTask, known_tasks
from optsuite.hparam_sets import Config
from optsuite.tasks import Task, get_task, is_own, list_tasks

TINY = get_task("ImageMLP_FashionMnist8_Relu32")


class Net(nn.Module):
    """The network of `TINY` but for its initialiser, its first layer made otherwise."""

    def __init__(self, first=lambda: nn.Linear(64, 32), look=lambda images: None):
        super().__init__()
        self.first, self.second, self.look = first(), nn.Linear(32, 10), look

    def forward(self, images):
        self.look(images)
        return self.second(self.first(images.flatten(1)).relu())


def own(build):
    return replace(TINY, name="Own", build=build, forward=lambda model, batch, _: model(batch["image"]))


def with_unused():
    net = Net()
    net.unused = nn.Linear(3, 3)
    return net


def with_frozen_bias():
    net = Net()
    net.first.bias.requires_grad_(False)
    return net


def with_numbers():
    return Net(lambda: nn.Linear(64, 32 if torch.rand(1).item() < 2 else 0))


SAME = {
    "plain": Net,
    "parametrised": lambda: Net(lambda: parametrizations.weight_norm(nn.Linear(64, 32))),
    "unused": with_unused,
    "frozen": with_frozen_bias,
    "looks at its inputs": lambda: Net(look=lambda images: images.sum().item()),
    "looks at numbers when made": with_numbers,
}


@pytest.mark.parametrize("build", SAME.values(), ids=SAME)
def test_networks_of_the_same_products_have_the_same_operations(build):
    task = own(build)
    assert task.flops_per_step == TINY.flops_per_step
    assert task.activation_bytes >= TINY.activation_bytes
    assert task.peak_bytes > task.activation_bytes


def test_a_parametrisation_that_needs_numbers_is_counted():
    task = own(lambda: Net(lambda: parametrizations.orthogonal(nn.Linear(64, 32))))
    assert task.flops_per_step > TINY.flops_per_step


def test_counting_leaves_the_generator_alone():
    task = own(lambda: nn.Sequential(Net(look=lambda images: images.sum().item()), nn.Dropout()))
    before = torch.get_rng_state()
    assert task.flops_per_step > 0
    assert torch.equal(torch.get_rng_state(), before)


def refuse_blank(images):
    if not images.any():
        raise ValueError("blank")


def test_a_network_that_cannot_be_counted_is_trained_at_an_unknown_cost(small_data):
    """One at a time, since nobody knows how many would fit."""
    alone, blind = (own(lambda look=look: Net(look=look)) for look in (lambda images: None, refuse_blank))
    assert (blind.flops_per_step, blind.activation_bytes, blind.peak_bytes, blind.num_ops) == (-1,) * 4
    config = Config("SGD_lr0.1", "SGD", {"lr": 0.1})
    trials = [Trial("Own", config, Schedule(3, 2, 2, 2), seed) for seed in range(2)]
    known, unknown = (train_many(t, trials, mode="synthetic", device="cpu") for t in (alone, blind))
    for one, other in zip(known, unknown, strict=True):
        assert other["train/loss"].tolist() == pytest.approx(one["train/loss"].tolist(), rel=1e-5)
        assert other["flops_per_step"] == -1
        assert str(other["trained_as"]).startswith("1 seeds x 1 configs")


TOLD, EXACT = KnownTask._fields[:3], ("num_params", "min_flops_per_step", "flops_per_step", "carry_bytes")


def check_table(task):
    """Compare a copy of a task, which has to count, with the table of this package's tasks.

    Which operators torch makes of a loss, and what they keep, differs somewhat from version to version.
    """
    row, advice = known_tasks()[task.name], "run `python benchmarks/make_task_table.py`"
    shape, _ = next(iter(task.dataset.fields.values()))
    told = (task.dataset.dataset, "x".join(map(str, shape)), task.batch_size)
    assert told == tuple(getattr(row, name) for name in TOLD), advice
    for name in KnownTask._fields[len(TOLD) :]:
        rel = 0 if name in EXACT else 0.1
        assert getattr(task, name) == pytest.approx(getattr(row, name), rel=rel, abs=0), (name, advice)


def test_the_table_is_of_the_tasks_of_this_package():
    ours = [name for name in list_tasks() if not is_own(get_task(name))]
    assert list(known_tasks()) == ours, "run `python benchmarks/make_task_table.py`"


def test_a_task_of_this_package_does_not_count():
    with patch.object(Task, "meta_module", side_effect=AssertionError("made")):
        task = get_task("Conv_Cifar10_8_16x32")
        assert (task.num_params, task.num_ops) == (5418, known_tasks()[task.name].num_ops)
        assert task.min_flops_per_step < task.flops_per_step
        assert task.activation_bytes < task.peak_bytes


def test_what_is_made_of_a_task_counts_anew():
    """Also under the name of the task."""
    double = replace(TINY, batch_size=2 * TINY.batch_size)
    assert double.flops_per_step == 2 * TINY.flops_per_step
    assert double.min_flops_per_step == 2 * TINY.min_flops_per_step
    assert replace(TINY, build=lambda: nn.Linear(64, 10)).num_params == 65 * 10


@pytest.mark.parametrize("name", list_tasks("LOpt*"))
def test_an_inner_training_is_counted(name):
    """A learned Adam has no weights."""
    task = replace(get_task(name))
    check_table(task)
    assert 0 < task.min_flops_per_step + ("LearnableAdam" in name) <= task.flops_per_step
    assert 0 < task.activation_bytes <= task.peak_bytes


SHORT = ["LOpt_LearnableAdam_Cifar10_8_50", "LOpt_MLPLOpt_FahionMnist_10"]
SHORT += ["LOpt_ES4_AdafacMLPLOpt_FashionMnist_20", "LOptPES_Adafac_Fashion_OuterBS4_Length50_Trunc5"]


@pytest.mark.parametrize("name", SHORT)
def test_a_few_inner_steps_cost_what_counting_them_would_give(name):
    task = get_task(name)
    task = replace(task, batch_dims=(6, *task.batch_dims[1:]), batch_size=8)
    assert task._cost == task._counted_on("cpu")


@pytest.mark.parametrize("name", ["LOpt_LearnableAdam_Cifar10_8_50", "LOpt_MLPLOpt_FahionMnist_50"])
def test_many_inner_steps_cost_nearly_what_counting_them_would_give(name):
    """Memory hardly grows with them: most of it is the states of one piece, and what a step computes."""
    task = replace(get_task(name), batch_dims=(30,), batch_size=8)
    counted = task._counted_on("cpu")
    assert task.flops_per_step == counted.flops
    assert task.num_ops == pytest.approx(counted.num_ops, rel=0.02)
    assert counted.peak_bytes <= task.peak_bytes <= 1.3 * counted.peak_bytes
    assert task.activation_bytes == task.peak_bytes


@pytest.mark.parametrize("name", [name for name in list_tasks() if name not in list_tasks("LOpt*")])
def test_every_other_task_is_counted_without_storage(name):
    task = replace(get_task(name))  # a copy that has counted nothing yet
    module = task.meta_module()
    assert all(p.is_meta for p in module.parameters())
    assert task.num_params == sum(p.numel() for p in module.parameters())
    with patch.object(Task, "module", side_effect=AssertionError("made with storage")):
        assert 0 < task.min_flops_per_step <= task.flops_per_step
    assert 0 < task.activation_bytes <= task.peak_bytes
    check_table(task)


def test_operations_of_an_mlp_are_those_of_its_products():
    """Forward, gradient to the weights, and to the inputs of all layers but the first."""
    assert replace(TINY).flops_per_step == 2 * 128 * (2 * 64 * 32 + 3 * 32 * 10)


def test_operations_of_a_conv_net_are_those_of_its_products():
    task = replace(get_task("Conv_Cifar10_8_16x32"))
    pixels = 4 * 4  # of both layers' outputs: the first has stride 2
    first, second, head = pixels * 3 * 9 * 16, pixels * 16 * 9 * 32, 32 * 10
    assert task.flops_per_step == 2 * 128 * (2 * first + 3 * second + 3 * head)


FAMILIES = {
    get_task(name).family: name for name in sorted(list_tasks(), key=lambda n: -get_task(n).num_params)
}


@pytest.mark.parametrize("family", sorted(FAMILIES.keys() - {"es_wrapped", "lopt"}))
def test_activation_bytes_grow_with_the_batch(family):
    task = get_task(FAMILIES[family])
    double = replace(task, batch_size=2 * task.batch_size)
    assert double.activation_bytes / task.activation_bytes == pytest.approx(2, rel=0.1)
