"""Trial-steps per second of the trainer against a plain loop over the same trials, in one run.

The plain loop is that of `plain_loop.py`, timed for some steps of one trial, since all take the same time.
"""

from __future__ import annotations

import multiprocessing
import time
from unittest.mock import patch

import pytest
import torch
from plain_loop import SOURCE, plain_rate

from optsuite import Config, Schedule, Trial, get_hparam_set, get_task, train_many
from optsuite.backends import num_cores
from optsuite.hparam_sets import LEARNING_RATES
from optsuite.trainer import Unkept, _loop, make_groups, resolve_device, run
from optsuite.trainer._grid import How, group_by_spec, split_into_grids
from optsuite.trainer._loop import train_grid
from optsuite.trainer._programs import Programs, _shared_by_cells
from optsuite.trainer._reproducible import reproducible

CELL = "ImageMLP_FashionMnist8_Relu32"
TASKS = [
    CELL,
    "ImageMLP_Cifar10_8_Relu32",
    "ImageMLP_FashionMnist32_Relu32",
    "ImageMLP_FashionMnist_Relu128x128",
    "ImageMLP_Cifar10_128x128x128_Relu",
    "ImageMLP_Cifar10_128x128x128_BatchNorm_Relu",
    "ImageMLP_Cifar10_1024x1024_Relu",
    "ImageMLPAE_FashionMnist_128x32x128_bs128",
    "ImageMLPAE_Cifar10_256x256x256_bs1024",
    "Conv_Cifar10_8_16x32",
    "Conv_Cifar10_16_32x64x64",
    "Conv_Cifar10_32x64x64",
    "Conv_imagenet16_16_64x128x128x128",
    "Resnet_MultiRuntime_0",
    "Resnet_MultiRuntime_2",
    "VIT_Cifar100_skinnydeep",
    "MLPMixer_Cifar100_tiny16",
    "RNNLM_lm1bbytes_Patch32_VanillaRNN128_Embed64",
    "RNNLM_lm1bbytes_Patch32_GRU128_Embed64",
    "RNNLM_lm1bbytes_Patch32_LSTM128_Embed64",
    "RNNLM_lm1bbytes_Patch128_LSTM128_Embed64",
    "TransformerLM_LM1B_MultiRuntime_0",
    "TransformerLM_LM1B_MultiRuntime_2",
    "TransformerLM_LM1B_MultiRuntime_5",
    "ESWrapped_1pair_ImageMLP_FashionMnist8_Relu32",
    "ESWrapped_8pair_ImageMLP_Mnist_128x128x128_Relu",
]


WHOLE_CELLS = {
    CELL: "AdamLR_10000_R5",
    "ImageMLP_Cifar10_8_Relu32": "AdamLR_10000_R5",
    "ImageMLP_FashionMnist_Relu128x128": "AdamLR_2000_R5",
    "Conv_Cifar10_8_16x32": "AdamLR_2000_R5",
    "RNNLM_lm1bbytes_Patch32_GRU128_Embed64": "AdamLR_200_R1",
}


@pytest.mark.parametrize(("name", "set_name"), WHOLE_CELLS.items())
def test_whole_cell(name, set_name, report_line):
    """All trials of a cell, with evaluations, and compilation as in a new process; imports are left out."""
    task, hparam_set = get_task(name), get_hparam_set(set_name)
    trials, schedule = hparam_set.trials(name), hparam_set.schedule
    num_steps = num_steps_of(task)
    plain, seconds = plain_rate(task, schedule, num_steps), []
    for _ in range(2):
        _shared_by_cells.cache_clear()
        began = time.perf_counter()
        groups = [(group, Unkept()) for group in make_groups(task, trials, mode=SOURCE)]
        outcomes = list(run(task, groups, mode=SOURCE))
        seconds.append(time.perf_counter() - began)
        plain = max(plain, plain_rate(task, schedule, num_steps))
        assert not any(isinstance(outcome.result, Exception) for outcome in outcomes)
    rate = len(trials) * (schedule.num_steps + 1) / min(seconds)
    report_line(
        f"{name:45s} {set_name}, {min(seconds):.1f} s: {1e6 / rate:.1f} us a trial-step, "
        f"plain loop {1e6 / plain:.1f} us, ratio {rate / plain:.2f}"
    )


@pytest.mark.parametrize("name", TASKS)
def test_steady_rate(name, report_line):
    """One program of the cell AdamLR_10000_R5 once it is compiled, evaluations included."""
    task, hparam_set = get_task(name), get_hparam_set("AdamLR_10000_R5")
    num_steps = num_steps_of(task)
    measured = steady_rates(task, hparam_set, num_steps)
    shape = next(measured)
    # In turn, since a machine's speed drifts, and the best of each, since what else runs there only slows.
    pairs = [(next(measured), plain_rate(task, hparam_set.schedule, num_steps)) for _ in range(6)]
    rate, plain = map(max, zip(*pairs, strict=True))
    report_line(
        f"{name:45s} {shape[0]} x {shape[1]}: {1e6 / rate:9.1f} us a trial-step, "
        f"plain loop {1e6 / plain:9.1f} us, ratio {rate / plain:.2f}"
    )
    assert rate > 0


@pytest.mark.parametrize("name", TASKS)
def test_steady_rate_of_processes(name, report_line):
    """The same in a process a core, of one thread each, as `--opt-backend process` has them."""
    task, schedule = get_task(name), get_hparam_set("AdamLR_10000_R5").schedule
    count, num_steps = num_cores(), num_steps_of(task)
    with multiprocessing.get_context("spawn").Pool(count, torch.set_num_threads, (1,)) as pool:
        rate = sum(pool.map(rate_alone, [(name, num_steps)] * count, chunksize=1))
    plain = max(plain_rate(task, schedule, num_steps) for _ in range(2))
    report_line(
        f"{name:45s} {count} processes: {1e6 / rate:9.1f} us a trial-step, "
        f"plain loop {1e6 / plain:9.1f} us, ratio {rate / plain:.2f}"
    )
    assert rate > 0


def rate_alone(args):
    """What one of several processes does."""
    name, num_steps = args
    measured = steady_rates(get_task(name), get_hparam_set("AdamLR_10000_R5"), num_steps)
    next(measured)
    return max(next(measured) for _ in range(2))


def num_steps_of(task):
    """About what a core does in 2 s, in whole rounds of an evaluation and the steps until the next."""
    schedule = get_hparam_set("AdamLR_10000_R5").schedule
    return int(min(20, max(1, 1e10 // task.flops_per_step))) * schedule.eval_every


@pytest.mark.parametrize("path", ["torch.optim:NAdam", "torch.optim:SGD", "torch.optim:Adafactor"])
def test_optimizer_class(path, report_line):
    """75 trials of a class, uncompiled, evaluations included, beside a plain loop and pure functions."""
    task, schedule = get_task(CELL), Schedule(200)
    cls = getattr(torch.optim, path.partition(":")[2])
    times = [
        (
            seconds(task, path, schedule),
            seconds(task, "RAdam", schedule),
            1 / plain_rate(task, schedule, 200, cls),
        )
        for _ in range(3)
    ]
    ours, pure, plain = map(min, zip(*times, strict=True))
    report_line(
        f"{path:22s} {1e6 * ours:6.1f} us a trial-step, plain loop {1e6 * plain:6.1f} us, ratio "
        f"{plain / ours:.2f}; RAdam of pure functions {1e6 * pure:6.1f} us, ratio {pure / ours:.2f}"
    )
    assert ours > 0


def seconds(task, optimizer, schedule):
    """Seconds a trial-step of 15 rates x 5 seeds."""
    configs = [Config(f"lr{lr}", optimizer, {"lr": lr}) for lr in LEARNING_RATES]
    trials = [Trial(task.name, config, schedule, seed) for config in configs for seed in range(5)]
    return float(train_many(task, trials, mode=SOURCE)[0]["seconds_per_step"])


def steady_rates(task, hparam_set, num_steps):
    """The shape of the cell's first grid, then its trial-steps a second, once compiled, as often as asked."""
    device = resolve_device(None)
    layout = layout_of(task, hparam_set, device)
    block = min(_loop._BLOCK, num_steps)
    short = get_hparam_set(f"{hparam_set.family}_{num_steps + block - 1}_R{hparam_set.repetitions}")
    ((spec, trials),) = group_by_spec(short.trials(task.name))
    grid = split_into_grids(trials, layout.width)[0]
    program = Programs(task, spec, device, How(layout.is_compiled))(grid.shape)
    yield grid.shape
    while True:
        told = []

        def tell(steps, told=told):
            told.append((time.perf_counter(), steps))

        with reproducible(device), patch.object(_loop, "_BLOCK", block):
            train_grid(lambda _: program, grid, SOURCE, tell)
        steps = sum(steps for _, steps in told[1:])  # the first block pays for compilation and loading
        yield grid.num_trials * steps / (told[-1][0] - told[0][0])


def layout_of(task, hparam_set, device):
    """As the whole cell is trained: measured, if that has not been done on this machine before."""
    return make_groups(task, hparam_set.trials(task.name), mode=SOURCE, device=device)[0].layout
