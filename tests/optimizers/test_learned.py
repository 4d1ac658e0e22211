"""Learned optimizers step as the reference's did."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.func import grad, vmap

from optsuite.errors import HParamError, UnknownNameError
from optsuite.optimizers import LEARNED_OPTIMIZERS, _adafac_mlp_lopt, get_learned_optimizer

from .test_goldens import GOLDENS, ROOT, check, flip_axes, read_tree

ADAM = 1.6e-5  # what the reference's own float32 powers of beta differ from exact ones
RTOLS = {"MLPLOpt": 1e-5, "AdafacMLPLOpt": 1e-5, "LearnableAdam": ADAM}
every_kind = pytest.mark.parametrize("kind", LEARNED_OPTIMIZERS)


def unflipped(tree):
    return tree


@pytest.fixture(scope="module", params=[0, 1], ids=["trimmed", "full"])
def goldens(request):
    path = GOLDENS[request.param]
    if not path.exists():
        pytest.skip(f"no {path}")
    with np.load(path) as file, np.load(path.with_name("learned_optimizers.npz")) as learned:
        yield file, learned


@pytest.mark.parametrize("layout", [flip_axes, unflipped])
@pytest.mark.parametrize("kind", RTOLS)
def test_trajectory_matches_the_reference(kind, layout, goldens):
    """Whichever way round the axes of a weight are kept."""
    common, learned = goldens
    init, grads = read_tree(common, "init/"), read_tree(common, "grads/")
    opt = get_learned_optimizer(kind).optimizer(read_tree(learned, f"{kind}/theta/"))
    params = layout(init)
    state = opt.init(params, num_steps=20)
    for step in range(1, 21):
        step_grads = layout({name: grad[step - 1] for name, grad in grads.items()})
        updates, state = opt.update(step_grads, state, params, loss=torch.tensor(1.0))
        params = {name: param + updates[name] for name, param in params.items()}
        for name, expected in read_tree(learned, f"{kind}/step{step}/").items():
            check(name, layout(params), init, expected, rtol=RTOLS[kind])


@pytest.mark.parametrize("kind", RTOLS)
def test_parameters_are_named_and_shaped_as_the_reference_has_them(kind):
    with np.load(ROOT / "tests" / "goldens" / "learned_optimizers.npz") as learned:
        expected = read_tree(learned, f"{kind}/theta/")
    ours = get_learned_optimizer(kind).init()
    assert {name: t.shape for name, t in ours.items()} == {name: t.shape for name, t in expected.items()}
    assert list(ours) == sorted(ours)


@pytest.mark.parametrize("momentum", [None, 0.75])
def test_learnable_sgd_is_sgd(momentum):
    if momentum is None:
        learned = get_learned_optimizer("LearnableSGD", initial_lr=0.03)
    else:
        learned = get_learned_optimizer("LearnableSGDM", initial_lr=0.03, initial_momentum=momentum)
    opt = learned.optimizer(learned.init())
    rng = np.random.default_rng(0)
    expected, trace = rng.normal(size=(5, 3)), np.zeros((5, 3))
    params = {"w": torch.tensor(expected, dtype=torch.float32)}
    state = opt.init(params)
    for _ in range(10):
        gradient = rng.normal(size=(5, 3))
        trace = gradient + (momentum or 0) * trace
        expected = expected - 0.03 * trace
        updates, state = opt.update({"w": torch.tensor(gradient, dtype=torch.float32)}, state, params)
        params = {"w": params["w"] + updates["w"]}
    np.testing.assert_allclose(params["w"].numpy(), expected, rtol=1e-5, atol=1e-6)


@every_kind
def test_a_step_differs_from_optimizer_to_optimizer_under_vmap(kind):
    """So does its gradient to the parameters of the optimizer."""
    learned = get_learned_optimizer(kind)
    generator = torch.Generator().manual_seed(0)
    params, grads = ({"w": torch.randn(4, 3, generator=generator), "b": torch.ones(4)} for _ in range(2))

    def size(theta):
        opt = learned.optimizer(theta)
        state = opt.init(params, num_steps=5)
        _, state = opt.update(grads, state, params, loss=torch.ones(()))
        updates, _ = opt.update(grads, state, params, loss=torch.ones(()))
        return updates["w"].square().sum() + updates["b"].sum()

    thetas = [learned.init() for _ in range(2)]
    thetas[1] = {name: t + 0.1 for name, t in thetas[1].items()}
    stacked = {name: torch.stack([theta[name] for theta in thetas]) for name in thetas[0]}
    together = vmap(grad(size))(stacked)
    for n, theta in enumerate(thetas):
        for name, alone in grad(size)(theta).items():
            torch.testing.assert_close(together[name][n], alone, rtol=1e-4, atol=1e-7)
            assert alone.isfinite().all()


@pytest.mark.parametrize("kind", ["MLPLOpt", "AdafacMLPLOpt"])
def test_architecture_is_what_was_asked_for(kind):
    learned = get_learned_optimizer(kind, hidden_size=8, hidden_layers=1, step_mult=0.0)
    theta = learned.init()
    weights = [tuple(t.shape) for name, t in theta.items() if "/w" in name]
    assert weights == [(19 if kind == "MLPLOpt" else 39, 8), (8, 2)]
    params = {"w": torch.ones(3, 2)}
    opt = learned.optimizer(theta)
    updates, _ = opt.update(params, opt.init(params), params)
    assert not updates["w"].any()


def test_what_there_is_not_is_refused():
    with pytest.raises(UnknownNameError, match="did you mean MLPLOpt"):
        get_learned_optimizer("MLPLopt")
    with pytest.raises(HParamError, match=r"`MLPLOpt` cannot be made .*hidden_sizes"):
        get_learned_optimizer("MLPLOpt", hidden_sizes=3)


@pytest.mark.parametrize(
    ("kind", "name", "bad", "good"),
    [
        ("LearnableSGD", "initial_lr", [0, -1, float("inf"), "fast"], 1),
        ("LearnableSGDM", "initial_lr", [0, -1], 1e-3),
        ("LearnableSGDM", "initial_momentum", [1, 2, -0.1], 0),
        ("LearnableAdam", "initial_lr", [0], 1),
        ("LearnableAdam", "initial_epsilon", [0], 1),
        ("LearnableAdam", "initial_beta1", [1], 0),
        ("LearnableAdam", "initial_beta2", [1], 0),
        ("MLPLOpt", "hidden_size", [0, 2.5], 1),
        ("MLPLOpt", "hidden_layers", [0], 1),
        ("AdafacMLPLOpt", "hidden_size", [0], 1),
        ("AdafacMLPLOpt", "hidden_layers", [0], 1),
    ],
)
def test_an_argument_out_of_range_is_refused_by_name(kind, name, bad, good):
    for value in bad:
        with pytest.raises(HParamError, match=rf"`{name}` of `{kind}` must be .*, got {value!r}"):
            get_learned_optimizer(kind, **{name: value})
    theta = get_learned_optimizer(kind, **{name: good}).init()
    assert all(tensor.isfinite().all() for tensor in theta.values())


@pytest.mark.parametrize("shape", [(64, 64), (16, 3, 3, 3), (8, 8, 3, 3), (4, 2, 4), (5, 7), (3, 3, 3, 3)])
def test_of_equal_axes_those_are_averaged_that_the_reference_takes(shape):
    """There weights have their inputs and outputs last, (..., in, out), and later axes count as larger."""
    there = [*range(2, len(shape)), 1, 0]
    second, first = np.argsort([shape[axis] for axis in there], kind="stable")[-2:]
    assert _adafac_mlp_lopt._two_largest_axes(torch.Size(shape)) == (there[first], there[second])
