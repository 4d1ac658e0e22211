"""Reduced precision is asked for by name, never mixed with the full one, and close to it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from optsuite.errors import UnknownNameError, UnsupportedError
from optsuite.hparam_sets import Trial, get_hparam_set
from optsuite.tasks import Bound
from optsuite.trainer._reproducible import reproducible, resolve_device

from .runs import KINDS, SHORT, TINY, adam, nadam, run, sgd, train, trials_of

CPU = torch.device("cpu")


@pytest.mark.parametrize("config", [adam, nadam])
@pytest.mark.parametrize("kind", KINDS)
def test_bf16_is_close_to_float32_and_not_the_same(kind, config):
    task = KINDS[kind]
    full = trials_of([config(1e-3), config(3e-3)], seeds=[0, 1], task=task)
    reduced = [replace(trial, precision="bf16") for trial in full]
    curves = train([*full, *reduced], task)
    for one, other in zip(full, reduced, strict=True):
        expected, actual = curves[one], curves[other]
        assert str(actual["precision"]) == "bf16"
        assert "precision" not in expected  # nor has a curve of before
        assert actual["train/loss"].dtype == actual["eval/train/loss"].dtype == np.float32
        np.testing.assert_allclose(actual["train/loss"], expected["train/loss"], rtol=0.1, atol=0.02)
        assert (actual["train/loss"] != expected["train/loss"]).any()


def test_bf16_trains_alike_alone_and_together():
    trials = [replace(trial, precision="bf16") for trial in trials_of([sgd(0.01), sgd(0.03)], seeds=[0, 1])]
    together = train(trials)
    alone = train(trials[:1])[trials[0]]
    np.testing.assert_allclose(together[trials[0]]["train/loss"], alone["train/loss"], rtol=0.02)


def test_a_gpu_is_given_fixed_workspaces_before_its_first_product(monkeypatch):
    """Which may be that of a plan: later torch does not look again."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device(None) == torch.device("cuda")
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


@pytest.mark.slow
def test_bf16_compiles(monkeypatch):
    trials = [replace(trial, precision="bf16") for trial in trials_of([adam(1e-3), adam(3e-3)])]
    eager = train(trials)
    monkeypatch.setattr("optsuite.trainer._layout.compiling_pays", lambda *_, **__: True)
    compiled = train(trials)
    for trial in trials:
        np.testing.assert_allclose(compiled[trial]["train/loss"], eager[trial]["train/loss"], rtol=0.05)


def test_a_precision_is_part_of_what_a_trial_is():
    hparam_set = get_hparam_set("AdamLR_10_R2")
    ids = {trial.id("real") for p in ("float32", "tf32", "bf16") for trial in hparam_set.trials(TINY.name, p)}
    assert len(ids) == 3 * 30
    plain = Trial(TINY.name, adam(1e-3), SHORT, 0)
    assert plain.id("real") == replace(plain, precision="float32").id("real")


def test_what_there_is_not_is_refused():
    with pytest.raises(UnknownNameError, match=r"fp8.*float32"):
        Trial(TINY.name, adam(1e-3), SHORT, 0, "fp8")
    trial = Trial(TINY.name, adam(1e-3), SHORT, 0, "tf32")
    with pytest.raises(UnsupportedError, match="tf32 is a precision of later CUDA devices"):
        next(run([trial]))


def test_products_are_exact_whatever_a_user_has_set():
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with reproducible(CPU):
            assert torch.get_float32_matmul_precision() == "highest"
            assert not torch.backends.cudnn.allow_tf32
        with reproducible(CPU, "tf32"):
            assert torch.get_float32_matmul_precision() == "high"
            assert torch.backends.cudnn.allow_tf32
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)


def test_a_precision_that_torch_mixes_with_no_other_is_refused():
    code = (
        "import torch; torch.backends.cuda.matmul.fp32_precision = 'tf32'\n"
        "from optsuite.trainer._reproducible import reproducible\n"
        "with reproducible(torch.device('cpu')): pass"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "leave that to `precision=`" in ended.stderr


def test_outputs_are_widened_and_what_else_a_network_gives_is_left_alone():
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(4, 4))

        def forward(self, x):
            return x @ self.weight, None, x.argmax()

    module = Pair()
    product, nothing, index = Bound(module, dict(module.named_parameters()), is_bf16=True)(torch.ones(4, 4))
    assert product.dtype == torch.float32
    assert nothing is None
    assert index.dtype == torch.int64
