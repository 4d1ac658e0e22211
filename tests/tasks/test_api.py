"""What users do with tasks."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch

from optsuite.errors import OptsuiteError, UnknownNameError
from optsuite.tasks import get_task, list_tasks, register_task

from .reference import brief

TINY = "ImageMLP_FashionMnist8_Relu32"


def test_list_tasks_takes_a_glob():
    assert list_tasks("Conv_Cifar10_8*") == ["Conv_Cifar10_8_16x32"]
    assert list_tasks("conv*") == []
    assert len(list_tasks("*MLPAE*")) == 6
    assert list_tasks() == sorted(list_tasks("*"))


@pytest.mark.parametrize("name", list_tasks())
def test_get_task_gives_the_task_of_that_name(name):
    assert get_task(name).name == name
    assert repr(get_task(name)) == f"Task('{name}')"


def test_unknown_task_names_the_nearest():
    with pytest.raises(UnknownNameError, match="unknown task `conv_cifar10_8_16x3`: did you mean Conv_Cif"):
        get_task("conv_cifar10_8_16x3")


@pytest.mark.parametrize("name", [TINY, "Conv_Cifar10_8_16x32", "ImageMLP_Cifar10BW8_Relu32"])
@pytest.mark.parametrize("split", ["train", "inner_valid", "outer_valid", "test"])
def test_dataloader_gives_batches_of_images_and_labels(name, split):
    task = get_task(name)
    first, second = itertools.islice(task.dataloader(split, seed=1, mode="synthetic"), 2)
    assert first["image"].shape == (task.batch_size, *task.dataset.shape)
    assert first["image"].dtype == torch.float32
    assert first["image"].min() >= 0
    assert first["image"].max() <= 1
    assert first["label"].dtype == torch.int64
    assert set(first["label"].tolist()) <= set(range(10))
    assert not torch.equal(first["image"], second["image"])
    again = next(task.dataloader(split, seed=1, mode="synthetic"))
    assert torch.equal(first["image"], again["image"])
    assert not torch.equal(first["image"], next(task.dataloader(split, seed=2, mode="synthetic"))["image"])


def test_unknown_split_names_the_splits():
    with pytest.raises(UnknownNameError, match="outer_valid"):
        get_task(TINY).dataloader("outer_vali", mode="synthetic")


@pytest.mark.parametrize("name", [name for name in list_tasks() if get_task(name).num_params < 1e6])
def test_metrics_are_those_that_the_task_names(name):
    task = brief(name, batch_size=4)
    batch = next(task.dataloader("train", mode="synthetic"))
    module = task.module()
    metrics = task.metrics(module, batch, torch.tensor(1))
    assert tuple(metrics) == task.metric_names
    assert all(value.shape == () for value in metrics.values())
    assert torch.equal(metrics["loss"], task.loss(module, batch, torch.tensor(1)))
    assert torch.equal(metrics["loss_normalized"], task.normalizer(metrics["loss"]))
    is_language = task.family in ("rnn_lm", "transformer_lm")
    assert ("accuracy" in metrics) == (not is_language and task.family not in ("image_mlp_ae", "lopt"))
    assert ("bits_per_token" in metrics) == is_language


def test_accuracy_is_the_share_of_labels_with_the_largest_logit():
    batch = {"image": torch.zeros(4, 1, 8, 8), "label": torch.tensor([0, 1, 2, 3])}
    logits = torch.eye(10)[[0, 1, 2, 9]]
    metrics = get_task(TINY).metrics(lambda *_: logits, batch)
    assert metrics["accuracy"].item() == 0.75


def test_losses_are_those_of_torch():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(16, 10, generator=generator) * 5
    label = torch.randint(10, (16,), generator=generator)
    batch = {"image": torch.zeros(16, 1, 8, 8), "label": label}
    loss = get_task(TINY).loss(lambda *_: logits, batch)
    torch.testing.assert_close(loss, torch.nn.functional.cross_entropy(logits, label))
    loss = get_task("ImageMLP_Cifar10_128x128x128_Relu_MSE").loss(lambda *_: logits, batch)
    one_hot = torch.nn.functional.one_hot(label, 10).float()
    torch.testing.assert_close(loss, torch.nn.functional.mse_loss(logits, one_hot))


def test_cross_entropy_survives_large_logits():
    batch = {"image": torch.zeros(2, 1, 8, 8), "label": torch.tensor([0, 1])}
    logits = torch.zeros(2, 10)
    logits[:, 0] = 1e30
    loss = get_task(TINY).loss(lambda *_: logits, batch)
    assert loss.item() == pytest.approx(5e29)


@pytest.fixture
def empty_additions(monkeypatch):
    monkeypatch.setattr("optsuite.tasks._TASKS", {name: get_task(name) for name in list_tasks()})


@pytest.mark.usefixtures("empty_additions")
def test_registered_task_joins_the_table():
    task = replace(get_task(TINY), name="Mine_Relu32")
    register_task(task)
    register_task(task)  # a module that is imported twice does it
    assert get_task("Mine_Relu32") is task
    assert list_tasks("Mine*") == ["Mine_Relu32"]


@pytest.mark.usefixtures("empty_additions")
def test_registering_a_taken_name_is_an_error():
    with pytest.raises(OptsuiteError, match=f"a task `{TINY}` exists already: choose another name"):
        register_task(replace(get_task(TINY)))
    with pytest.raises(OptsuiteError, match=f"a task `{TINY}` exists already: choose another name"):
        register_task(replace(get_task(TINY), name=TINY.upper()))


def test_metrics_beside_an_estimator_that_evaluates_are_refused():
    task = get_task("LOptPES_Adafac_Fashion_OuterBS4_Length50_Trunc5")
    with pytest.raises(
        OptsuiteError, match="metrics of its own \\(size\\) and an estimator that evaluates by itself"
    ):
        replace(task, metric_fns={"size": lambda loss, _: loss})
