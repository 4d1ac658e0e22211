"""Laws that hold for every optimizer."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch.utils._pytree import tree_flatten, tree_leaves
from torch.utils._pytree import tree_map as pytree_map

from optsuite.optimizers import OPTIMIZERS, adam
from optsuite.trainer import _compile
from optsuite.trainer._compile import Compiled

from .cases import CASES

SHAPES = {"matrix": (4, 3), "bias": (3,), "scalar": ()}
every_case = pytest.mark.parametrize("case", CASES, ids=str)
every_case_without_network = pytest.mark.parametrize(
    "case", [case for case in CASES if not case.has_network], ids=str
)


def random_tree(seed, *, batch=(), dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn((*batch, *shape), generator=generator).to(dtype) for name, shape in SHAPES.items()
    }


def run(opt, params, grads_by_step, update=None):
    """Return the parameters and the state after one update for each of `grads_by_step`."""
    update = update or opt.update
    state = opt.init(params, num_steps=len(grads_by_step))
    for grads in grads_by_step:
        updates, state = update(grads, state, params, loss=torch.tensor(1.0))
        params = {name: param + updates[name] for name, param in params.items()}
    return params, state


def assert_trees_close(actual, expected):
    actual_leaves, actual_spec = tree_flatten(actual)
    expected_leaves, expected_spec = tree_flatten(expected)
    assert actual_spec == expected_spec
    for left, right in zip(actual_leaves, expected_leaves, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-5, atol=1e-6)


def index(tree, *at):
    return pytree_map(lambda leaf: leaf[at], tree)


def test_every_name_has_a_case():
    assert {case.name for case in CASES} == set(OPTIMIZERS)


@every_case
def test_vmap_equals_loop(case):
    lrs = torch.tensor([1e-3, 1e-2, 1e-1])
    params = random_tree(0, batch=(3,))
    grads_by_step = [random_tree(seed, batch=(3,)) for seed in range(1, 8)]

    together = torch.vmap(lambda lr, params, grads: run(case.make(lr), params, grads))(
        lrs, params, grads_by_step
    )
    for n, lr in enumerate(lrs):
        alone = run(case.make(lr.item()), index(params, n), index(grads_by_step, n))
        assert_trees_close(index(together, n), alone)


@every_case
def test_state_passes_through_vmap_between_init_and_updates(case):
    """The trainer makes one vmapped call for `init`, then one for each update."""
    lrs = torch.tensor([1e-3, 1e-2])
    params = random_tree(0, batch=(2,))
    grads_by_step = [random_tree(seed, batch=(2,)) for seed in range(1, 8)]

    init = torch.vmap(lambda lr, params: case.make(lr).init(params, num_steps=len(grads_by_step)))
    state = init(lrs, params)
    assert all(leaf.shape[0] == 2 for leaf in tree_leaves(state))
    update = torch.vmap(lambda lr, *inputs: case.make(lr).update(*inputs, loss=torch.tensor(1.0)))
    stepped = params
    for grads in grads_by_step:
        updates, state = update(lrs, grads, state, stepped)
        stepped = {name: param + updates[name] for name, param in stepped.items()}

    for n, lr in enumerate(lrs):
        alone = run(case.make(lr.item()), index(params, n), index(grads_by_step, n))
        assert_trees_close(index((stepped, state), n), alone)


@every_case
def test_a_trial_does_not_feel_its_neighbours(case):
    """Statistics of a tensor are those of one trial, also when another has diverged."""
    params = random_tree(0, batch=(2,))
    grads_by_step = [random_tree(seed, batch=(2,)) for seed in range(1, 8)]
    for grads in grads_by_step[3:]:
        for grad in grads.values():
            grad[1] = torch.nan

    together = torch.vmap(lambda params, grads: run(case.make(1e-2), params, grads))(params, grads_by_step)
    alone = run(case.make(1e-2), index(params, 0), index(grads_by_step, 0))
    assert_trees_close(index(together, 0), alone)


@every_case
def test_nested_vmap_equals_loop(case):
    """Seeds are outside, learning rates inside, and each trial has gradients of its own."""
    lrs = torch.tensor([1e-3, 1e-2, 1e-1])
    params = random_tree(0, batch=(2,))
    grads_by_step = [random_tree(seed, batch=(2, 3)) for seed in range(1, 8)]

    def trial(lr, params, grads):
        return run(case.make(lr), params, grads)

    together = torch.vmap(torch.vmap(trial, in_dims=(0, None, 0)), in_dims=(None, 0, 0))(
        lrs, params, grads_by_step
    )
    for s in range(2):
        for h, lr in enumerate(lrs):
            alone = run(case.make(lr.item()), index(params, s), index(grads_by_step, s, h))
            assert_trees_close(index(together, s, h), alone)


@every_case
def test_every_number_may_be_a_tensor_that_differs_per_trial(case):
    row = OPTIMIZERS[case.name]
    hparams = {key: hparam.default for key, hparam in row.hparams.items()}
    hparams |= case.hparams | case.at_lr(1e-2)
    numbers = {key: value for key, value in hparams.items() if row.hparams[key].domain.may_be_tensor}
    structure = {key: value for key, value in hparams.items() if key not in numbers}
    ready = row.prepare(structure, torch.device("cpu"))
    factors = torch.tensor([1.0, 0.5])
    params, grads_by_step = random_tree(0), [random_tree(seed) for seed in range(1, 8)]

    def trial(factor, make_number):
        scaled = {key: make_number(value) * factor for key, value in numbers.items()}
        return run(row.factory(**scaled, **ready), params, grads_by_step)[0]

    together = torch.vmap(lambda factor: trial(factor, torch.tensor))(factors)
    for n, factor in enumerate(factors.tolist()):
        alone = trial(factor, float)
        for name, param in alone.items():
            # In float32, 1 - 0.999 is 1e-5 away from 0.001, and RAdam's scalars magnify it.
            moved = (param - params[name]).abs().max().item()
            torch.testing.assert_close(together[name][n], param, rtol=0.0, atol=1e-6 + 2e-3 * moved)


@pytest.fixture
def as_graphs(monkeypatch):
    """What is compiled runs as the graph that it is traced to, which takes no time to compile."""
    monkeypatch.setattr(_compile, "_lowered", lambda graph, _: graph)


@every_case
@pytest.mark.usefixtures("as_graphs")
def test_traced_update_equals_the_update(case):
    """It is one graph, so nothing in it reads a tensor's value."""
    params, grads_by_step = random_tree(0), [random_tree(seed) for seed in range(1, 8)]
    opt = case.make(1e-2)
    known = {"name": "it", "is_known": True}
    traced = Compiled(lambda grads, state, params, loss: opt.update(grads, state, params, loss=loss), **known)

    def update(*args, loss):
        return traced(*args, loss)

    assert_trees_close(run(opt, params, grads_by_step, update), run(opt, params, grads_by_step))


@every_case
def test_compiled_steps_may_write_over_what_an_update_is_given(case):
    """Each part of the state keeps its place, shape and type, and is not what another was before."""
    params, opt = random_tree(0), case.make(1e-2)
    state = opt.init(params, num_steps=10)
    for seed in range(1, 6):
        given = [params, state]
        updates, state = opt.update(random_tree(seed), state, params)
        params = {name: params[name] + update for name, update in updates.items()}
    (old, old_spec), (new, new_spec) = tree_flatten(given), tree_flatten([params, state])
    assert new_spec == old_spec
    assert [(leaf.shape, leaf.dtype) for leaf in new] == [(leaf.shape, leaf.dtype) for leaf in old]
    for (i, before), (j, after) in itertools.product(enumerate(old), enumerate(new)):
        assert i == j or after.numel() < 2 or not torch.equal(after, before)


@every_case
@pytest.mark.usefixtures("as_graphs")
def test_many_trials_are_one_graph(case):
    """Then no hyperparameter is looked at and no step waits for the device, though trials differ."""
    lrs, params = torch.tensor([1e-3, 1e-1]), random_tree(0, batch=(2,))
    grads = random_tree(1, batch=(2,))
    state = torch.vmap(lambda lr, params: case.make(lr).init(params, num_steps=10))(lrs, params)
    fixed = case.make(1.0) if "theta" in case.hparams else None  # a graph reads no files
    update = torch.vmap(lambda lr, *inputs: (fixed or case.make(lr)).update(*inputs))
    traced = Compiled(update, "it", is_known=True)
    assert_trees_close(traced(lrs, grads, state, params), update(lrs, grads, state, params))


@pytest.mark.slow
def test_compiled_vmap_equals_eager_vmap():
    """This is how the trainer runs: many trials at once, in generated code."""
    lrs, params = torch.tensor([1e-3, 1e-1]), random_tree(0, batch=(2,))
    grads = random_tree(1, batch=(2,))
    state = torch.vmap(adam(1.0).init)(params)
    update = torch.vmap(lambda lr, *inputs: adam(lr).update(*inputs))
    compiled = Compiled(update, "it", is_known=True)
    assert_trees_close(compiled(lrs, grads, state, params), update(lrs, grads, state, params))


@every_case
def test_everything_stays_on_the_device_of_the_parameters(case):
    """Tensors of the meta device have no values, so reading one would raise."""
    params = pytree_map(lambda leaf: leaf.to("meta"), random_tree(0))
    with torch.device("meta"):  # where what is read from files goes
        opt = case.make(1e-2)
    state = opt.init(params, num_steps=10)
    result = opt.update(params, state, params)
    assert all(leaf.device.type == "meta" for leaf in tree_leaves((state, result)))


@every_case
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("lr", [1e-2, torch.tensor(1e-2)], ids=["float", "tensor"])
def test_shape_and_dtype_are_kept(case, lr, dtype):
    if case.has_network and dtype != torch.float32:
        pytest.skip("its weights are float32")
    params = random_tree(0, dtype=dtype)
    opt = case.make(lr)
    state = opt.init(params, num_steps=10)
    updates, next_state = opt.update(random_tree(1, dtype=dtype), state, params)
    for name, param in params.items():
        assert updates[name].shape == param.shape
        assert updates[name].dtype == dtype
    for old, new in zip(tree_leaves(state), tree_leaves(next_state), strict=True):
        assert (old.shape, old.dtype) == (new.shape, new.dtype)


@every_case
def test_zero_gradients_do_no_harm(case):
    params = random_tree(0)
    zeros = pytree_map(torch.zeros_like, params)
    opt = case.make(1e-2)
    still, state = run(opt, params, [zeros] * 10)
    assert all(leaf.isfinite().all() for leaf in tree_leaves(state))
    for name, param in params.items():
        assert (still[name] - param).abs().max() <= case.drift * param.abs().max()


@every_case_without_network
def test_no_parameters_are_fine(case):
    assert run(case.make(1e-2), {}, [{}, {}])[0] == {}


@every_case
def test_inputs_are_left_as_they_were(case):
    params, grads = random_tree(0), random_tree(1)
    opt = case.make(1e-2)
    state = run(opt, params, [grads])[1]
    before = pytree_map(torch.clone, (grads, state, params))
    opt.update(grads, state, params)
    for old, new in zip(tree_leaves(before), tree_leaves((grads, state, params)), strict=True):
        assert torch.equal(old, new)


@every_case
def test_reaches_the_minimum_of_a_quadratic(case):
    curvature = torch.tensor([1.0, 0.3, 0.1])
    params = {"point": torch.tensor([1.0, -1.0, 0.5])}
    opt = case.make(case.descent_lr)
    state = opt.init(params, num_steps=case.descent_steps)
    for _ in range(case.descent_steps):
        updates, state = opt.update({"point": curvature * params["point"]}, state, params)
        params = {"point": params["point"] + updates["point"]}
    assert params["point"].abs().max() < 0.05
