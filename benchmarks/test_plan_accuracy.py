"""What a plan estimates, against what a run then takes: at most twice as long or half."""

from __future__ import annotations

import time

import pytest
import torch

from optsuite import get_hparam_set, get_task, sweep
from optsuite.trainer import resolve_device, train_many

# Of each family that a CPU trains in a minute; the first is long enough to be compiled.
CELLS = [
    ("ImageMLP_FashionMnist8_Relu32", "AdamLR_10000_R5"),
    ("ImageMLP_FashionMnist8_Relu32", "AdamLR_500_R5"),
    ("ImageMLP_FashionMnist_Relu128x128", "AdamLR_200_R2"),
    ("ImageMLP_Cifar10_128x128x128_LayerNorm_Tanh", "SGDLR_100_R1"),
    ("ImageMLP_Cifar10_1024x1024_Relu", "AdamLR_20_R1"),
    ("ImageMLPAE_FashionMnist_128x32x128_bs128", "AdamLR_100_R2"),
    ("Conv_Cifar10_8_16x32", "AdamLR_50_R2"),
    ("Conv_Cifar10_16_32x64x64", "SGDLR_10_R1"),
    ("Resnet_MultiRuntime_0", "AdamLR_10_R1"),
    ("TransformerLM_LM1B_MultiRuntime_0", "AdamLR_20_R1"),
    ("RNNLM_lm1bbytes_Patch32_VanillaRNN128_Embed64", "AdamLR_10_R1"),
    ("ESWrapped_1pair_ImageMLP_FashionMnist8_Relu32", "AdamLR_200_R2"),
]


@pytest.mark.parametrize(("task_name", "set_name"), CELLS)
def test_estimate(task_name, set_name, report_line):
    """The data at hand, as for the second cell of a session."""
    task, device = get_task(task_name), resolve_device(None)
    trials = get_hparam_set(set_name).trials(task_name)
    train_many(task, trials[:1], mode="synthetic")
    speed = sweep.measured_speed(device, torch.get_num_threads())
    estimate = sweep.estimated_cost(task, trials, device, speed).seconds
    began = time.perf_counter()
    train_many(task, trials, mode="synthetic")
    seconds = time.perf_counter() - began
    report_line(
        f"{task_name} {set_name}: estimated {estimate:.1f} s, took {seconds:.1f} s, "
        f"ratio {seconds / estimate:.2f}"
    )
    assert 0.5 <= seconds / estimate <= 2
