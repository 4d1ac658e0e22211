"""A sweep of many small cells in two processes against one, each of one thread, in one run."""

from __future__ import annotations

import time

import pytest
import torch

from optsuite import get_hparam_set, sweep
from optsuite.backends import BackendOptions, Site, open_backend

TASKS = (
    *("ImageMLP_FashionMnist8_Relu32", "ImageMLP_Cifar10_8_Relu32"),
    *("ImageMLP_Cifar10BW8_Relu32", "ESWrapped_1pair_ImageMLP_FashionMnist8_Relu32"),
)
FAMILIES = (
    *("SGD", "Adam", "RMSProp", "AdaBelief", "Yogi", "SM3"),
    *("SGDM", "AdamW", "AdaGrad", "RAdam", "Fromage", "RMSPropMom"),
)


@pytest.fixture
def one_thread():
    """For this process; the others get their share of the cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def jobs_in(folder):
    """A job a cell."""
    hparam_sets = [get_hparam_set(f"{family}LR_200_R2") for family in FAMILIES]
    cells = [sweep.Cell(task, hparam_set) for task in TASKS for hparam_set in hparam_sets]
    roots = str(folder / "curves"), str(folder / "archives")
    return [sweep.prepare(cell, cell.hparam_set.configs, roots=roots, mode="synthetic")[0] for cell in cells]


def seconds(name, site, jobs):
    """From the opening of the back end to the last job's outcomes."""
    began = time.perf_counter()
    options = BackendOptions(backend=name, workers=2, device="cpu")
    backend = open_backend(options, site, lambda *_: None, print)
    for job in jobs:
        backend.submit(job)
    outcomes = [outcome for _, outcomes in backend.as_completed() for outcome in outcomes]
    took = time.perf_counter() - began
    backend.close()
    assert not [o for o in outcomes if isinstance(o.result, Exception)]
    return took


@pytest.mark.usefixtures("one_thread")
def test_two_processes(report_line, tmp_path):
    """The start of the processes included."""
    site = Site.of_this_process()
    one, two = jobs_in(tmp_path / "one"), jobs_in(tmp_path / "two")
    seconds("local", site, jobs_in(tmp_path / "warm")[:1])
    site.sign(two[0].store)
    alone = seconds("local", site, one)
    beside = seconds("process", site, two)
    report_line(
        f"{len(one)} cells: one process {alone:.1f} s, two {beside:.1f} s, ratio {alone / beside:.2f}"
    )
    assert beside > 0
