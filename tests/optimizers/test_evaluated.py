"""An optimizer may have other parameters evaluated than those that it trains."""

from __future__ import annotations

import pytest
import torch

from optsuite.errors import HParamError, OptsuiteError
from optsuite.optimizers import (
    accumulate,
    adam,
    as_trained,
    averaged,
    cautious,
    chain,
    clip,
    schedule_free_adamw,
    schedule_free_sgd,
)

INNER = schedule_free_sgd(lr=0.5, momentum=0.9)


def trained(opt, num_steps=7):
    params = {"p": torch.tensor([1.0, -2.0])}
    state = opt.init(params)
    for step in range(1, num_steps + 1):
        updates, state = opt.update({"p": params["p"] / step}, state, params)
        params = {"p": params["p"] + updates["p"]}
    return state, params


@pytest.mark.parametrize("warmup_steps", [0, 5])
def test_schedule_free_is_evaluated_at_the_mean_of_its_steps(warmup_steps):
    opt = schedule_free_sgd(lr=0.5, momentum=0.9, warmup_steps=warmup_steps)
    y = z = x = torch.tensor([1.0, -2.0], dtype=torch.float64)
    total = 0.0
    for step in range(1, 8):
        rate = 0.5 * min(step / warmup_steps, 1) if warmup_steps else 0.5
        z = z - rate * y / step
        total += rate**2
        x = x + rate**2 / total * (z - x)
        y = 0.1 * z + 0.9 * x
    state, params = trained(opt)
    torch.testing.assert_close(params["p"], y.float())
    torch.testing.assert_close(opt.evaluated(state, params)["p"], x.float())


@pytest.mark.parametrize(
    "wrap",
    [
        lambda opt: chain(clip(100.0), opt),
        lambda opt: averaged(opt, 0.9),
        lambda opt: accumulate(opt, 1),
        lambda opt: accumulate(chain(clip(100.0), averaged(opt, 0.9)), 1),
    ],
    ids=["chain", "averaged", "accumulate", "all"],
)
def test_what_wraps_an_optimizer_is_evaluated_as_it_is(wrap):
    opt = wrap(INNER)
    torch.testing.assert_close(opt.evaluated(*trained(opt)), INNER.evaluated(*trained(INNER)))
    assert wrap(adam(0.1)).evaluated is as_trained


def test_a_chain_has_one_piece_at_most_that_says_so():
    with pytest.raises(OptsuiteError, match=r"one piece of a chain may say .* got 2 that do: leave out"):
        chain(INNER, schedule_free_adamw(0.1))


def test_averages_of_other_steps_than_those_made_are_refused():
    with pytest.raises(HParamError, match=r"`cautious` needs .* such as a Schedule-Free method"):
        cautious(INNER)
