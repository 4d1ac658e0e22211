"""Between the first and the last step of a block nothing is copied to or from a GPU, and nobody waits for it.

Shown on the meta device, which has no values to wait for; see `StandIn`.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from optimizers.cases import CASES

from optsuite.hparam_sets import Config, Schedule
from optsuite.modules import _recurrence
from optsuite.optimizers import _eigenbasis
from optsuite.tasks import get_task
from optsuite.trainer import _lifted, group_by_spec, split_into_grids
from optsuite.trainer._grid import How
from optsuite.trainer._loop import GridRun
from optsuite.trainer._programs import Programs

from .runs import TINY, adam, trials_of
from .stand_in import META, StandIn

# Indices and keys of the training batches and of those of three splits.
COPIES_OF_A_BLOCK = 8
# Losses and metrics.
COPIES_TO_HOST = 2
SCHEDULE = Schedule(2, eval_every=2, eval_batches=2, last_eval_batches=2)

FAMILIES = [
    "ImageMLPAE_FashionMnist_128x32x128_bs128",
    "Conv_Cifar10_8_16x32",
    "Resnet_MultiRuntime_0",
    "RNNLM_lm1bbytes_Patch32_VanillaRNN128_Embed64",
    "RNNLM_lm1bbytes_Patch32_GRU128_Embed64",
    "RNNLM_lm1bbytes_Patch32_LSTM128_Embed64",
    "TransformerLM_LM1B_MultiRuntime_0",
    "ESWrapped_1pair_ImageMLP_FashionMnist8_Relu32",
]
SLOW_FAMILIES = [
    "VIT_Cifar100_skinnydeep",
    "MLPMixer_Cifar100_tiny16",
    "LOptPES_Adafac_Fashion_OuterBS4_Length50_Trunc5",
    "LOpt_MLPLOpt_FahionMnist_10",
    "LOpt_ES4_LOpt_MLPLOpt_Cifar10_16_10",
]
WRAPPED = ["Adam+cosine+clip", "SGDM+wsd+wd+clip+ema+accum", "Lion+cautious", "Muon+warmup+clip", "SOAP+ema"]
# Calls of SOAP's operator, which reads on the host whether it is time: two for each of two matrices.
WAITS_OF_A_STEP = {"SOAP": 4, "SOAP+ema": 4}


def counted(task, configs, schedule=SCHEDULE):
    """Train a block of a grid of two seeds, drop a config, and give what crossed in the block."""
    ((spec, trials),) = group_by_spec(trials_of(configs, (0, 1), schedule, task))
    (grid,) = split_into_grids(trials, 2 * len(configs))
    programs = Programs(task, spec, META, How(is_compiled=False))
    with StandIn() as device:
        run = GridRun(programs, grid, "synthetic")
        state = run.begin()
        device.taken()
        state = run.advance(state)
        block = device.taken()
        if len(configs) > 1:
            programs(grid.shape).keep(state.trained, np.array([True, False]))
    return block


def assert_waits_at_ends_alone(block, num_varying, waits=0):
    assert block.to_device.total() - num_varying <= COPIES_OF_A_BLOCK, block.to_device
    assert block.to_host.total() == COPIES_TO_HOST, block.to_host
    assert block.waits.total() == waits, block.waits
    assert not block.unordered


@pytest.mark.parametrize(
    "name", [*FAMILIES, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW_FAMILIES)]
)
def test_no_step_of_a_family_waits(name):
    assert_waits_at_ends_alone(counted(get_task(name), [adam(1e-3), adam(1e-2)]), 1)


@pytest.mark.parametrize("case", {case.name: case for case in CASES}.values(), ids=lambda case: case.name)
def test_no_step_of_a_rule_waits(case):
    hparams = {**case.at_lr(0.1), **case.hparams}
    rates = {"lr": 0.2} if "lr" in hparams else {}
    configs = [Config("a", case.name, hparams), Config("b", case.name, hparams | rates)]
    num_steps = SCHEDULE.num_steps + 1
    waits = num_steps * WAITS_OF_A_STEP.get(case.name, 0)
    assert_waits_at_ends_alone(counted(TINY, configs), len(rates), waits)


@pytest.mark.parametrize("name", WRAPPED)
def test_no_step_of_a_wrapped_rule_waits(name):
    more = {"max_norm": 0.5} if "clip" in name else {}
    more |= {"num_average": 2} if "accum" in name else {}
    configs = [Config(f"lr{lr}", name, {"lr": lr, **more}) for lr in (0.1, 0.2)]
    waits = (SCHEDULE.num_steps + 1) * WAITS_OF_A_STEP.get(name, 0)
    assert_waits_at_ends_alone(counted(TINY, configs), 1, waits)


@pytest.mark.parametrize("path", ["torch.optim:Adam", "torch.optim:NAdam", "torch.optim:SGD"])
def test_a_lifted_class_is_asked_for_once_a_check(path, monkeypatch):
    """In the first eight of 64 steps, while witnesses are compared closely, and in the last."""
    monkeypatch.setattr(_lifted, "_check_apart", lambda _: None)  # addresses are all the same on meta
    configs = [Config(f"lr{lr}", path, {"lr": lr}) for lr in (0.1, 0.2)]
    block = counted(TINY, configs, Schedule(12, eval_every=12, eval_batches=1, last_eval_batches=1))
    assert_waits_at_ends_alone(block, 0, waits=9)


def test_copies_do_not_grow_with_the_number_of_steps():
    few, many = (
        counted(TINY, [adam(1e-3)], Schedule(n, eval_every=n, eval_batches=2, last_eval_batches=2))
        for n in (2, 9)
    )
    assert few.to_device == many.to_device
    assert few.to_host == many.to_host


@pytest.mark.parametrize("cell", ["lstm", "gru", "relu_rnn"])
def test_no_recurrence_waits(cell):
    """Of which the meta device runs no more than the shapes."""
    forward, like, backward = (getattr(_recurrence, f"_{cell}{end}") for end in ("", "_like", "_grad"))
    gates = {"lstm": 4, "gru": 3, "relu_rnn": 1}[cell] * 5
    shapes = [(2, 3, 4, 6), (2, gates, 6), (2, gates, 5), (2, gates), *[(2, 4, 5)] * (1 + (cell == "lstm"))]
    args = [torch.empty(shape, device=META) for shape in shapes]
    with StandIn() as device:
        outputs = forward(*args)
        backward(torch.empty_like(outputs[0]), *args, *outputs)
    assert [output.shape for output in outputs] == [output.shape for output in like(*args)]
    assert not any(device.taken())


def test_a_basis_is_followed_at_one_wait():
    one, flag = torch.eye(3, device=META).expand(2, 3, 3), torch.zeros(2, dtype=torch.bool, device=META)
    with StandIn() as device:
        _eigenbasis._follow(one, one, flag, flag)
    crossings = device.taken()
    assert (crossings.waits.total(), crossings.to_host.total()) == (0, 1)


def test_what_crosses_is_noticed():
    """Or the tests above would show nothing."""
    numbers = torch.zeros(3, device=META)
    crossing = {
        "to_device": [lambda: numbers + torch.tensor([1.0, 2, 3], device=META), lambda: numbers[[0, 1]]],
        "to_host": [numbers.cpu, numbers.tolist],
        "waits": [numbers[0].item, lambda: bool(numbers[0]), lambda: numbers.equal(numbers)],
        "unordered": [lambda: numbers.cumsum(0)],
    }
    for kind, calls in crossing.items():
        for call in calls:
            with StandIn() as device:
                call()
            assert getattr(device.taken(), kind).total() == 1, kind
    with StandIn(), pytest.raises(AssertionError, match="takes a tensor of the host"):
        numbers.index_select(0, torch.tensor([0]))
