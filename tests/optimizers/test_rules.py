"""Particulars of single rules, against formulas and `torch.optim`."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from optsuite.errors import HParamError
from optsuite.optimizers import (
    adabelief,
    adagrad,
    adam,
    adamw,
    add_decayed_weights,
    chain,
    cosine_decay,
    exponential_decay,
    fromage,
    lamb,
    lars,
    linear_rampup_sqrt_decay,
    nadamw,
    nadamw_cosine_lr,
    piecewise_linear,
    radam,
    rmsprop,
    scale_by_adam,
    scale_by_factored_rms,
    scale_by_lr,
    scale_by_param_block_rms,
    scale_by_radam,
    scale_by_sm3,
    scale_by_trust_ratio,
    sgd,
    sgdm,
    sm3,
    trace,
    yogi,
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


def adabelief_variance(t):
    """Return the corrected v of the gradient 2, of which 2 * 0.9^t was not foreseen, at an eps_root of 4."""
    stored = 0.0
    for i in range(1, t + 1):
        stored = 0.999 * stored + 0.001 * (2 * 0.9**i) ** 2 + 4.0
    return stored / (1 - 0.999**t)


# The size of the 10th update by the gradient 2, for which corrected averages are 2 and 4.
WITH_LARGE_EPS = {
    "Adam": (adam(1.0, eps=0.5, eps_root=5.0), 2 / ((4 + 5) ** 0.5 + 0.5)),
    "AdamW": (adamw(1.0, eps=0.5, weight_decay=0.0), 2 / (2 + 0.5)),
    "RAdam": (radam(1.0, beta2=0.9, eps=0.5), radam_factor(0.9, 10) * 2 / (2 + 0.5)),
    "RMSProp": (rmsprop(1.0, eps=0.5), 2 / (4 * (1 - 0.9**10) + 0.5) ** 0.5),
    "AdaGrad": (adagrad(1.0, eps=0.5), 2 / (0.1 + 10 * 4 + 0.5) ** 0.5),
    "AdaBelief": (adabelief(1.0, eps=0.5, eps_root=4.0), 2 / (adabelief_variance(10) ** 0.5 + 0.5)),
    "Yogi": (yogi(1.0, beta1=0.0, eps=0.5), 2 / (((1e-6 + 10 * 0.004) / (1 - 0.999**10)) ** 0.5 + 0.5)),
    "Lamb": (lamb(1.0, eps=0.5), 2 / (2 + 0.5)),
    "SM3": (chain(scale_by_sm3(momentum=0.0, eps=0.5), scale_by_lr(1.0)), 2 / (10 * 4 + 0.5) ** 0.5),
    "NAdamW": (
        nadamw(1.0, beta1=0.0, eps=0.5),
        (1 - 0.999**10) ** 0.5 * 2 / (2 * (1 - 0.999**10) ** 0.5 + 0.5),
    ),
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


@pytest.mark.parametrize("step", [0, 4, 5, 6, 10, 14, 15, 20, 40, 10_000])
@pytest.mark.parametrize("make", [float, torch.tensor], ids=["floats", "tensors"])
def test_piecewise_linear_joins_its_points_and_stays_constant_outside(step, make):
    times, lrs = (5, 15, 20), (1.0, 0.1, 0.4)
    actual = piecewise_linear(times, tuple(map(make, lrs)))(torch.tensor(float(step)))
    assert actual.shape == ()
    assert actual.item() == pytest.approx(np.interp(step, times, lrs), rel=1e-6)


def test_piecewise_linear_of_one_point_is_constant():
    assert piecewise_linear((5,), (0.1,))(torch.tensor(9.0)).item() == pytest.approx(0.1)


@pytest.mark.parametrize("times", [(), (5,), (5, 15, 20)])
def test_piecewise_linear_needs_a_time_for_each_rate(times):
    with pytest.raises(HParamError, match=f"one number for each of `lrs`, got {len(times)} for 2"):
        piecewise_linear(times, (0.1, 0.2))


def cosine(t, num_steps, lr, mult, constant, warmup):
    """Return the learning rate of the reference's rule, in float64."""
    t, c, low = min(t, num_steps), num_steps * constant, mult * lr
    w = num_steps * max(warmup, constant)
    if warmup > 0 and t < w:
        return lr * t / w
    return (lr - low) * (math.cos((max(t, c) - c) * math.pi / (num_steps - c)) / 2 + 0.5) + low


@pytest.mark.parametrize("hparams", [(0.1, 0.5, 0.0), (0.0, 0.3, 0.01), (0.9, 0.05, 0.2), (0.0, 0.0, 0.0)])
@pytest.mark.parametrize("make", [float, torch.tensor], ids=["floats", "tensors"])
def test_cosine_decay_is_its_formula(hparams, make):
    mult, constant, warmup = hparams
    schedule = cosine_decay(
        make(0.3), min_lr_mult=make(mult), constant_fraction=make(constant), warmup_fraction=make(warmup)
    )
    opt = scale_by_lr(schedule)
    params = {"p": torch.ones(1)}
    state = opt.init(params, num_steps=10)
    for t in range(15):
        updates, state = opt.update(params, state, params)
        assert -updates["p"].item() == pytest.approx(cosine(t, 10, 0.3, *hparams), abs=1e-7)


def test_any_warmup_of_a_cosine_decay_makes_its_constant_part_a_ramp():
    short, none = (cosine_decay(1.0, constant_fraction=0.5, warmup_fraction=w).rate for w in (1e-6, 0.0))
    assert short(torch.tensor(0.25)).item() == pytest.approx(0.5)
    assert none(torch.tensor(0.25)).item() == 1.0
    assert short(torch.tensor(0.0)).item() == 0.0


@pytest.mark.parametrize("opt", [adam(cosine_decay(0.1)), nadamw_cosine_lr(0.1)], ids=["Adam", "NAdamW"])
def test_a_rate_that_follows_the_run_needs_its_length(opt):
    with pytest.raises(HParamError, match=r"`init` needs `num_steps`.*got None"):
        opt.init({"p": torch.ones(1)})


def test_a_run_of_no_steps_still_makes_an_update():
    """The trainer takes a step at `num_steps` too."""
    params, opt = {"p": torch.ones(1)}, sgd(cosine_decay(0.1, warmup_fraction=0.0))
    updates, _ = opt.update(params, opt.init(params, num_steps=0), params)
    assert updates["p"].item() == pytest.approx(-0.1)


@pytest.mark.parametrize("nesterov", [False, True])
def test_nesterov_of_nadamw_may_be_a_tensor(nesterov):
    params, grads = {"p": torch.ones(3)}, {"p": torch.tensor([1.0, -2.0, 3.0])}
    as_bool, as_tensor = nadamw(0.1, nesterov=nesterov), nadamw(0.1, nesterov=torch.tensor(float(nesterov)))
    expected, _ = as_bool.update(grads, as_bool.init(params), params)
    actual, _ = as_tensor.update(grads, as_tensor.init(params), params)
    torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize("make", [float, torch.tensor], ids=["floats", "tensors"])
def test_sm3_sums_at_beta2_one_and_averages_below(make):
    params, grads = {"p": torch.zeros(1)}, {"p": torch.full((1,), 2.0)}
    for beta2, expected in [(1.0, 2 / 12**0.5), (0.5, 2 / (4 * (1 - 0.5**3)) ** 0.5)]:
        opt = scale_by_sm3(momentum=0.0, beta2=make(beta2))
        state = opt.init(params)
        for _ in range(3):
            updates, state = opt.update(grads, state, params)
        assert updates["p"].item() == pytest.approx(expected, rel=1e-5)


def test_sm3_keeps_the_largest_sum_of_each_row_and_column():
    params, grads = {"p": torch.zeros(2, 3)}, {"p": torch.tensor([[1.0, 2.0, 0.0], [4.0, 0.0, 3.0]])}
    opt = sm3(1.0)
    state = opt.init(params)
    for _ in range(2):
        _, state = opt.update(grads, state, params)
    rows, columns = state[0].covers["p"]
    # The first time squares alone, the second on top of the smaller of row and column.
    assert rows.tolist() == [[8.0], [32.0]]
    assert columns.tolist() == [[17.0 + 15.0, 8.0, 18.0]]


def test_sm3_takes_a_scalar_for_a_vector_of_one():
    updates = []
    for shape in [(), (1,)]:
        params, opt = {"p": torch.zeros(shape)}, sm3(1.0)
        state = opt.init(params)
        for size in (1.0, 3.0, 2.0):
            update, state = opt.update({"p": torch.full(shape, size)}, state, params)
        updates.append(update["p"].item())
    assert updates[0] == updates[1]


SHAPES = [*itertools.permutations((2, 3, 4)), (3, 3), (2, 3, 3), (1, 4)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_factored_mean_square_of_rank_one_is_exact(shape):
    """This holds whichever axes are the largest; the squares vary along two axes only."""
    first, second = sorted(range(len(shape)), key=shape.__getitem__)[-2:]
    a = torch.rand([n if axis == first else 1 for axis, n in enumerate(shape)]) + 0.5
    b = torch.rand([n if axis == second else 1 for axis, n in enumerate(shape)]) + 0.5
    params, grads = {"p": torch.zeros(shape)}, {"p": (a * b).expand(shape)}
    whole, factored = scale_by_factored_rms(), scale_by_factored_rms(min_dim_size_to_factor=1)
    whole_state, state = whole.init(params), factored.init(params)
    assert (set(state.nu), set(state.rows), set(state.columns)) == (set(), {"p"}, {"p"})
    for _ in range(3):
        expected, whole_state = whole.update(grads, whole_state, params)
        actual, state = factored.update(grads, state, params)
        torch.testing.assert_close(actual, expected)


def test_adafactor_factors_tensors_with_two_long_axes_only():
    params = {"both": torch.zeros(2, 128, 128), "one": torch.zeros(128, 127), "vector": torch.zeros(500)}
    state = scale_by_factored_rms().init(params)
    assert set(state.nu) == {"one", "vector"}
    assert state.rows["both"].shape == (2, 128, 1)
    assert state.columns["both"].shape == (2, 1, 128)


def test_the_steps_of_adafactor_never_vanish_with_the_parameter():
    params, opt = {"p": torch.zeros(2)}, scale_by_param_block_rms()
    assert opt.update({"p": torch.ones(2)}, opt.init(params), params)[0]["p"].tolist() == pytest.approx(
        [1e-3] * 2
    )


@pytest.mark.parametrize(("param", "grad"), [(0.0, 2.0), (3.0, 0.0), (0.0, 0.0)])
def test_a_norm_of_zero_makes_the_trust_ratio_one(param, grad):
    params, opt = {"p": torch.full((2,), param)}, scale_by_trust_ratio(trust_coefficient=1e-3)
    updates, _ = opt.update({"p": torch.full((2,), grad)}, opt.init(params), params)
    assert updates["p"].tolist() == [grad] * 2


def test_lars_moves_a_fresh_bias_a_thousand_times_further():
    params, opt = {"bias": torch.zeros(1), "weight": torch.ones(1)}, lars(0.1)
    updates, _ = opt.update({name: torch.ones(1) for name in params}, opt.init(params), params)
    assert updates["bias"].item() == pytest.approx(-0.1)
    assert updates["weight"].item() == pytest.approx(-1e-4)


@pytest.mark.parametrize("lr", [1e-4, 1e-2, 1.0])
@pytest.mark.parametrize("make", [float, torch.tensor], ids=["floats", "tensors"])
def test_fromage_shrinks_exactly_also_by_little(lr, make):
    params, opt = {"p": torch.full((1,), 2.0)}, fromage(make(lr))
    updates, _ = opt.update({"p": torch.zeros(1)}, opt.init(params), params)
    assert updates["p"].item() == pytest.approx(2 * ((1 + lr * lr) ** -0.5 - 1), rel=1e-5)


def test_fromage_keeps_the_size_of_what_it_turns():
    params, opt = {"p": torch.tensor([3.0, 0.0])}, fromage(0.5)
    updates, _ = opt.update({"p": torch.tensor([0.0, 7.0])}, opt.init(params), params)
    assert torch.linalg.vector_norm(params["p"] + updates["p"]).item() == pytest.approx(3.0)


def test_yogi_moves_before_its_first_gradient():
    params, opt = {"p": torch.zeros(1)}, yogi(1.0)
    updates, _ = opt.update({"p": torch.zeros(1)}, opt.init(params), params)
    assert updates["p"].item() == pytest.approx(-0.9e-5 / (0.999e-3**0.5 + 1e-3), rel=1e-3)


def test_yogi_forgets_a_large_gradient_slowly():
    params, opt = {"p": torch.zeros(1)}, yogi(1.0)
    state = opt.init(params)
    for size, expected in [(100.0, 10.0), (1.0, 10.0 - 1e-3), (1.0, 10.0 - 2e-3)]:
        _, state = opt.update({"p": torch.full((1,), size)}, state, params)
        assert state[0].nu["p"].item() == pytest.approx(expected, rel=1e-5)
