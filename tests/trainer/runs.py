"""Short runs of small tasks, and how their curves are compared."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from optsuite import trainer
from optsuite.data import ImageSpec, TextSpec
from optsuite.gradients import GradientEstimator, backpropagation
from optsuite.hparam_sets import Config, Schedule, Trial
from optsuite.modules import LSTM, MLP, RNNLM, BatchNorm
from optsuite.noise import uniform
from optsuite.tasks import get_task
from optsuite.tree import tree_map

TINY = get_task("ImageMLP_FashionMnist8_Relu32")
_SIZES = [8 * 8 * 3, 32, 32, 10]
KINDS = {
    "mlp": replace(TINY, batch_size=32),
    "conv": replace(get_task("Conv_Cifar10_8_16x32"), batch_size=8),
    "dropout": replace(
        get_task("ImageMLP_Cifar10_128x128_Dropout02_Relu_MSE"),
        batch_size=16,
        dataset=ImageSpec(dataset="cifar10", size=8),
        build=lambda: MLP(_SIZES, dropout_rate=0.2),
    ),
    "batchnorm": replace(
        get_task("ImageMLP_Cifar10_128x128x128_BatchNorm_Relu"),
        batch_size=16,
        dataset=ImageSpec(dataset="cifar10", size=8),
        build=lambda: MLP(_SIZES, norm=BatchNorm),
    ),
}
"""Tasks cut to what a test has time for."""

# The logits of the next byte are a row of a table: a model of pairs.
PAIRS = replace(
    get_task("ImageMLP_FashionMnist8_Relu32"),
    name="Pairs",
    dataset=TextSpec(dataset="lm1b_bytes", length=16),
    batch_size=8,
    build=lambda: nn.Embedding(259, 259),
    forward=lambda model, batch, key: model(batch["obs"]),
    loss_fn=lambda logits, batch: functional.cross_entropy(logits.flatten(0, 1), batch["target"].flatten()),
    metric_fns={},
)
"""A task of text."""

RECURRENT = replace(
    PAIRS,
    name="Recurrent",
    build=lambda: RNNLM(259, 8, LSTM(8, 16)),
    forward=lambda model, batch, key: model(batch["obs"].mT).transpose(0, 1),
)
"""A task of text with a memory."""


def _first_mean(params, key):
    one = torch.ones(())  # neither of a trial nor of a config, as far as `vmap` can see
    return {"mean": tree_map(torch.zeros_like, params), "count": one - one, "scale": 1 + uniform(key, ())}


def _running_mean(loss, params, carry, batch, key):
    grads, value, _ = backpropagation().estimate(loss, params, (), batch, key)
    count = carry["count"] + 1
    mean = tree_map(lambda m, g: m + (carry["scale"] * g - m) / count, carry["mean"], grads)
    return mean, value, {**carry, "mean": mean, "count": count}


AVERAGED = replace(TINY, name="Averaged", estimator=GradientEstimator(_first_mean, _running_mean))
"""A task whose gradient is the mean of all so far, at a scale that the trial's key fixes."""

SHORT = Schedule(60, eval_every=20, eval_batches=1, last_eval_batches=2)


def adam(lr):
    return Config(f"Adam_lr{lr}", "Adam", {"lr": lr})


def sgd(lr):
    return Config(f"SGD_lr{lr}", "SGD", {"lr": lr})


def nadam(lr):
    """A class in place of pure functions."""
    return Config(f"NAdam_lr{lr}", "torch.optim:NAdam", {"lr": lr})


def trials_of(configs, seeds=(0,), schedule=SHORT, task=TINY):
    """Configs outermost, as those of a set."""
    return [Trial(task.name, config, schedule, seed) for config in configs for seed in seeds]


def train(trials, task=TINY):
    """Curves by trial."""
    curves = trainer.train_many(task, trials, mode="synthetic", device="cpu")
    return dict(zip(trials, curves, strict=True))


def run(trials, task=TINY, tell=lambda _: None):
    """Outcomes, one after the other."""
    where = {"mode": "synthetic", "device": "cpu"}
    groups = [(group, trainer.Unkept()) for group in trainer.make_groups(task, trials, **where)]
    return trainer.run(task, groups, tell=tell, **where)


def metrics(curve):
    """Select what was measured: the arrays that are functions of the trial alone, by key."""
    return {key: array for key, array in curve.items() if key.startswith(("train/", "eval/"))}


def assert_close(actual, expected, rtol=1e-4):
    assert actual.keys() == expected.keys()
    for key, array in metrics(expected).items():
        # Accuracies are counts: a logit that ties but for rounding changes one by 1 / (batches * size).
        atol = 0.07 if key.endswith("accuracy") else 1e-6
        np.testing.assert_allclose(actual[key], array, rtol=rtol, atol=atol, err_msg=key)


def assert_identical(actual, expected):
    """Check that curves are equal bit for bit; a NaN equals itself."""
    assert actual.keys() == expected.keys()
    for key, array in metrics(expected).items():
        np.testing.assert_array_equal(actual[key], array, err_msg=key)
