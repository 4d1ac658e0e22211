"""Averages of parameters, and the rows with which learned optimizers are trained."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from optsuite.errors import HParamError, UnknownNameError
from optsuite.optimizers import CLIPPED_AVERAGED, averaged, get_optimizer, get_row, list_optimizers, sgd


def run(opt, grads):
    """Parameters after each update, and the last state."""
    params = {"a": torch.zeros(2)}
    state, visited = opt.init(params, num_steps=len(grads)), []
    for grad in grads:
        updates, state = opt.update({"a": torch.tensor(grad)}, state, params)
        params = {"a": params["a"] + updates["a"]}
        visited.append(params["a"].numpy())
    return np.array(visited), state


GRADS = [[1.0, -2.0], [0.5, 3.0], [-1.0, 0.0], [2.0, 2.0]]


def test_the_average_weighs_the_parameters_after_each_update():
    visited, state = run(averaged(sgd(lr=0.1), 0.9), GRADS)
    weights = 0.9 ** np.arange(3, -1, -1)
    np.testing.assert_allclose(state.average["a"], weights @ visited / weights.sum(), rtol=1e-5)


def test_without_decay_the_average_is_the_latest_parameters():
    visited, state = run(averaged(sgd(lr=0.1), 0.0), GRADS)
    np.testing.assert_array_equal(state.average["a"], visited[-1])


def test_the_optimizer_is_the_same_with_an_average_beside_it():
    np.testing.assert_array_equal(run(averaged(sgd(lr=0.1), 0.5), GRADS)[0], run(sgd(lr=0.1), GRADS)[0])


def test_gradients_are_clipped_and_nan_moves_nothing():
    opt = get_optimizer("SGDClippedAveraged", lr=1.0, clip=0.5, average=0.0)
    visited, _ = run(opt, [[10.0, -0.25], [torch.nan, torch.inf]])
    np.testing.assert_array_equal(visited, [[-0.5, 0.25], [-0.5, -0.25]])


@pytest.mark.parametrize("name", ["Adam", "PiecewiseLinearAdam", "Shampoo"])
def test_every_optimizer_has_such_a_row_that_is_not_listed(name):
    row = get_row(f"{name}{CLIPPED_AVERAGED}")
    assert row.hparams.keys() == get_row(name).hparams.keys() | {"clip", "average"}
    assert not any(name.endswith(CLIPPED_AVERAGED) for name in list_optimizers())


@pytest.mark.parametrize(
    ("hparams", "words"),
    [
        ({"lr": -1.0, "clip": 1.0, "average": 0.0}, "`lr` of `Adam` must be"),
        ({"lr": 1.0, "clip": 0.0, "average": 0.0}, "`clip` of `AdamClippedAveraged` must be"),
        ({"lr": 1.0, "clip": 1.0}, "`AdamClippedAveraged` needs `average`"),
    ],
)
def test_its_hyperparameters_are_checked(hparams, words):
    with pytest.raises(HParamError, match=words):
        get_optimizer("AdamClippedAveraged", **hparams)


@pytest.mark.parametrize(
    "name", ["ClippedAveraged", "AdmClippedAveraged", "AdamClippedAveragedClippedAveraged"]
)
def test_there_is_no_such_row_of_what_is_no_optimizer(name):
    with pytest.raises(UnknownNameError):
        get_row(name)
