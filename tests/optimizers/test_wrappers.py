"""Optimizers made of other optimizers: accumulation, grafting and clipping."""

from __future__ import annotations

import pytest
import torch
from torch.utils._pytree import tree_leaves

from optsuite.optimizers import (
    Optimizer,
    accumulate,
    adam,
    clip,
    graft,
    nadamw_cosine_lr,
    sgd,
    sgdm,
)

from .test_laws import assert_trees_close, index, random_tree, run

GRADS = [random_tree(seed) for seed in range(1, 13)]


def mean(trees):
    return {name: torch.stack([tree[name] for tree in trees]).mean(0) for name in trees[0]}


@pytest.mark.parametrize("num_average", [1, 2, 3, 5])
@pytest.mark.parametrize("make", [int, float, torch.tensor])
def test_accumulation_is_the_inner_optimizer_on_means(num_average, make):
    """There are 12 gradients: with 5 at a time the last two are never used."""
    params = random_tree(0)
    actual, state = run(accumulate(adam(0.1), make(num_average)), params, GRADS)
    means = [mean(GRADS[i : i + num_average]) for i in range(0, 12 - num_average + 1, num_average)]
    expected, inner_state = run(adam(0.1), params, means)
    assert_trees_close((actual, state.inner), (expected, inner_state))


def test_in_between_nothing_moves():
    params, opt = random_tree(0), accumulate(adam(0.1), 4)
    state = opt.init(params)
    for n, grads in enumerate(GRADS, 1):
        before = state.inner
        updates, state = opt.update(grads, state, params)
        assert all((update == 0).all() for update in updates.values()) == (n % 4 != 0)
        same = zip(tree_leaves(before), tree_leaves(state.inner), strict=True)
        assert all(torch.equal(old, new) for old, new in same) == (n % 4 != 0)
        if n % 4 == 0:
            assert all((leaf == 0).all() for leaf in tree_leaves(state[:3]))


@pytest.mark.parametrize("inner", [adam, sgdm, nadamw_cosine_lr])
def test_every_trial_may_have_its_own_number_of_gradients(inner):
    """The number of steps goes with it, for a rule that follows the progress of the run."""
    numbers, params = torch.tensor([1.0, 3.0, 4.0, 100.0]), random_tree(0)
    together = torch.vmap(lambda number: run(accumulate(inner(0.1), number), params, GRADS))(numbers)
    for n, number in enumerate([1, 3, 4, 100]):
        alone = run(accumulate(inner(0.1), number), params, GRADS)
        assert_trees_close(index(together, n), alone)
    assert all(torch.equal(param[3], params[name]) for name, param in together[0].items())


def test_the_inner_optimizer_sees_the_mean_loss_and_its_own_number_of_steps():
    seen = []

    def init(params, *, num_steps=None):
        seen.append(num_steps)
        return ()

    def update(grads, state, params, *, loss=None):
        seen.append(None if loss is None else loss.item())
        return grads, state

    opt = accumulate(Optimizer(init, update), 2)
    state = opt.init({}, num_steps=9)
    for loss in [1.0, 3.0, 10.0, 20.0]:
        _, state = opt.update({}, state, {}, loss=torch.tensor(loss))
    assert seen == [4, 0.5, 2.0, 5.0, 15.0]
    opt.update({}, opt.init({}), {})
    assert seen[-2:] == [None, None]


def test_a_diverged_trial_keeps_its_neighbours_sums():
    grads_by_step = [{name: torch.stack([g, g]) for name, g in grads.items()} for grads in GRADS]
    grads_by_step[0]["bias"][1] = torch.nan
    params, opt = random_tree(0), accumulate(adam(0.1), 3)
    together = torch.vmap(lambda grads: run(opt, params, grads))(grads_by_step)
    assert_trees_close(index(together, 0), run(opt, params, GRADS))
    assert together[0]["bias"][1].isnan().all()


def norm(tree):
    return torch.cat([leaf.flatten() for leaf in tree.values()]).norm()


def test_grafted_steps_have_the_size_of_one_and_the_direction_of_the_other():
    params, opt = random_tree(0), graft(magnitude=sgdm(0.1), direction=adam(10.0))
    state, own = opt.init(params), (sgdm(0.1).init(params), adam(10.0).init(params))
    for grads in GRADS:
        updates, state = opt.update(grads, state, params)
        sizes, sgdm_state = sgdm(0.1).update(grads, own[0], params)
        directions, adam_state = adam(10.0).update(grads, own[1], params)
        own = (sgdm_state, adam_state)
        factor = norm(sizes) / norm(directions)
        assert_trees_close(updates, {name: factor * d for name, d in directions.items()})
    assert_trees_close(tuple(state), own)


def test_grafting_onto_no_direction_is_no_step():
    params = random_tree(0)
    opt = graft(sgd(0.1), sgd(0.0))
    updates, _ = opt.update(GRADS[0], opt.init(params), params)
    assert all((update == 0).all() for update in updates.values())
    assert opt.update({}, opt.init({}), {})[0] == {}


def test_grafting_passes_on_the_number_of_steps_and_maps_over_trials():
    lrs, params = torch.tensor([1e-3, 1e-1]), random_tree(0)

    def trial(lr):
        return run(graft(nadamw_cosine_lr(lr), adam(1.0)), params, GRADS)

    together = torch.vmap(trial)(lrs)
    for n, lr in enumerate(lrs.tolist()):
        assert_trees_close(index(together, n), trial(lr))


@pytest.mark.parametrize("make", [float, torch.tensor])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_clipping_is_element_wise(make, dtype):
    grads = {"p": torch.tensor([-5.0, -3.0, 0.5, 4.0, torch.inf, torch.nan], dtype=dtype)}
    opt = clip(make(3.0))
    updates, _ = opt.update(grads, opt.init(grads), grads)
    expected = torch.tensor([-3.0, -3.0, 0.5, 3.0, 3.0, torch.nan], dtype=dtype)
    torch.testing.assert_close(updates["p"], expected, equal_nan=True)


def test_clipping_may_differ_per_trial():
    limits, grads = torch.tensor([1.0, 2.0]), {"p": torch.tensor([-5.0, 1.5])}
    updates = torch.vmap(lambda limit: clip(limit).update(grads, (), grads)[0])(limits)
    assert updates["p"].tolist() == [[-1.0, 1.0], [-2.0, 1.5]]
