"""Every rule gives the parameters that the reference gave."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

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


@pytest.mark.parametrize("lr", [1e-3, 1e-1])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_trajectory_matches_the_reference(case, lr, goldens, init, grads):
    tag = f"{case.golden}/lr{lr}"
    assert tag in goldens["tags"]
    steps = goldens["steps"].tolist()
    opt = case.make(lr)
    params, state = init, opt.init(init, num_steps=max(steps))
    for step in range(1, max(steps) + 1):
        step_grads = {name: grad[step - 1] for name, grad in grads.items()}
        updates, state = opt.update(step_grads, state, params, loss=torch.tensor(1.0))
        params = {name: param + updates[name] for name, param in params.items()}
        if step in steps:
            recorded = read_tree(goldens, f"{tag}/step{step}/")
            assert len(recorded) == len(init)
            for name, expected in recorded.items():
                check(name, params, init, expected, rtol=case.golden_rtol)


def check(name, params, init, expected, *, rtol):
    cut = (slice(None, None, 7), slice(None, None, 5)) if name.endswith("_sub") else ()
    name = name.removesuffix("_sub")
    error = (params[name][cut] - expected).abs().max().item()
    moved = (expected - init[name][cut]).abs().max().item()
    assert error <= 1e-7 + rtol * moved, f"{name}: {error=}, {moved=}"
