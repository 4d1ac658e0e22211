"""How far the trainer is from what its products and forward passes alone take, and how its cost grows."""

from __future__ import annotations

import resource
import time
from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from optsuite import Config, Schedule, Trial, get_hparam_set, get_task, sweep
from optsuite.trainer import resolve_device, train_many, width_limit
from optsuite.trainer._batches import Batches
from optsuite.trainer._grid import How, group_by_spec, split_into_grids
from optsuite.trainer._loop import train_grid
from optsuite.trainer._programs import Programs
from optsuite.trainer._reproducible import reproducible

SOURCE = "synthetic"
CELL = "ImageMLP_FashionMnist8_Relu32"
MEDIUM = [
    "ImageMLP_FashionMnist_Relu128x128",
    "ImageMLP_Cifar10_128x128x128_Relu",
    "ImageMLP_Cifar10_256x256_Relu",
    "Conv_Cifar10_8_16x32",
    "Conv_Cifar10_16_32x64x64",
]
aten = torch.ops.aten
PRODUCTS = (aten.mm, aten.bmm, aten.addmm, aten.baddbmm, aten.convolution, aten.convolution_backward)


class Products(TorchDispatchMode):
    """Remembers each product and convolution with its arguments."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket in PRODUCTS:
            self.calls.append((func, args, kwargs or {}))
        return func(*args, **(kwargs or {}))


def seconds_of(call, count=5):
    """Of one call, the mean of a few."""
    began = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - began) / count


def best_seconds(call, tries=5):
    """Of one call, the best of a few tries."""
    call()
    return min(seconds_of(call) for _ in range(tries))


def best_in_turn(*measures, rounds=6):
    """The best of each, taken in turn, since a machine's speed drifts; the first round only warms up."""
    taken = [[measure() for measure in measures] for _ in range(rounds + 1)]
    return map(min, zip(*taken[1:], strict=True))


def products_of(call):
    """Seconds of the products and convolutions in a call, each alone."""
    with Products() as products:
        call()
    return sum(best_seconds(lambda c=c: c[0](*c[1], **c[2])) for c in products.calls)


class Cell:
    """The first program of AdamLR_10000_R5 on a task, at hand for measuring."""

    def __init__(self, name):
        self.task, self.device = get_task(name), resolve_device(None)
        self.schedule = get_hparam_set("AdamLR_10000_R5").schedule
        ((self.spec, trials),) = group_by_spec(get_hparam_set("AdamLR_10000_R5").trials(name))
        self.grid = split_into_grids(trials, width_limit(self.task, self.device))[0]
        self.program = self.made(compiled=True)
        # A rate of 0 keeps the parameters where they are, however often a step is measured.
        self.hparams = {"lr": torch.zeros(self.grid.shape[1], device=self.device)}
        self.trained = self.program.start(self.grid)
        batches = Batches(self.program, self.grid, "train", "train", SOURCE)
        self.batch, self.key = next(batches.block(0, 1))
        self.chunk, self.keys = next(
            batches.chunks(0, self.program.batches_at_once, self.program.batches_at_once)
        )
        self.passes_per_step = 3 * self.schedule.eval_batches / self.schedule.eval_every

    def made(self, *, compiled):
        """Its program."""
        return Programs(self.task, self.spec, self.device, How(compiled))(self.grid.shape)

    def step(self, program):
        """One of all trials."""
        return program.step(self.trained, self.hparams, self.batch, self.key)

    def evaluate(self, program):
        """One pass of all trials."""
        carry = program.carry_to_evaluate(self.trained)
        return program.functions.evaluate(self.trained.params, carry, self.chunk, self.keys)

    def loop(self, schedule):
        """Measures a step of the loop, evaluations included, after its first block."""
        spec = replace(self.spec, schedule=schedule)
        program = Programs(self.task, spec, self.device, How(is_compiled=True))(self.grid.shape)

        def seconds_per_step():
            told = []
            train_grid(lambda _: program, self.grid, SOURCE, lambda n: told.append((time.perf_counter(), n)))
            return (told[-1][0] - told[0][0]) / sum(n for _, n in told[1:])

        return seconds_per_step


@pytest.mark.parametrize("name", MEDIUM)
@torch.no_grad()
def test_distance_to_the_limit(name, report_line):
    """The products and convolutions of steps and evaluations alone, over steps and evaluations."""
    cell = Cell(name)
    eager, share = cell.made(compiled=False), cell.passes_per_step / cell.program.batches_at_once
    with reproducible(cell.device):
        limit = products_of(lambda: cell.step(eager)) + share * products_of(lambda: cell.evaluate(eager))
        whole = best_seconds(lambda: cell.step(cell.program)) + share * best_seconds(
            lambda: cell.evaluate(cell.program)
        )
    report_line(
        f"{name:40s} products alone {1e3 * limit:.2f} ms, all {1e3 * whole:.2f} ms, share {limit / whole:.2f}"
    )
    assert limit > 0


@pytest.mark.parametrize("name", [CELL, *MEDIUM[:1], "Conv_Cifar10_8_16x32"])
@torch.no_grad()
def test_evaluation_costs_its_forward_passes(name, report_line):
    """Steps with evaluations, less those without, over the forward passes alone."""
    cell = Cell(name)
    num_steps, eval_batches = 100 if cell.grid.num_trials < 75 else 500, cell.schedule.eval_batches
    with reproducible(cell.device):
        evaluated, bare, a_pass = best_in_turn(
            cell.loop(Schedule(num_steps + 49, last_eval_batches=eval_batches)),
            cell.loop(Schedule(num_steps + 49, eval_batches=0)),
            lambda: seconds_of(lambda: cell.evaluate(cell.program), 20),
        )
    own = a_pass / cell.program.batches_at_once * cell.passes_per_step
    report_line(
        f"{name:40s} a step {1e3 * bare:.2f} ms, with evaluation {1e3 * evaluated:.2f} ms, its forward "
        f"passes {1e3 * own:.2f} ms, beyond them {(evaluated - bare - own) / own:+.0%}"
    )
    assert evaluated > 0


def test_cost_grows_linearly(report_line):
    """Twice the trials, steps or sets take twice the time, and twice the steps no more memory."""
    task, configs = get_task(CELL), get_hparam_set("AdamLR_10_R1").configs
    train_many(task, [Trial(CELL, configs[0], Schedule(10), 0)], mode=SOURCE)

    def seconds(num_seeds, num_steps, num_sets=1):
        optimizers = ("Adam", "AdaBelief", "Yogi", "RMSProp")[:num_sets]
        trials = [
            Trial(CELL, Config(f"{o}{c.label}", o, {"lr": c.hparams["lr"]}), Schedule(num_steps), seed)
            for o in optimizers
            for c in configs
            for seed in range(num_seeds)
        ]
        began = time.perf_counter()
        train_many(task, trials, mode=SOURCE)
        return time.perf_counter() - began

    for words, sizes in {
        "trials": [(4, 400), (8, 400), (16, 400)],
        "steps": [(4, 400), (4, 800), (4, 1600)],
        "sets": [(4, 400, 1), (4, 400, 2), (4, 400, 4)],
    }.items():
        took = []
        for size in sizes:
            took.append(seconds(*size))
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            if words == "steps":
                report_line(f"  {size[1]} steps: peak of memory {peak:.0f} MB so far")
        report_line(f"1, 2 and 4 times the {words}: {', '.join(f'{t:.1f} s' for t in took)}")
        assert took[2] < 6 * took[0]


def test_planning_the_default_matrix(report_line):
    """What a plan of a whole preset takes, its look at the store included."""
    device = resolve_device(None)
    matrix = sweep.make_matrix(preset="quick", sets="AdamLR_200_R2", device=device)
    cells = {cell: cell.hparam_set.configs for cell in matrix.cells if not matrix.leaves_out(cell)}
    began = time.perf_counter()
    plan = sweep.plan(cells, roots=("memory://plan", None), mode=SOURCE, rerun="missing", device=device)
    report_line(f"{len(plan.cells)} cells planned in {time.perf_counter() - began:.1f} s")
    assert plan.num_missing
