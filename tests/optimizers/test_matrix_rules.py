"""Muon and SOAP give the parameters that other implementations give, and know the roles of parameters."""

from __future__ import annotations

import pytest
import pytorch_optimizer
import torch

from optsuite.errors import HParamError
from optsuite.optimizers import OPTIMIZERS, adamw, get_optimizer, muon, soap
from optsuite.optimizers._eigenbasis import follow_eigenbasis

SHAPES = {
    "wide": (6, 20),
    "tall": (30, 8),
    "square": (12, 12),
    "kernel": (16, 3, 3, 3),
    "row": (1, 5),
    "bias": (7,),
    "scalar": (),
}
MATRICES = ("wide", "tall", "square", "kernel")
STEPS = 40


def random_tree(seed, dtype=torch.float32, names=tuple(SHAPES)):
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(SHAPES[name], generator=generator, dtype=dtype) for name in names}


def trained(opt, params, grads_by_step):
    state = opt.init(params)
    for grads in grads_by_step:
        updates, state = opt.update(grads, state, params)
        params = {name: param + updates[name] for name, param in params.items()}
    return params


def trained_by_class(make, params, grads_by_step):
    """Train with a class of torch's kind, to which kernels are matrices."""
    flat = {name: p.flatten(1) if p.ndim > 2 else p for name, p in params.items()}
    own = {name: torch.nn.Parameter(p.clone()) for name, p in flat.items()}
    opt = make(list(own.values()))
    for grads in grads_by_step:
        for name, param in own.items():
            param.grad = grads[name].reshape(param.shape).clone()
        opt.step()
    return {name: own[name].detach().reshape(params[name].shape) for name in params}


def check(actual, expected, initial, tolerance):
    for name, param in expected.items():
        moved = (param - initial[name]).abs().max().item()
        error = (actual[name] - param).abs().max().item()
        assert error <= tolerance * moved, f"{name}: {error=}, {moved=}"


MUON = [("spectral", "original"), ("match_rms_adamw", "match_rms_adamw")]


@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize(("scaling", "adjustment"), MUON)
@pytest.mark.parametrize("is_wide", [True, False], ids=["float32", "bfloat16"])
def test_muon_matches_torch(scaling, adjustment, nesterov, is_wide, monkeypatch):
    """Torch iterates in bfloat16, which is all the difference: made not to, it gives the same."""
    if is_wide:
        monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.clone)
    params = random_tree(0, names=MATRICES)
    grads = [random_tree(seed, names=MATRICES) for seed in range(1, STEPS)]
    opt = muon(0.02, scaling=scaling, nesterov=nesterov, weight_decay=0.1)
    expected = trained_by_class(
        lambda own: torch.optim.Muon(
            own, lr=0.02, nesterov=nesterov, weight_decay=0.1, adjust_lr_fn=adjustment
        ),
        params,
        grads,
    )
    check(trained(opt, params, grads), expected, params, 1e-4 if is_wide else 2e-2)


def test_muon_steps_all_but_hidden_matrices_by_adamw():
    params = random_tree(0)
    grads = [random_tree(seed) for seed in range(1, STEPS)]
    opt = muon(0.02, weight_decay=0.1, adam_lr_ratio=0.5, roles={"wide": "input", "square": "output"})
    ours = trained(opt, params, grads)
    by_adamw = trained(adamw(0.01, beta2=0.95, weight_decay=0.1), params, grads)
    by_shape = trained(muon(0.02, weight_decay=0.1, adam_lr_ratio=0.5), params, grads)
    for name in params:
        expected = by_shape if name in ("tall", "kernel") else by_adamw
        torch.testing.assert_close(ours[name], expected[name], rtol=1e-5, atol=1e-6)
        assert name not in MATRICES or not torch.allclose(by_shape[name], by_adamw[name], atol=1e-3)


def test_steps_of_muon_are_nearly_orthogonal():
    params = {"kernel": torch.zeros(16, 3, 3, 3)}
    opt = muon(1.0)
    updates, _ = opt.update(random_tree(0, names=["kernel"]), opt.init(params), params)
    sizes = torch.linalg.svdvals(updates["kernel"].flatten(1))
    assert sizes.min() > 0.6
    assert sizes.max() < 1.3


@pytest.mark.parametrize("make", [muon, lambda lr, roles=None: soap(lr, roles=roles)], ids=["Muon", "SOAP"])
def test_projections_to_heads_are_one_matrix(make):
    """Their two axes of rows are no more than a way to keep it."""
    generator = torch.Generator().manual_seed(0)
    params = {"query": torch.randn(2, 4, 6, generator=generator)}
    grads = [{"query": torch.randn(2, 4, 6, generator=generator)} for _ in range(12)]
    ours = trained(make(0.02, roles={"query": "heads"}), params, grads)
    flat = [{"query": tree["query"].flatten(0, 1)} for tree in (params, *grads)]
    expected = trained(make(0.02), flat[0], flat[1:])
    torch.testing.assert_close(ours["query"].flatten(0, 1), expected["query"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("frequency", [4, 10])
@pytest.mark.parametrize("longest", [16, 1024])
def test_soap_matches_pytorch_optimizer(dtype, frequency, longest):
    """Before bases are renewed, gradients have been seen in all directions; else rounding would count.

    Tensors that it takes for matrices and this package for none are left out.
    """
    names = [name for name in SHAPES if name not in ("scalar", "row")]
    params = random_tree(0, dtype, names)
    grads = [random_tree(seed, dtype, names) for seed in range(1, STEPS)]
    opt = soap(0.03, weight_decay=0.0, precondition_frequency=frequency, max_precondition_dim=longest)
    expected = trained_by_class(
        lambda own: pytorch_optimizer.SOAP(
            own,
            lr=0.03,
            weight_decay=0.0,
            precondition_frequency=frequency,
            max_precondition_dim=longest,
        ),
        params,
        grads,
    )
    # It finds its bases by float32, whatever the parameters are.
    check(trained(opt, params, grads), expected, params, 1e-4)


def test_the_first_update_of_soap_moves_nothing():
    params = {"matrix": torch.ones(3, 2), "bias": torch.ones(2)}
    opt = soap(0.1, weight_decay=0.5)
    state = opt.init(params)
    first, state = opt.update(params, state, params)
    second, _ = opt.update({name: 0 * p for name, p in params.items()}, state, params)
    for name in params:
        assert (first[name] == 0).all()
        torch.testing.assert_close(second[name], torch.full_like(second[name], -0.05))


def test_bases_change_when_it_is_time_and_only_then():
    generator = torch.Generator().manual_seed(0)
    half = torch.randn(5, 5, generator=generator)
    statistics, basis = half @ half.mT, torch.eye(5)
    yes, no = torch.tensor(True), torch.tensor(False)
    kept, order = follow_eigenbasis(statistics, basis, no, no)
    assert torch.equal(kept, basis)
    assert order.tolist() == [0, 1, 2, 3, 4]

    vectors, _ = follow_eigenbasis(statistics, basis, yes, no)
    inside = vectors.mT @ statistics @ vectors
    sizes = inside.diagonal()
    torch.testing.assert_close(inside, sizes.diag(), rtol=0.0, atol=1e-5)
    assert sizes.tolist() == sorted(sizes.tolist(), reverse=True)

    for _ in range(300):
        basis, _ = follow_eigenbasis(statistics, basis, no, yes)
    torch.testing.assert_close((basis.mT @ vectors).abs(), torch.eye(5), rtol=0.0, atol=1e-3)


def test_trials_may_be_at_different_steps():
    """As under an accumulation of gradients of which each trial has its own number."""
    generator = torch.Generator().manual_seed(0)
    half = torch.randn(3, 5, 5, generator=generator)
    statistics, bases = half @ half.mT, torch.eye(5).expand(3, 5, 5)
    is_first, is_due = torch.tensor([True, False, False]), torch.tensor([False, True, False])
    together = torch.vmap(follow_eigenbasis)(statistics, bases, is_first, is_due)
    for n in range(3):
        alone = follow_eigenbasis(statistics[n], bases[n], is_first[n], is_due[n])
        torch.testing.assert_close(together[0][n], alone[0])
        assert torch.equal(together[1][n], alone[1])


@pytest.mark.parametrize("name", ["Muon", "SOAP"])
def test_a_role_that_is_none_is_refused(name):
    with pytest.raises(HParamError, match=r"the role of `w` must be one of input, hidden, .*, got 'body'"):
        get_optimizer(name, lr=0.1, roles={"w": "body"})


def test_roles_are_no_hyperparameter():
    for name in ("Muon", "SOAP"):
        assert "roles" not in OPTIMIZERS[name].hparams
        with pytest.raises(HParamError, match=f"`{name}` has no hyperparameter `roles`"):
            OPTIMIZERS[name].check(name, {"lr": 0.1, "roles": "hidden"})
    get_optimizer("Adam", lr=0.1, roles={"w": "hidden"})  # which does without


def test_operations_are_those_of_hidden_matrices():
    shapes, roles = [(10, 20), (20,), (20, 10)], {"a": "hidden", "b": "other", "c": "output"}
    flops = OPTIMIZERS["Muon"].flops
    assert flops(shapes, roles=roles) == flops(shapes[:1]) == flops(shapes) // 2 > 0
    seldom = OPTIMIZERS["SOAP"].flops(shapes, precondition_frequency=100)
    assert 0 < seldom < OPTIMIZERS["SOAP"].flops(shapes)
