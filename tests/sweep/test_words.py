"""The plan in words."""

from __future__ import annotations

import re

import torch
from cells import CPU, TASK

from optsuite.hparam_sets import get_hparam_set
from optsuite.storage import Store
from optsuite.sweep import Cell, CellPlan, Cost, Plan, left_out_lines, plan_lines, plan_table
from optsuite.words import counted

STORES = [Store("/c", "/a")]
CELL = Cell(TASK, get_hparam_set("AdamLR_5_R2"))


def planned(num_recorded=0, *, missing=True, cost=None, num_bytes=0, sources=None):
    one = CellPlan(CELL.trials() if missing else [], num_recorded, cost or Cost(), num_bytes)
    return Plan({CELL: one}, sources or {})


def words(plan, device=CPU):
    return plan_lines(plan, STORES, device, "preset quick")


def test_the_plan_says_what_it_costs_and_where_it_goes():
    one = planned(3, cost=Cost(200.0, 2.5e12, 3e8), num_bytes=1_500_000, sources={"fashion_mnist": "real"})
    head, data, places = words(one, device=torch.device("cuda:1"))
    assert head == (
        "optsuite: 1 cell, preset quick: 30 trials to train, 3 recorded already; "
        "about 3 min 20 s on cuda:1, 2.5 TFLOP, 300 MB of memory, 1.5 MB of curves"
    )
    assert data == "  data: fashion_mnist: real"
    assert places == "  curves in /c, archives in /a"


def test_a_cpu_comes_with_its_threads_and_workers_with_their_number():
    assert f"on cpu ({counted(torch.get_num_threads(), 'thread')})" in words(planned())[0]
    assert "on 4 workers (cpu)" in words(planned()._replace(num_workers=4))[0]


def test_a_plan_without_work_names_no_cost():
    head = words(planned(30, missing=False, sources={"fashion_mnist": "real"}))[0]
    assert head == "optsuite: 1 cell, preset quick: 0 trials to train, 30 recorded already"


def test_each_stand_in_says_how_to_get_the_real_data():
    sources = {"cifar10": "synthetic", "mnist": "real", "svhn_cropped": "synthetic"}
    lines = words(planned(sources=sources))[1:4]
    assert lines[0] == "  data: mnist: real"
    assert lines[1].startswith("  data: cifar10: STAND-IN, not CIFAR-10 (to get it: ")
    assert lines[2].startswith("  data: svhn_cropped: STAND-IN, not ")


def test_datasets_side_by_side_are_each_named():
    line = words(planned(sources={"fashion_mnist+cifar10": "synthetic"}))[1]
    assert "STAND-IN, not Fashion-MNIST and CIFAR-10 (to get it: " in line
    assert "optsuite data fetch cifar10" in line


def test_what_is_left_out_is_counted_and_named():
    others = [Cell(TASK, get_hparam_set(name)) for name in ("AdamLR_5_R2", "SGDLR_5_R2")]
    lines = left_out_lines(others, "preset quick", "that take too long")
    assert lines == ["optsuite: preset quick leaves out 2 cells that take too long:", f"  {TASK} (2 sets)"]


def test_nothing_to_do_and_nothing_left_out_is_no_plan():
    assert words(Plan({}, {})) == left_out_lines([], "preset quick", "") == []


def test_the_table_has_a_row_a_cell():
    one = planned(3, cost=Cost(200.0, 2.5e15, 3e10), num_bytes=1_500_000)
    row = ["30", "3", "3 min 20 s", "2.5 PFLOP", "30 GB", "1.5 MB"]
    assert re.split(r"  +", plan_table(one)[1]) == [TASK, "AdamLR_5_R2", *row]
    assert re.split(r"  +", plan_table(planned(30, missing=False))[1])[2:] == ["0", "30", *"----"]
