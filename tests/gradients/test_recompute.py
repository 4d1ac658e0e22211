"""What is recomputed has the value and the derivatives of the function itself."""

from __future__ import annotations

import pytest
import torch
from torch.func import grad, jacrev, vmap

from optsuite.gradients import recomputed


def fn(x, extra):
    """Take and give pytrees of floats and integers."""
    product = torch.sin(x["a"] * extra["scale"]) * x["b"].sum()
    return {"y": product.cumprod(0), "n": extra["scale"] + 1}, x["a"].exp()


X = {
    "a": torch.tensor([0.3, -0.5, 1.2], dtype=torch.float64),
    "b": torch.tensor([[0.7], [0.2]], dtype=torch.float64),
}
EXTRA = {"scale": torch.tensor(2)}


def plain(x):
    outputs, more = fn(x, EXTRA)
    return (outputs["y"].square().sum() + more.prod()) * outputs["n"]


def again(x):
    outputs, more = recomputed(fn, x, EXTRA)
    return (outputs["y"].square().sum() + more.prod()) * outputs["n"]


def stacked(*shape):
    generator = torch.Generator().manual_seed(0)
    return {k: x + torch.rand((*shape, *x.shape), generator=generator).double() for k, x in X.items()}


def assert_trees_close(one, other):
    assert one.keys() == other.keys()
    for key, expected in other.items():
        if isinstance(expected, dict):
            assert_trees_close(one[key], expected)
        else:
            torch.testing.assert_close(one[key], expected, rtol=1e-12, atol=1e-12)


def test_value_and_gradient_are_those_of_the_function():
    assert torch.equal(again(X), plain(X))
    assert_trees_close(grad(again)(X), grad(plain)(X))


@pytest.mark.parametrize("shape", [(2,), (2, 3)])
def test_gradients_under_vmap_are_those_of_the_function(shape):
    lifted, expected = grad(again), grad(plain)
    for _ in shape:
        lifted, expected = vmap(lifted), vmap(expected)
    assert_trees_close(lifted(stacked(*shape)), expected(stacked(*shape)))


def test_backward_fills_the_gradients():
    leaves = {key: x.clone().requires_grad_() for key, x in X.items()}
    again(leaves).backward()
    assert_trees_close({key: leaf.grad for key, leaf in leaves.items()}, grad(plain)(X))


@pytest.mark.parametrize("is_lifted", [False, True])
def test_second_derivatives_are_those_of_the_function(is_lifted):
    second, expected = jacrev(grad(again)), jacrev(grad(plain))
    if is_lifted:
        assert_trees_close(vmap(second)(stacked(2)), vmap(expected)(stacked(2)))
    else:
        assert_trees_close(second(X), expected(X))


def test_second_derivatives_of_backward_are_those_of_the_function():
    leaves = {key: x.clone().requires_grad_() for key, x in X.items()}

    def curvature(value):
        grads = torch.autograd.grad(value, list(leaves.values()), create_graph=True)
        return torch.autograd.grad(sum(g.square().sum() for g in grads), list(leaves.values()))

    for one, other in zip(curvature(again(leaves)), curvature(plain(leaves)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_chains_keep_arguments_alone():
    """Functions in between keep nothing, however large their insides are."""
    kept = []

    def wide(x):
        return (x * torch.ones(1000, dtype=x.dtype)).sin().sum()

    x = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        y = recomputed(wide, recomputed(wide, x))
    assert kept == [1, 1]
    y.backward()
    assert x.grad.isfinite()


def test_what_is_not_reached_has_no_gradient():
    grads = grad(lambda x: recomputed(lambda a, b: a.square().sum(), x["a"], x["b"]))(X)
    assert torch.equal(grads["a"], 2 * X["a"])
    assert not grads["b"].any()
