"""What is particular to a rule, against formulas and `torch.optim`."""

from __future__ import annotations

import pytest
import torch

from optsuite.optimizers import (
    adagrad,
    adam,
    adamw,
    add_decayed_weights,
    chain,
    exponential_decay,
    linear_rampup_sqrt_decay,
    radam,
    rmsprop,
    scale_by_adam,
    scale_by_lr,
    scale_by_radam,
    sgd,
    sgdm,
    trace,
)

SAME_IN_TORCH = {
    "SGD": (sgd(0.1), lambda p: torch.optim.SGD(p, lr=0.1), 1e-6),
    "SGDM": (sgdm(0.1), lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9), 1e-6),
    "Adam": (adam(0.1, eps_root=0.0), lambda p: torch.optim.Adam(p, lr=0.1), 3e-5),
    "AdamW": (
        adamw(0.1, weight_decay=0.5),
        lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.5),
        3e-5,
    ),
    # rho in float32 here and in float64 there
    "RAdam": (radam(0.1), lambda p: torch.optim.RAdam(p, lr=0.1), 3e-3),
    # eps under the root here and beside it there, next to a sum of at least 0.1
    "AdaGrad": (
        adagrad(0.1),
        lambda p: torch.optim.Adagrad(p, lr=0.1, initial_accumulator_value=0.1),
        1e-5,
    ),
}


@pytest.mark.parametrize(("opt", "make_torch", "rtol"), SAME_IN_TORCH.values(), ids=SAME_IN_TORCH)
def test_agrees_with_torch_step_by_step(opt, make_torch, rtol):
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(50, generator=generator)
    theirs = start.clone().requires_grad_()
    torch_opt = make_torch([theirs])
    ours = {"p": start}
    state = opt.init(ours)
    for _ in range(30):
        grad = torch.randn(50, generator=generator)
        theirs.grad = grad.clone()
        torch_opt.step()
        updates, state = opt.update({"p": grad}, state, ours)
        ours = {"p": ours["p"] + updates["p"]}
        moved = (theirs.detach() - start).abs().max().item()
        torch.testing.assert_close(ours["p"], theirs.detach(), rtol=0.0, atol=1e-6 + rtol * moved)


def test_sgd_leaves_parameters_where_the_gradient_is_zero():
    params = {"p": torch.ones(3)}
    opt = sgd(0.1)
    updates, _ = opt.update({"p": torch.zeros(3)}, opt.init(params), params)
    assert torch.equal(params["p"] + updates["p"], params["p"])


def test_adam_moves_less_for_small_gradients_than_without_eps_root():
    params, grads = {"p": torch.zeros(1)}, {"p": torch.full((1,), 1e-4)}
    with_root = adam(1.0).update(grads, adam(1.0).init(params), params)[0]["p"]
    assert with_root.item() == pytest.approx(-1e-4 / (2e-8**0.5 + 1e-8), rel=1e-4)


def radam_factor(beta2, t):
    rho_inf = 2 / (1 - beta2) - 1
    rho = rho_inf - 2 * t * beta2**t / (1 - beta2**t)
    return ((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho)) ** 0.5


# The size of the 10th update by the gradient 2, for which corrected averages are 2 and 4.
WITH_LARGE_EPS = {
    "Adam": (adam(1.0, eps=0.5, eps_root=5.0), 2 / ((4 + 5) ** 0.5 + 0.5)),
    "AdamW": (adamw(1.0, eps=0.5, weight_decay=0.0), 2 / (2 + 0.5)),
    "RAdam": (radam(1.0, beta2=0.9, eps=0.5), radam_factor(0.9, 10) * 2 / (2 + 0.5)),
    "RMSProp": (rmsprop(1.0, eps=0.5), 2 / (4 * (1 - 0.9**10) + 0.5) ** 0.5),
    "AdaGrad": (adagrad(1.0, eps=0.5), 2 / (0.1 + 10 * 4 + 0.5) ** 0.5),
}


@pytest.mark.parametrize(("opt", "size"), WITH_LARGE_EPS.values(), ids=WITH_LARGE_EPS)
def test_eps_is_added_where_the_rule_has_it(opt, size):
    params = {"p": torch.zeros(1)}
    state = opt.init(params)
    for _ in range(10):
        updates, state = opt.update({"p": torch.full((1,), 2.0)}, state, params)
    assert updates["p"].item() == pytest.approx(-size, rel=3e-5)


def test_adam_survives_an_overflowed_second_moment():
    """The parameter stops where it is, as in the reference, and does not turn into NaN."""
    params, opt = {"p": torch.zeros(1)}, adam(0.1)
    state = opt.init(params)
    for size in [1e25, 1.0, 1.0]:
        updates, state = opt.update({"p": torch.full((1,), size)}, state, params)
        assert updates["p"].item() == 0.0


def test_radam_begins_with_five_updates_of_plain_momentum():
    params, opt = {"p": torch.zeros(1)}, scale_by_radam()
    state = opt.init(params)
    sizes = []
    for _ in range(7):
        updates, state = opt.update({"p": torch.full((1,), 100.0)}, state, params)
        sizes.append(updates["p"].item())
    assert sizes[:5] == pytest.approx([100.0] * 5, rel=1e-5)
    assert 0 < sizes[5] < sizes[6] < 1


@pytest.mark.parametrize("beta2", [0.0, 0.5, 0.6, 2 / 3])
def test_radam_is_finite_where_it_never_rectifies(beta2):
    """Here the factor is the root of a negative number, or a quotient by zero."""
    params, opt = {"p": torch.zeros(1)}, radam(1.0, beta2=beta2)
    state = opt.init(params)
    for _ in range(20):
        updates, state = opt.update({"p": torch.ones(1)}, state, params)
        assert updates["p"].item() == pytest.approx(-1.0, rel=1e-5)


def test_steps_are_counted_exactly_in_long_runs():
    params, opt = {"p": torch.zeros(1)}, scale_by_adam()
    state = opt.init(params)._replace(step=torch.tensor(2.0**24 - 2))
    _, state = opt.update(params, state, params)
    assert state.step.item() == 2**24 - 1


def test_chain_feeds_updates_forward():
    params, grads = {"p": torch.tensor([2.0])}, {"p": torch.tensor([1.0])}
    opt = chain(add_decayed_weights(0.5), chain(trace(0.9), scale_by_lr(0.1)))
    state = opt.init(params)
    updates, state = opt.update(grads, state, params)
    assert updates["p"].item() == pytest.approx(-0.1 * (1.0 + 0.5 * 2.0))
    updates, state = opt.update(grads, state, params)
    assert updates["p"].item() == pytest.approx(-0.1 * (2.0 + 0.9 * 2.0))


def test_schedule_is_called_with_the_number_of_updates_before():
    params = {"p": torch.ones(1)}
    opt = sgd(lambda step: step * 10)
    state = opt.init(params)
    sizes = []
    for _ in range(3):
        updates, state = opt.update(params, state, params)
        sizes.append(updates["p"].item())
    assert sizes == [0.0, -10.0, -20.0]


STEPS = [0, 1, 2, 10, 999, 1000, 1001, 50_000, 299_999]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("make", [float, torch.tensor], ids=["floats", "tensors"])
def test_linear_rampup_sqrt_decay_is_its_formula(step, make):
    s = max(step, 1)
    expected = 0.3 * min(s / 1000, (1000 / s) ** 0.5)
    actual = linear_rampup_sqrt_decay(make(0.3), warmup_steps=make(1000.0))(torch.tensor(float(step)))
    assert actual.shape == ()
    assert actual.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("make", [float, torch.tensor], ids=["floats", "tensors"])
def test_exponential_decay_is_its_formula(step, make):
    actual = exponential_decay(make(0.3), decay=make(7e-5))(torch.tensor(float(step)))
    assert actual.shape == ()
    assert actual.item() == pytest.approx(0.3 * (1 - 7e-5) ** step, rel=5e-6)
