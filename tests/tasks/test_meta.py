"""The task of how well a learned optimizer trains several tasks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.func import grad

from optsuite.errors import HParamError
from optsuite.noise import fold_in
from optsuite.optimizers import get_learned_optimizer
from optsuite.tasks import Bound, get_task, meta_task
from optsuite.tasks._lopt import persistent, unrolled

MLP, CONV = get_task("ImageMLP_FashionMnist8_Relu32"), get_task("Conv_Cifar10_8_16x32")
SGD = get_learned_optimizer("LearnableSGD", initial_lr=0.1)
KEY = torch.tensor(7)

pytestmark = pytest.mark.usefixtures("small_data")


def made(inner, estimator="pes", **options):
    lengths = {"total_length": 4, "unroll_length": 2 if estimator == "pes" else 4}
    return meta_task("Meta", inner, SGD, estimator=estimator, num_problems=3, **{**lengths, **options})


def first_batch(task):
    return next(task.dataloader("train", mode="synthetic"))


def params_of(module):
    return {name: p.detach() for name, p in module.named_parameters()}


def test_a_batch_has_the_examples_of_every_task():
    small = replace(CONV, batch_size=16)
    task = made([MLP, small])
    batch = first_batch(task)
    assert {name: tuple(field.shape) for name, field in batch.items()} == {
        "0/image": (2, 3, 128, 1, 8, 8),
        "0/label": (2, 3, 128),
        "1/image": (2, 3, 128, 3, 8, 8),
        "1/label": (2, 3, 128),
    }
    cut = {name: field[:, :, :16] if name.startswith("1/") else field for name, field in batch.items()}
    module = task.module()
    assert torch.equal(task.loss(module, batch, KEY), task.loss(module, cut, KEY))


def test_the_loss_is_the_mean_of_those_of_its_tasks():
    both = made([MLP, CONV], "unroll")
    batch, module = first_batch(both), both.module()
    losses = []
    for number, inner in enumerate((MLP, CONV)):
        whole = unrolled("Whole", inner, SGD, 4)
        for problem in range(3):
            one = {name: f[:, problem] for name, f in both.dataset.batch_of(number, batch).items()}
            losses.append(whole.loss(whole.module(), one, fold_in(fold_in(KEY, number), problem)))
    assert len({loss.item() for loss in losses}) == 6
    torch.testing.assert_close(both.loss(module, batch, KEY), torch.stack(losses).mean())


def test_its_estimate_is_the_mean_of_those_of_its_tasks():
    both = made([MLP, CONV])
    batch, module = first_batch(both), both.module()
    params = params_of(module)

    def loss(params, batch, key):
        return both.loss(Bound(module, params), batch, key)

    carry = both.estimator.init(params, KEY)
    grads, value, _ = both.estimator.estimate(loss, params, carry, batch, KEY)
    estimates = []
    for number, inner in enumerate((MLP, CONV)):
        alone = persistent("Alone", inner, SGD, num_problems=3, total_length=4, unroll_length=2)
        alone.module()
        key = fold_in(KEY, number)
        one = alone.estimator.init(params, key)
        estimates.append(
            alone.estimator.estimate(None, params, one, both.dataset.batch_of(number, batch), key)
        )
    torch.testing.assert_close(value, (estimates[0][1] + estimates[1][1]) / 2)
    for name, gradient in grads.items():
        torch.testing.assert_close(gradient, (estimates[0][0][name] + estimates[1][0][name]) / 2)
    assert torch.equal(both.estimator.evaluate(loss, params, carry, batch, KEY), value)


def test_the_gradient_of_unrolls_is_that_of_their_loss():
    task = made([MLP], "unroll")
    batch, module = first_batch(task), task.module()
    params = params_of(module)

    def loss(params):
        return task.loss(Bound(module, params), batch, KEY)

    (gradient,) = grad(loss)(params).values()
    (name,) = params
    around = [loss({name: params[name] + e}).item() for e in (-0.2, 0.2)]
    np.testing.assert_allclose(gradient.item(), np.diff(around)[0] / 0.4, rtol=0.03)


@pytest.mark.parametrize(("loss", "bounded"), [(torch.nan, 3.45388), (torch.inf, 3.45388), (1.25, 1.25)])
def test_a_loss_that_is_no_number_is_as_bad_as_can_be(loss, bounded):
    """The reference's own normaliser of this family leaves NaN as it is."""
    broken = replace(CONV, loss_fn=lambda outputs, _: outputs.sum() * 0 + loss)
    task = made([broken], "unroll")
    torch.testing.assert_close(
        task.loss(task.module(), first_batch(task), KEY).item(), bounded, rtol=1e-5, atol=0
    )


def test_a_loss_that_its_task_does_not_bound_is_at_most_twenty():
    broken = replace(
        CONV, normalize_fn=lambda loss: loss, loss_fn=lambda outputs, _: outputs.sum() * 0 + 1e30
    )
    task = made([broken], "unroll")
    assert task.loss(task.module(), first_batch(task), KEY) == 20


@pytest.mark.parametrize(
    ("estimator", "lengths", "words"),
    [
        ("pes", (4, 5), "`piece` must be from 2 to `inner_steps`, 4 .got 5"),
        ("pes", (4, 1), "`piece` must be from 2 to `inner_steps`, 4 .got 1"),
        ("pes", (1, 1), "`inner_steps` must be at least 2 with pes .got 1"),
        ("unroll", (4, 2), "`piece` must be all of `inner_steps` with unroll: needed 4, got 2"),
    ],
)
def test_lengths_that_do_not_go_together_are_refused_by_name(estimator, lengths, words):
    total_length, unroll_length = lengths
    with pytest.raises(HParamError, match=words):
        made([MLP], estimator, total_length=total_length, unroll_length=unroll_length)
