"""Particulars of the newer rules, against their formulas."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from optsuite.errors import HParamError
from optsuite.optimizers import ademamix, adopt, cautious, lion, mars_adamw, prodigy, sgd, sgdm, signum


def updates_of(opt, grads, start=1.0, num_steps=10):
    """Give the update by each gradient, a number each."""
    params = {"p": torch.tensor([start])}
    state, sizes = opt.init(params, num_steps=num_steps), []
    for grad in grads:
        updates, state = opt.update({"p": torch.tensor([grad])}, state, params)
        params = {"p": params["p"] + updates["p"]}
        sizes.append(updates["p"].item())
    return sizes


@pytest.mark.parametrize("opt", [lion(0.1), signum(0.1)], ids=["Lion", "Signum"])
def test_the_sign_of_nan_is_nan(opt):
    """So a trial diverges and does not stand still, as it would with `torch.sign`."""
    sizes = torch.tensor(updates_of(opt, [1.0, float("nan"), 1.0]))
    assert sizes.isnan().tolist() == [False, True, True]


def test_lion_steps_by_another_mean_than_it_keeps():
    """The last gradient counts for 0.1 in the step and for 0.01 in the mean."""
    assert updates_of(lion(1.0), [1.0, -0.05, -0.2, -0.05]) == [-1.0, -1.0, 1.0, -1.0]


def test_adopt_divides_by_the_squares_before_and_first_stands_still():
    beta2, first, second, third = 0.5, 2.0, 3.0, 1e6
    sizes = updates_of(adopt(1.0, beta1=0.0, beta2=beta2), [first, second, third])
    assert sizes[0] == 0.0
    assert sizes[1] == pytest.approx(-1.0)  # 3 / 2, clipped at 1
    assert sizes[2] == pytest.approx(-(2**0.25))


def test_weights_of_ademamix_rise_with_the_share_of_its_warmup():
    """With gradients of 1, the slow average is 1 minus the product of the decays so far."""
    sizes = updates_of(ademamix(1.0, beta1=0.5, beta3=0.9, alpha=4.0, slow_warmup=0.4), [1.0] * 6)
    left = 1.0
    for step, size in enumerate(sizes, 1):
        share = min(step / 4, 1)
        log_fast, log_slow = torch.tensor([0.5, 0.9], dtype=torch.float64).log()
        left *= torch.exp(log_fast * log_slow / ((1 - share) * log_slow + share * log_fast)).item()
        assert size == pytest.approx(-(1 + share * 4.0 * (1 - left)), rel=1e-4)


@pytest.mark.parametrize("hparams", [{"beta1": 0.0}, {"beta3": 0.0}, {"beta1": 0.0, "beta3": 0.0}])
@pytest.mark.parametrize("slow_warmup", [0.0, 0.4])
def test_decays_of_0_are_the_same_as_numbers_and_as_tensors(hparams, slow_warmup):
    """An average that forgets at once is the latest gradient."""
    tensors = {key: torch.tensor(value) for key, value in hparams.items()}
    sizes, others = (
        updates_of(ademamix(1.0, slow_warmup=slow_warmup, **given), [1.0, -2.0, 3.0, -4.0, 5.0])
        for given in (hparams, tensors)
    )
    assert sizes == pytest.approx(others)
    assert all(math.isfinite(size) for size in sizes)


def test_ademamix_needs_the_length_of_the_run_for_its_warmup():
    params = {"p": torch.ones(1)}
    with pytest.raises(HParamError, match=r"`init` needs `num_steps`.*got None.*`slow_warmup=0`"):
        ademamix(0.1).init(params)
    ademamix(0.1, slow_warmup=0.0).init(params)


def test_mars_adds_a_share_of_the_change_before_it_clips():
    """With beta1 = beta2 = 0.5, the second update is by corrected averages of both corrected gradients."""
    first, second = 1.0, 0.3 + 2.0 * (0.3 - 0.5)  # 0.5 (1 + 2), clipped at 1; not clipped
    mean, square = ((0.25 * a + 0.5 * b) / 0.75 for a, b in [(first, second), (first, second**2)])
    sizes = updates_of(mars_adamw(1.0, beta1=0.5, beta2=0.5, gamma=2.0), [0.5, 0.3])
    assert sizes == pytest.approx([-1.0, -mean / square**0.5])


def test_prodigy_finds_its_rate_from_a_far_too_small_guess():
    params, opt = {"p": torch.tensor([3.0])}, prodigy(d0=1e-4)
    state = opt.init(params)
    for _ in range(200):
        updates, state = opt.update({"p": params["p"]}, state, params)
        params = {"p": params["p"] + updates["p"]}
    assert 1.0 < state.distance.item() < 3.0
    assert abs(params["p"].item()) < 0.3


def test_prodigy_does_nothing_before_its_first_gradient():
    sizes = updates_of(prodigy(d0=0.1, weight_decay=0.5), [0.0, 0.0, 1.0])
    assert sizes[:2] == [0.0, 0.0]
    assert sizes[2] != 0.0


def test_growth_of_prodigys_distance_is_bounded_once_it_has_begun():
    params, opt = {"p": torch.tensor([3.0])}, prodigy(d0=1e-4, growth_rate=1.1)
    state, distances = opt.init(params), []
    for _ in range(30):
        updates, state = opt.update({"p": params["p"]}, state, params)
        params = {"p": params["p"] + updates["p"]}
        distances.append(state.distance.item())
    left = [d for d in distances if d > 1.01e-4]
    assert all(later <= 1.1001 * d for d, later in itertools.pairwise(left))
    assert left[-1] > 2 * left[0]


def test_cautious_keeps_what_goes_downhill_and_makes_it_larger():
    params, opt = {"p": torch.zeros(4)}, cautious(sgdm(1.0, momentum=0.9))
    state = opt.init(params)
    for grad in ([1.0, 1.0, 1.0, 1.0], [1.0, 1e-30, -0.5, 0.0]):
        updates, state = opt.update({"p": torch.tensor(grad)}, state, params)
    expected = torch.tensor([-1.9, -0.9, 0.0, 0.0]) * 4 / (2 + 1)
    torch.testing.assert_close(updates["p"], expected)


def test_cautious_steps_that_all_go_downhill_lose_little():
    params, grads = {"p": torch.zeros(99)}, {"p": torch.ones(99)}
    opt = cautious(sgd(1.0))
    updates, _ = opt.update(grads, opt.init(params), params)
    torch.testing.assert_close(updates["p"], torch.full((99,), -0.99))
