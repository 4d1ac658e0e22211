"""Laws of every gradient estimator, and the estimates of each one."""

from __future__ import annotations

import pytest
import torch
from torch.func import grad_and_value, vmap

from optsuite.gradients import antithetic_es, backpropagation
from optsuite.noise import fold_in, normal

ESTIMATORS = {"backpropagation": backpropagation(), "antithetic_es": antithetic_es(3, std=0.02)}
PARAMS = {"w": torch.tensor([[0.5, -1.0, 2.0], [1.5, 0.25, -0.5]]), "b": torch.tensor(0.3)}
BATCH = {"x": torch.tensor([[1.0, 2.0, -1.0], [0.5, -0.5, 3.0]]), "y": torch.tensor([1.0, -2.0])}


def loss_fn(params, batch, key):
    """A loss with noise inside it."""
    outputs = (batch["x"] @ params["w"].mT).sin().sum(1) + params["b"]
    return (outputs - batch["y"] + 0.1 * normal(key, (2,))).square().mean()


every_estimator = pytest.mark.parametrize("name", ESTIMATORS)


@every_estimator
def test_gradients_are_shaped_like_parameters_and_the_loss_is_the_loss(name):
    estimator, key = ESTIMATORS[name], torch.tensor(5)
    carry = estimator.init(PARAMS, torch.tensor(1))
    grads, loss, carry = estimator.estimate(loss_fn, PARAMS, carry, BATCH, key)
    assert {k: grad.shape for k, grad in grads.items()} == {k: param.shape for k, param in PARAMS.items()}
    assert torch.equal(loss, loss_fn(PARAMS, BATCH, key))
    assert carry == ()


@every_estimator
def test_vmap_over_trials_equals_a_loop(name):
    estimator, keys = ESTIMATORS[name], torch.tensor([5, 6])

    def one(params, key):
        carry = estimator.init(params, key)
        return estimator.estimate(loss_fn, params, carry, BATCH, key)[:2]

    trials = [PARAMS, {k: 2 * param for k, param in PARAMS.items()}]
    grads_N, loss_N = vmap(one)({k: torch.stack([p[k] for p in trials]) for k in PARAMS}, keys)
    for n, params in enumerate(trials):
        grads, loss = one(params, keys[n])
        torch.testing.assert_close(loss_N[n], loss)
        for k, grad in grads.items():
            torch.testing.assert_close(grads_N[k][n], grad, rtol=1e-4, atol=1e-3)
    assert not torch.allclose(*grads_N["w"])


def test_backpropagation_gives_the_gradient():
    grads, loss, _ = backpropagation().estimate(loss_fn, PARAMS, (), BATCH, torch.tensor(5))
    expected, value = grad_and_value(loss_fn)(PARAMS, BATCH, torch.tensor(5))
    assert torch.equal(loss, value)
    assert all(torch.equal(grads[k], expected[k]) for k in PARAMS)


def test_antithetic_es_is_the_mean_over_pairs():
    """The estimate is compared with its formula in a plain loop."""
    key = torch.tensor(3)
    grads, _, _ = antithetic_es(3, std=0.02).estimate(loss_fn, PARAMS, (), BATCH, key)
    own_key = fold_in(key, -1)
    noise = {
        name: 0.02 * normal(fold_in(own_key, number), (3, *param.shape))
        for number, (name, param) in enumerate(PARAMS.items())
    }
    for name, param in PARAMS.items():
        expected = torch.zeros_like(param)
        for pair in range(3):
            plus, minus = (
                loss_fn({k: p + sign * noise[k][pair] for k, p in PARAMS.items()}, BATCH, key)
                for sign in (1, -1)
            )
            expected += noise[name][pair] * (plus - minus) / (2 * 0.02**2) / 3
        torch.testing.assert_close(grads[name], expected, rtol=1e-3, atol=1e-3)


def test_the_mean_of_many_antithetic_estimates_is_the_gradient():
    key = torch.tensor(0)
    expected, _ = grad_and_value(loss_fn)(PARAMS, BATCH, key)
    estimate, _, _ = antithetic_es(10_000, std=1e-2).estimate(loss_fn, PARAMS, (), BATCH, key)
    # An estimate's squared error is that of the gradient, times the parameters, over the pairs.
    true, mean = (torch.cat([tree[k].flatten() for k in PARAMS]) for tree in (expected, estimate))
    error = ((mean - true).norm() / true.norm()).item()
    assert error < 3 * (len(true) / 10_000) ** 0.5


@pytest.mark.parametrize("sign", [1, -1])
def test_antithetic_es_has_no_loss_where_one_beside_it_is_not_finite(sign):
    """The next step could not be taken."""

    def cliff(params, batch, key):
        return torch.where(sign * params["w"].sum() > sign * PARAMS["w"].sum(), torch.inf, 1.0)

    assert cliff(PARAMS, BATCH, None) == 1
    _, loss, _ = antithetic_es(1, std=0.1).estimate(cliff, PARAMS, (), BATCH, torch.tensor(0))
    assert loss.isnan()


def test_an_infinite_parameter_is_no_finite_loss_of_antithetic_es():
    params = {**PARAMS, "unused": torch.tensor([torch.inf])}
    _, loss, _ = antithetic_es(1, std=0.1).estimate(loss_fn, params, (), BATCH, torch.tensor(0))
    assert loss.isnan()
