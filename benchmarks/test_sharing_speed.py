"""The price of claims and checkpoints, and what two runners on one store gain, each in one run."""

from __future__ import annotations

import json
import multiprocessing
import time
from pathlib import Path

import pytest
import torch

from optsuite import curves, get_hparam_set, get_task, sweep, trainer
from optsuite.backends import run_job

TASK = "ImageMLP_FashionMnist8_Relu32"
SAVE_SECONDS = 5.0
NUM_PAIRS = 3
FAMILIES = (
    "SGD",
    "Adam",
    "RMSProp",
    "AdaBelief",
    "Yogi",
    "SM3",
    "SGDM",
    "AdamW",
    "AdaGrad",
    "RAdam",
    "Fromage",
)
NUM_STEPS = 1000


@pytest.fixture(autouse=True)
def one_thread():
    """For this process; runners have one each too."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def job_of(name, folder):
    """All trials of a cell."""
    cell = sweep.Cell(TASK, get_hparam_set(name))
    roots = str(folder / "curves"), str(folder / "archives")
    return sweep.prepare(
        cell, cell.hparam_set.configs, roots=roots, mode="synthetic", save_every_s=SAVE_SECONDS
    )[0]


def without(job):
    """Train a job with neither claims nor checkpoints, and write its curves."""
    task = get_task(job.task_name)
    groups = trainer.make_groups(task, job.trials, mode="synthetic", device="cpu")
    kept = ((group, trainer.Unkept()) for group in groups)
    for outcome in trainer.run(task, kept, mode="synthetic", device="cpu"):
        curves.write_curve(outcome.result, job.store.curves)


def seconds(run, job):
    """From the start to the last curve that is written."""
    began = time.perf_counter()
    run(job)
    return time.perf_counter() - began


def test_overhead_of_claims_and_checkpoints(report_line, tmp_path):
    """A whole cell of 10,000 steps, with and without in turn; a checkpoint every 5 s (usual: 10 min)."""
    kept, bare = [], []
    without(job_of("AdamLR_10000_R1", tmp_path / "warm"))  # the first compilation in a process takes longer
    for pair in range(NUM_PAIRS):
        bare.append(seconds(without, job_of("AdamLR_10000_R5", tmp_path / f"b{pair}")))
        kept.append(
            seconds(
                lambda job: list(run_job(job, device="cpu")), job_of("AdamLR_10000_R5", tmp_path / f"k{pair}")
            )
        )
    report_line(
        f"AdamLR_10000_R5: {min(bare):.1f} s bare, {min(kept):.1f} s with claims and a checkpoint every "
        f"{SAVE_SECONDS:.0f} s: {min(kept) / min(bare) - 1:+.1%}"
    )


def _run(root, log, start):
    from optsuite.runner import Runner, RunOptions
    from optsuite.trainer import GridRun

    torch.set_num_threads(1)
    advance, trained = GridRun.advance, 0

    def counted(self, state, stop=None):
        nonlocal trained
        after = advance(self, state, stop)
        trained += after.trial_steps - state.trial_steps
        return after

    GridRun.advance = counted
    runner = Runner(RunOptions(storage=root, data="synthetic", device="cpu", report=False), lambda _: None)
    cells = [sweep.Cell(TASK, get_hparam_set(f"{family}LR_{NUM_STEPS}_R2")) for family in FAMILIES]
    runner.take({cell: cell.hparam_set.configs for cell in cells})
    start.wait()
    runner.connect()
    runner.train_all()
    runner.close()
    Path(log).write_text(json.dumps(trained))


def _sweep(folder, num_runners):
    """Return the seconds that runners on one store take for a sweep, and the trial-steps that they train."""
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(num_runners + 1)
    logs = [folder / f"{number}.json" for number in range(num_runners)]
    processes = [context.Process(target=_run, args=(str(folder / "store"), str(log), start)) for log in logs]
    for process in processes:
        process.start()
    start.wait()
    began = time.perf_counter()
    for process in processes:
        process.join()
    return time.perf_counter() - began, sum(json.loads(log.read_text()) for log in logs)


def test_two_runners_share_a_sweep(report_line, tmp_path):
    """From the same start, with one thread each, once their imports are done."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    alone, _ = _sweep(tmp_path / "one", 1)
    beside, trained = _sweep(tmp_path / "two", 2)
    needed = len(FAMILIES) * 30 * (NUM_STEPS + 1)
    report_line(
        f"{len(FAMILIES)} cells: one runner {alone:.1f} s, two {beside:.1f} s, ratio {alone / beside:.2f}; "
        f"trial-steps trained by both: {trained / needed:.3f} of what is needed"
    )
