"""Every rule gives the parameters that the reference gave."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

from optsuite.optimizers import _shampoo, adam, chain, clip, get_optimizer, shampoo
from optsuite.optimizers._inverse_root import _by_newton
from optsuite.optimizers._shampoo import GraftType

from .cases import CASES

ROOT = Path(__file__).parents[2]
GOLDENS = [
    ROOT / "tests" / "goldens" / "optimizers.npz",
    ROOT.parent / "shared" / "reference" / "optimizers.npz",  # untrimmed, where there is one
]


@pytest.fixture(scope="module", params=GOLDENS, ids=["trimmed", "full"])
def goldens(request):
    if not request.param.exists():
        pytest.skip(f"no {request.param}")
    with np.load(request.param, allow_pickle=False) as file:
        yield file


@pytest.fixture(scope="module")
def init(goldens):
    return read_tree(goldens, "init/")


@pytest.fixture(scope="module")
def grads(goldens):
    return read_tree(goldens, "grads/")


def read_tree(goldens, prefix):
    keys = [key for key in goldens.files if key.startswith(prefix)]
    return {key.removeprefix(prefix): torch.from_numpy(goldens[key]) for key in keys}


def flip_axes(tree):
    """The reference keeps a weight's outputs last, torch first."""
    return {name: tensor.permute(tuple(range(tensor.ndim))[::-1]) for name, tensor in tree.items()}


@pytest.fixture(scope="module")
def follow(goldens, init, grads):
    """Check one trajectory."""

    def run(tag, opt, rtol):
        assert tag in goldens["tags"]
        steps = goldens["steps"].tolist()
        params = flip_axes(init)
        state = opt.init(params, num_steps=max(steps))
        for step in range(1, max(steps) + 1):
            step_grads = flip_axes({name: grad[step - 1] for name, grad in grads.items()})
            updates, state = opt.update(step_grads, state, params, loss=torch.tensor(1.0))
            params = {name: param + updates[name] for name, param in params.items()}
            if step in steps:
                recorded = read_tree(goldens, f"{tag}/step{step}/")
                assert len(recorded) == len(init)
                for name, expected in recorded.items():
                    check(name, flip_axes(params), init, expected, rtol=rtol)

    return run


@pytest.mark.parametrize("lr", [1e-3, 1e-1])
@pytest.mark.parametrize("case", [case for case in CASES if case.golden], ids=str)
def test_trajectory_matches_the_reference(case, lr, follow):
    follow(f"{case.golden}/lr{lr}", case.make(lr), case.golden_rtol)


def test_defaults_of_piecewise_linear_adam_match_the_reference(follow):
    follow("PiecewiseLinearAdam_default", get_optimizer("PiecewiseLinearAdam"), 3e-5)


@pytest.mark.parametrize("idx", [0, 1, 7, 500])
@pytest.mark.usefixtures("published_opt_list")
def test_entries_of_opt_list_match_the_reference(idx, follow):
    follow(f"OptList{idx}", get_optimizer("OptList", idx=idx), 3e-5)


@pytest.mark.parametrize("lr", [1e-3, 1e-1])
@pytest.mark.parametrize("graft_type", get_args(GraftType))
def test_shampoo_on_other_devices_matches_the_reference(graft_type, lr, follow, monkeypatch):
    """The way to a root that a GPU takes runs on a CPU too."""
    monkeypatch.setattr(_shampoo, "inverse_root", _by_newton)
    follow(f"Shampoo128_{graft_type}/lr{lr}", shampoo(lr, graft_type=graft_type), 5e-3)


@pytest.mark.parametrize("lr", [1e-3, 1e-1])
def test_clipping_matches_the_reference(lr, follow):
    follow(f"GradientClip3_Adam/lr{lr}", chain(clip(3.0), adam(lr)), 3e-5)


def check(name, params, init, expected, *, rtol):
    cut = (slice(None, None, 7), slice(None, None, 5)) if name.endswith("_sub") else ()
    name = name.removesuffix("_sub")
    error = (params[name][cut] - expected).abs().max().item()
    moved = (expected - init[name][cut]).abs().max().item()
    assert error <= 1e-7 + rtol * moved, f"{name}: {error=}, {moved=}"
