"""Shampoo's blocks, its inverse roots, and its steps for unusual tensors."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from optsuite.optimizers import _shampoo, sgd, shampoo
from optsuite.optimizers._blocks import block_shapes, cut_into_blocks, glue_blocks
from optsuite.optimizers._inverse_root import _FACTORS, _by_newton, inverse_root
from optsuite.trainer._compile import Compiled

from .test_laws import run

shapes = st.lists(st.integers(1, 8), max_size=4).map(tuple)
every_way = pytest.mark.parametrize("inverse_root", [inverse_root, _by_newton])


def random_tensors(shapes, *, batch=(), seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {f"p{i}": torch.randn((*batch, *shape), generator=generator) for i, shape in enumerate(shapes)}


@settings(deadline=None)
@given(shapes=st.lists(shapes, max_size=3), size=st.integers(2, 50))
def test_blocks_put_together_are_the_tensors(shapes, size):
    tensors = random_tensors(shapes)
    blocks = cut_into_blocks(tensors, size)
    assert all(max(shape) <= size for shape in blocks)
    assert all(same.shape[1:] == shape for shape, same in blocks.items())
    expected = sorted(shape for tensor in tensors.values() for shape in block_shapes(tensor.shape, size))
    assert sorted(shape for shape, same in blocks.items() for _ in same) == expected
    glued = glue_blocks(blocks, tensors, size)
    assert list(glued) == list(tensors)
    for name, tensor in tensors.items():
        assert torch.equal(glued[name], tensor)


@pytest.mark.parametrize(
    ("shape", "blocks"),
    [
        ((), [(1,)]),
        ((1, 1, 1), [(1,)]),
        ((3, 5), [(15,)]),
        ((8, 4, 3, 3), [(128,), (128,), (32,)]),
        ((130, 150), [(128, 128), (128, 2), (22, 128), (22, 2)]),
        ((64, 64, 3, 3), [(128, 64)] * 4 + [(64, 64)]),
        ((4096,), [(128,)] * 32),
        ((2, 4097), []),
    ],
    ids=str,
)
def test_axes_are_merged_then_cut(shape, blocks):
    assert block_shapes(shape, 128) == blocks


def test_blocks_hold_the_elements_that_they_hold_in_the_reference():
    """The reference's weights have their axes reversed: the outputs of a dense layer come last, not first."""
    theirs = torch.arange(32 * 64.0).reshape(64, 32)
    blocks = cut_into_blocks({"weight": theirs.T}, 128)
    assert torch.equal(blocks[128,], theirs.flatten().reshape(16, 128))


def positive(n, rank, spread, seed=0):
    """Return a matrix of this rank, whose eigenvalues are spread over `spread` powers of ten."""
    generator = torch.Generator().manual_seed(seed)
    factor = torch.randn(n, rank, generator=generator, dtype=torch.float64)
    factor = factor * torch.logspace(0, -spread / 2, n, dtype=torch.float64)[:, None]
    return (factor @ factor.T).float()


@every_way
@pytest.mark.parametrize("order", [2, 4, 6, 8])
@pytest.mark.parametrize(
    ("n", "rank", "spread"), [(1, 1, 0), (10, 3, 0), (10, 10, 4), (128, 9, 2), (128, 128, 8)]
)
@pytest.mark.parametrize("size", [1e-9, 1.0, 1e9])
def test_inverse_root_is_that_of_the_matrix_and_its_ridge(inverse_root, order, n, rank, spread, size):
    """The root is judged by its product with a vector in the matrix's range, where every gradient lies."""
    matrix = size * positive(n, rank, spread)
    root, is_good = inverse_root(matrix[None], order)
    assert is_good.shape == (1, 1, 1)
    assert is_good.all()
    assert root.dtype == torch.float32

    values, vectors = torch.linalg.eigh(matrix.double())
    ridge = 1e-6 * max(values[-1].item(), 1e-6)
    exact = (vectors * (values.clamp(min=0) + ridge) ** (-1 / order)) @ vectors.T
    vector = matrix.double() @ torch.ones(n, dtype=torch.float64)
    expected = exact @ vector
    error = (root[0].double() @ vector - expected).norm() / expected.norm()
    assert error < 5e-3


@every_way
def test_a_matrix_of_zeros_has_the_root_of_its_ridge(inverse_root):
    root, is_good = inverse_root(torch.zeros(1, 3, 3), 2)
    assert is_good.all()
    torch.testing.assert_close(root[0], 1e6 * torch.eye(3), rtol=1e-5, atol=1.0)


@every_way
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_a_matrix_that_is_not_finite_spoils_no_other(inverse_root, value):
    matrices = torch.stack([positive(10, 3, 0, seed) for seed in range(3)])
    expected, _ = inverse_root(matrices, 4)
    matrices[1, 2, 2] = value
    roots, is_good = inverse_root(matrices, 4)
    assert is_good.flatten().tolist() == [True, False, True]
    assert torch.equal(roots[[0, 2]], expected[[0, 2]])


@pytest.mark.parametrize("count", [2, 3])
def test_the_bits_of_a_root_do_not_depend_on_the_number_of_threads(count):
    matrices = torch.stack([positive(128, 128, 4, seed) for seed in range(5)])
    before = torch.get_num_threads()
    roots = []
    try:
        for threads in (1, count):
            torch.set_num_threads(threads)
            roots.append(inverse_root(matrices, 2)[0])
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*roots)


def test_roots_of_several_axes_of_trials_are_those_of_each():
    matrices = torch.stack([positive(6, 6, 2, seed) for seed in range(6)])
    expected, _ = inverse_root(matrices, 4)
    over_axes = torch.vmap(torch.vmap(lambda matrix: inverse_root(matrix[None], 4)), in_dims=1)
    roots, are_good = over_axes(matrices.unflatten(0, (3, 2)))
    assert torch.equal(roots.squeeze(2), expected.unflatten(0, (3, 2)).transpose(0, 1))
    assert are_good.all()


@given(order=st.integers(1, 20).map(lambda n: 2 * n), smallest=st.floats(1e-6, 1.0))
def test_newtons_steps_reach_one_from_every_eigenvalue(order, smallest):
    value = smallest / (1 + 1e-6)
    for factor in _FACTORS:
        value = factor * value * ((order + 1 - factor * value) / order) ** order
    assert value == pytest.approx(1.0, abs=1e-6)


@pytest.fixture(params=[inverse_root, _by_newton])
def either_way(request, monkeypatch):
    monkeypatch.setattr(_shampoo, "inverse_root", request.param)


@pytest.mark.usefixtures("either_way")
def test_a_trial_of_nan_leaves_its_neighbours_as_they_are():
    params = random_tensors([(5, 3), (140,), ()], batch=(3,))
    grads_by_step = [random_tensors([(5, 3), (140,), ()], batch=(3,), seed=seed) for seed in range(1, 9)]
    for grads in grads_by_step[4:]:
        for grad in grads.values():
            grad[1] = torch.nan

    together, state = torch.vmap(lambda params, grads: run(shampoo(0.1), params, grads))(
        params, grads_by_step
    )
    for n in (0, 2):
        own_grads = [{name: grad[n] for name, grad in grads.items()} for grads in grads_by_step]
        alone, _ = run(shampoo(0.1), {name: param[n] for name, param in params.items()}, own_grads)
        for name, param in alone.items():
            torch.testing.assert_close(together[name][n], param, rtol=2e-3, atol=1e-5)
    assert all(together[name][1].isnan().all() for name in together)
    # The diverged trial's roots are those from before.
    assert all(roots[1].isfinite().all() for roots in state[0].roots.values())


@pytest.mark.slow
@pytest.mark.usefixtures("either_way")
def test_compiled_steps_of_many_trials_are_those_of_eager_ones():
    """The steps are compared: large eigenvalues of a root, which no gradient meets, change by rounding."""
    lrs, params = torch.tensor([1e-3, 1e-1]), random_tensors([(10, 6), (5,)], batch=(2,))
    update = torch.vmap(lambda lr, *inputs: shampoo(lr).update(*inputs))
    compiled = Compiled(update, "it", is_known=True)
    states = [torch.vmap(shampoo(1.0).init)(params)] * 2
    for seed in range(1, 9):
        grads = random_tensors([(10, 6), (5,)], batch=(2,), seed=seed)
        actual, states[0] = compiled(lrs, grads, states[0], params)
        expected, states[1] = update(lrs, grads, states[1], params)
        for name, step in expected.items():
            torch.testing.assert_close(actual[name], step, rtol=1e-2, atol=2e-3 * step.abs().max().item())


def steps(opt, params, grads, count):
    state = opt.init(params)
    made = []
    for _ in range(count):
        updates, state = opt.update(grads, state, params)
        made.append(updates)
    return made


@pytest.mark.parametrize("shape", [(), (1,), (4097,), (2, 4097)], ids=str)
def test_numbers_and_very_long_tensors_take_the_grafted_steps(shape):
    params, grads = random_tensors([shape]), random_tensors([shape], seed=1)
    actual = steps(shampoo(0.1), params, grads, 8)
    size, momentum = grads["p0"], torch.zeros(shape)
    for updates in actual:
        momentum = 0.9 * momentum + size
        torch.testing.assert_close(updates["p0"], -0.1 * (size + 0.9 * momentum), rtol=1e-5, atol=1e-7)


def test_the_first_five_steps_are_the_grafted_ones_and_all_have_their_norm():
    params, grads = random_tensors([(30, 20)]), random_tensors([(30, 20)], seed=1)
    grafted = steps(sgd(0.1), params, grads, 8)
    made = steps(shampoo(0.1, beta1=0.0), params, grads, 8)
    for n, (own, other) in enumerate(zip(made, grafted, strict=True)):
        torch.testing.assert_close(own["p0"].norm(), other["p0"].norm(), rtol=1e-5, atol=0.0)
        assert torch.allclose(own["p0"], other["p0"]) == (n < 5)


def test_coordinates_that_take_turns_come_to_move_alike():
    """Each coordinate then has statistics of its own size, and is divided by their root."""
    params, opt = {"p": torch.zeros(2)}, shampoo(1.0, beta1=0.0)
    state = opt.init(params)
    for _ in range(20):
        for grad in (torch.tensor([1.0, 0.0]), torch.tensor([0.0, 0.1])):
            _, state = opt.update({"p": grad}, state, params)
    updates, _ = opt.update({"p": torch.tensor([1.0, 0.1])}, state, params)
    assert (updates["p"][1] / updates["p"][0]).item() == pytest.approx(1.0, rel=0.05)


@pytest.mark.parametrize("graft_type", ["ADAGRAD", "ADAGRAD_NORMALIZED", "RMSPROP", "RMSPROP_NORMALIZED"])
def test_grafted_steps_of_tiny_elements_are_shortened_by_what_is_added_to_their_root(graft_type):
    """This is so in the reference too, for elements below a millionth of the tensor's norm."""
    grads = {"p": torch.tensor([1.0, 1e-7, 1e-9])}
    (updates,) = steps(shampoo(1.0, graft_type=graft_type, beta1=0.0), grads, grads, 1)
    gain = 1.0 if graft_type.startswith("ADAGRAD") else 1e-3
    expected = -grads["p"] / (grads["p"] * gain**0.5 + 1e-10)
    torch.testing.assert_close(updates["p"], expected, rtol=1e-5, atol=0.0)


def test_a_root_has_a_gradient():
    def root_of(factor):
        return inverse_root(factor @ factor.mT + torch.eye(4, dtype=factor.dtype), 4)[0]

    factors = torch.randn(2, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(root_of, factors, atol=1e-4)
    lifted = torch.vmap(torch.func.grad(lambda factor: root_of(factor).sum()))(factors.detach())
    (together,) = torch.autograd.grad(root_of(factors).sum(), factors)
    torch.testing.assert_close(lifted, together)
    of_all = torch.func.grad(lambda factors: torch.vmap(root_of)(factors).sum())(factors.detach())
    torch.testing.assert_close(of_all, together)
    assert inverse_root(torch.eye(3), 2)[1].shape == (1, 1)
