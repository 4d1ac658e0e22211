"""Persistent evolution strategies: their formula, their course, and what their estimates are estimates of."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch.func import jacrev, vmap

from optsuite.errors import OptsuiteError
from optsuite.gradients import persistent_es
from optsuite.gradients._persistent_es import Losses, combine
from optsuite.noise import normal

GOLDENS = Path(__file__).parents[1] / "goldens" / "learned_optimizers.npz"


@pytest.mark.parametrize("case", range(3))
def test_estimate_from_losses_matches_the_reference(case):
    with np.load(GOLDENS) as goldens:
        of_case = f"pes/case{case}/"
        facts = {k.removeprefix(of_case): torch.from_numpy(goldens[k]) for k in goldens if of_case in k}

    def tree(name):
        prefix = f"{name}/"
        return {key.removeprefix(prefix): t for key, t in facts.items() if key.startswith(prefix)}

    losses = Losses(torch.stack([facts["pos_loss"], facts["neg_loss"]]), facts["is_done"], facts["mask"])
    loss, grads, sums = combine(losses, tree("accumulator"), tree("perturbation"), facts["std"].item())
    torch.testing.assert_close(loss, facts["out_loss"], rtol=1e-6, atol=0)
    for key, expected in tree("out_grad").items():
        torch.testing.assert_close(grads[key], expected, rtol=1e-5, atol=1e-5)
    for key, expected in tree("out_accumulator").items():
        torch.testing.assert_close(sums[key], expected, rtol=1e-6, atol=0)


class Descent:
    """Gradient descent on a quadratic at a learned rate: x -= rate * h * x, of loss h x^2 / 2 afterwards."""

    H = torch.tensor([0.1, 0.5, 1.0])

    def init(self, params, key):
        return torch.ones(3) + 0.1 * normal(key, (3,))

    def step(self, params, state, batch, key):
        state = state * (1 - params["rate"] * self.H)
        return state, (self.H * state.square()).sum() / 2 * batch["scale"]


LENGTH, PIECE, STD = 30, 4, 0.01
RATE = torch.tensor(0.1)
ALL_POSITIONS = LENGTH + 1  # so many pieces begin at every position once, since 4 does not divide 31


def batch_of(num_problems, num_steps=PIECE):
    return {"scale": torch.ones(num_steps, num_problems)}


def slopes_of_losses():
    """Entry (t, s) is the derivative of the expected loss of step t by the rate of step s."""

    def losses(rates):
        factors = (1 - rates[:, None] * Descent.H).cumprod(0).square()
        return (factors * Descent.H * 1.01).sum(1) / 2  # 1.01: mean square of the first state

    return jacrev(losses)(RATE.double().expand(LENGTH)).tril()


def expected_estimate(*, is_persistent):
    """Mean over all positions at which a piece may begin.

    As in the reference, the loss with which an unroll ends counts for the present perturbation alone.
    """
    slopes, estimates = slopes_of_losses(), []
    for begin in range(ALL_POSITIONS):
        steps = [(begin + n) % ALL_POSITIONS for n in range(PIECE)]
        total = 0.0
        for t in steps:
            if t == LENGTH:  # begins anew
                continue
            is_before_end = t >= begin and t < LENGTH - 1
            since = 0 if t < begin or (is_persistent and is_before_end) else begin
            total += slopes[t, since:].sum().item()
        estimates.append(total / (PIECE - (LENGTH in steps)))
    return np.mean(estimates)


def mean_of_estimates(*, is_persistent, num_trials=50, num_problems=400):
    """Mean over all positions of independent trials, and its standard error."""
    estimator = persistent_es(Descent(), num_problems=num_problems, total_length=LENGTH, std=STD)
    batch, params = batch_of(num_problems), {"rate": RATE}

    def estimate(carry, key):
        if not is_persistent:
            carry = carry._replace(accumulator={"rate": torch.zeros(num_problems)})
        grads, _, carry = estimator.estimate(None, params, carry, batch, key)
        return grads["rate"], carry

    carry = vmap(lambda key: estimator.init(params, key))(torch.arange(num_trials))
    means = torch.zeros(num_trials)
    for count in range(2 * ALL_POSITIONS):
        grads, carry = vmap(estimate)(carry, num_trials * (count + 1) + torch.arange(num_trials))
        means += grads * (count >= ALL_POSITIONS) / ALL_POSITIONS  # at first, unrolls begin late
    return means.mean().item(), means.std().item() / num_trials**0.5


def test_estimates_are_those_of_the_gradient_over_whole_unrolls():
    """The loss of the last step is off by what it owes to earlier pieces, a fortieth of the whole."""
    true = slopes_of_losses().sum(1).mean().item()
    expected = expected_estimate(is_persistent=True)
    mean, error = mean_of_estimates(is_persistent=True)
    assert error < 0.02 * abs(true)
    assert abs(mean - expected) < 3 * error
    assert expected == pytest.approx(true, rel=0.03)


def test_estimates_that_forget_earlier_perturbations_are_biased():
    true = slopes_of_losses().sum(1).mean().item()
    mean, error = mean_of_estimates(is_persistent=False)
    assert abs(mean - expected_estimate(is_persistent=False)) < 3 * error
    assert abs(mean - true) > 20 * error


class Told(NamedTuple):
    """What a step was told, and the numbers that it drew."""

    param: torch.Tensor
    scale: torch.Tensor
    noise: torch.Tensor


class Telling:
    """Its state holds what it was told, and the number of its steps."""

    def init(self, params, key):
        zero = torch.zeros(())
        return {"count": zero, "first": normal(key, ()), "told": Told(zero, zero, zero)}

    def step(self, params, state, batch, key):
        told = Told(params["x"], batch["scale"], normal(key, ()))
        return {**state, "count": state["count"] + 1, "told": told}, state["count"] + 1


def run_telling(num_problems=200, length=5, num_steps=3, pieces=1):
    estimator = persistent_es(Telling(), num_problems=num_problems, total_length=length, std=STD)
    params = {"x": torch.tensor(2.0)}
    carries, losses = [estimator.init(params, torch.tensor(1))], []
    scale = torch.arange(1.0, 1 + num_steps * num_problems).view(num_steps, num_problems)
    for number in range(pieces):
        _, loss, carry = estimator.estimate(
            None, params, carries[-1], {"scale": scale}, torch.tensor(10 + number)
        )
        carries.append(carry)
        losses.append(loss)
    return estimator, params, {"scale": scale}, carries, losses


def test_problems_start_at_all_positions_with_states_of_their_own():
    _, _, _, (carry,), _ = run_telling(pieces=0)
    assert set(carry.position.tolist()) == set(range(5))
    assert len(set(carry.states["first"][0].tolist())) == 200
    assert not carry.accumulator["x"].any()


def test_both_signs_share_batches_noise_and_fresh_states():
    _, params, batch, (_, after), _ = run_telling()
    plus, minus = (Told(*(leaf[sign] for leaf in after.states["told"])) for sign in (0, 1))
    has_stepped = after.position > 0  # in the last step
    assert torch.equal(plus.scale[has_stepped], batch["scale"][-1][has_stepped])
    for one, other in ((plus.scale, minus.scale), (plus.noise, minus.noise), after.states["first"].unbind()):
        assert torch.equal(one, other)
    assert len(set(plus.noise[has_stepped].tolist())) == has_stepped.sum()
    shift = (plus.param - params["x"])[has_stepped]
    torch.testing.assert_close(shift, (params["x"] - minus.param)[has_stepped])
    assert shift.std().item() == pytest.approx(STD, rel=0.2)


def test_beginning_anew_takes_a_step_without_a_loss():
    _, _, _, carries, losses = run_telling(pieces=4)
    for (before, after), loss in zip(itertools.pairwise(carries), losses, strict=True):
        steps = (before.position[None] + torch.arange(3)[:, None]) % 6
        # Losses count the steps since the state was made, which for the first one is not the position.
        if before is not carries[0] and before is not carries[1]:
            counts = torch.where(steps == 5, torch.nan, steps + 1.0)
            torch.testing.assert_close(loss, counts.nanmean(0).mean())
        assert torch.equal(after.position, (before.position + 3) % 6)
        is_new = (steps == 5).any(0)
        assert torch.equal(before.states["first"] != after.states["first"], is_new.expand(2, -1))


def test_sums_of_perturbations_begin_anew_with_the_problem():
    _, params, _, carries, _ = run_telling(pieces=3)
    for before, after in itertools.pairwise(carries):
        steps = (before.position[None] + torch.arange(3)[:, None]) % 6
        has_ended, is_certain = (steps == 4).any(0), steps[-1] != 5
        shift = after.states["told"].param[0] - params["x"]
        expected = torch.where(has_ended, 0, before.accumulator["x"]) + shift
        torch.testing.assert_close(
            after.accumulator["x"][is_certain], expected[is_certain], rtol=1e-4, atol=1e-6
        )


def test_an_evaluation_gives_the_loss_of_the_step_that_would_follow():
    estimator, params, batch, carries, losses = run_telling(pieces=2)
    value = estimator.evaluate(None, params, carries[1], batch, torch.tensor(11))
    assert torch.equal(value, losses[1])


@pytest.mark.parametrize("length", [1, 10])
def test_pieces_in_which_a_problem_has_no_loss_or_ends_twice_are_refused(length):
    estimator = persistent_es(Descent(), num_problems=2, total_length=9)
    params = {"rate": torch.tensor(0.1)}
    carry = estimator.init(params, torch.tensor(0))
    words = re.escape(f"needs 2 to 9 steps, the length of an unroll (got {length})")
    with pytest.raises(OptsuiteError, match=words):
        estimator.estimate(None, params, carry, {"x": torch.zeros(length, 2)}, torch.tensor(1))
