"""Every task is the reference's: names, shapes, parameters, losses, gradients and normalizers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from optsuite.gradients import backpropagation
from optsuite.modules import Dropout
from optsuite.tasks import Bound, get_task, list_tasks

from .layouts import counterpart, load_parameters
from .reference import LOSSES, PROBES, TASKS, hashed, hashed_batch, hashed_parameters

every_task = pytest.mark.parametrize("name", sorted(TASKS))


def test_tasks_are_those_of_the_reference():
    assert list_tasks() == sorted(TASKS)


@every_task
def test_batch_matches_the_reference(name):
    task = get_task(name)
    # A batch of persistent evolution strategies is a list of one there.
    expected = {field.removeprefix("0/"): shape for field, shape, _ in TASKS[name]["batch"]}
    if "image" in expected:
        *axes, rows, columns, channels = expected["image"]
        expected["image"] = [*axes, channels, rows, columns]
    fields = {field: [*task.batch_shape, *shape] for field, (shape, _) in task.dataset.fields.items()}
    assert fields == expected
    assert task.dataset.dataset == TASKS[name]["dataset"]


@pytest.mark.parametrize("name", list_tasks("LOpt*"))
def test_the_inner_training_is_that_of_the_reference(name):
    task, facts = get_task(name), TASKS[name]["lopt"]
    inner = get_task(TASKS[name]["inner_task"])
    assert (task.dataset, task.batch_size) == (inner.dataset, inner.batch_size)
    if facts.get("estimator") == "TruncatedPES":
        assert task.batch_dims == (facts["unroll_length"], facts["num_inner_tasks"])
        carry = task.estimator.init(dict(task.module().named_parameters()), torch.tensor(0))
        assert carry.position.shape == (facts["num_inner_tasks"],)
        assert carry.position.min() >= 0
        assert carry.position.max() < facts["total_length"] == facts["random_initial_iteration_offset"]
    else:
        assert task.batch_dims == (facts["num_steps"],)
        assert (task.estimator == backpropagation()) == (facts["es_pairs"] == 0)


@every_task
def test_parameters_match_the_reference(name):
    task = get_task(name)
    ours = dict(task.meta_module().named_parameters())
    counterparts = {row: counterpart(name, row) for row, _, _ in TASKS[name]["params"]}
    assert sorted(match.ours for match in counterparts.values()) == sorted(ours)
    for row, shape, dtype in TASKS[name]["params"]:
        match = counterparts[row]
        param = ours[match.ours]
        assert f"torch.{dtype}" == str(param.dtype)
        assert list(match.to_reference(param).shape) == shape
    assert task.num_params == TASKS[name]["num_params"]


@pytest.mark.parametrize("name", ["ImageMLPAE_FashionMnist_128x32x128_bs128", "Conv_Cifar10_8_16x32"])
def test_the_way_to_our_layout_and_back_is_the_identity(name):
    for row, value in hashed_parameters(name).items():
        match = counterpart(name, row)
        assert torch.equal(match.to_reference(match.to_ours(value)), value)


@every_task
@pytest.mark.parametrize("kind", ["tensor", "array", "number"])
def test_normalizer_matches_the_reference(name, kind):
    probe = TASKS[name]["normalizer_probe"]
    expected = [math.nan if value is None else float(value) for value in probe]
    normalizer = get_task(name).normalizer
    if kind == "tensor":
        actual = normalizer(torch.tensor(PROBES))
        assert isinstance(actual, torch.Tensor)
    elif kind == "array":
        actual = normalizer(np.array(PROBES))
        assert isinstance(actual, np.ndarray)
    else:
        actual = [normalizer(value).item() for value in PROBES]
    np.testing.assert_allclose(np.asarray(actual), expected, rtol=1e-6)


def test_normalizer_takes_the_losses_of_a_curve():
    """They are read-only, and torch warns of sharing such memory."""
    losses = np.array([[0.5, 99.0]], np.float32)
    losses.flags.writeable = False
    normalized = get_task("ImageMLP_FashionMnist8_Relu32").normalizer(losses)
    np.testing.assert_allclose(normalized, [[0.5, 1.5 * math.log(10)]], rtol=1e-6)


def test_hash_is_the_reference_recipe():
    """As the recipe puts it, in integers without end."""
    for j, k in [(0, 0), (7, 3), (1234, 1002)]:
        h = ((j + 1) * 2654435761 + (k + 1) * 2246822519) % 2**32
        h = ((h ^ h >> 15) * 2246822519) % 2**32
        h = ((h ^ h >> 13) * 3266489917) % 2**32
        assert hashed(j + 1, k)[j] == (h ^ h >> 16) / 2**32


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_loss_and_gradients_match_the_reference(name):
    """Dropout is off in the reference's values, and evolution strategies have no gradients there."""
    task, golden = get_task(name), LOSSES[name]
    params = load_parameters(name, hashed_parameters(name))
    params = {key: value.requires_grad_() for key, value in params.items()}
    module = task.meta_module()
    for layer in module.modules():
        if isinstance(layer, Dropout):
            layer.rate = 0.0

    metrics = task.metrics(Bound(module, params), hashed_batch(name))
    assert metrics["loss"].item() == pytest.approx(golden["loss"], rel=1e-5)
    assert metrics["loss_normalized"].item() == pytest.approx(golden["loss_normalized"], rel=1e-5)
    if task.family == "es_wrapped":
        return

    grads = dict(zip(params, torch.autograd.grad(metrics["loss"], list(params.values())), strict=True))
    assert len(golden["grads"]) == len(grads)
    # Of four images, a ResNet's statistics are so coarse that rounding decides some relus: parameters that
    # move by one part in a million move gradients by up to a tenth. Its losses agree to five digits and more.
    rtol = 6e-2 if task.family == "resnet" else 1e-4
    total = math.hypot(*(norm for _, norm, _, _ in golden["grads"]))
    for row, norm, first, last in golden["grads"]:
        match = counterpart(name, row)
        grad = match.to_reference(grads[match.ours])
        actual = [grad.double().norm().item(), *grad.flatten()[:3].tolist(), grad.flatten()[-1].item()]
        # A bias before a BatchNorm has no gradient but rounding errors: hence the share of the total.
        atol = rtol * norm + 1e-7 * total
        np.testing.assert_allclose(
            actual, [norm, *first[: grad.numel()], last], rtol=0, atol=atol, err_msg=row
        )
