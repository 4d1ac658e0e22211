"""The plan: what is missing, what it costs, and what fits a budget."""

from __future__ import annotations

from dataclasses import replace

import fsspec
import pytest
from cells import CPU, TASK, run, run_cell

from optsuite.errors import DataError, OptsuiteError
from optsuite.hparam_sets import get_hparam_set
from optsuite.sweep import Cell, CellPlan, Cost, Plan, make_matrix, plan
from optsuite.tasks import get_task, register_task


def test_a_budget_keeps_the_cheapest_cells_that_fit(cell):
    costs = {"AdamLR_5_R1": 30.0, "AdamLR_5_R2": 10.0, "AdamLR_5_R3": 20.0, "AdamLR_5_R4": 0.0}
    cells = {
        Cell(TASK, get_hparam_set(name)): CellPlan([], 0, Cost(seconds), 1) for name, seconds in costs.items()
    }
    whole = Plan(cells, {"fashion_mnist": "real"})
    kept = whole.within(45.0)
    assert [one.hparam_set.name for one in kept.cells] == ["AdamLR_5_R2", "AdamLR_5_R3", "AdamLR_5_R4"]
    assert [one.hparam_set.name for one in kept.over_budget] == ["AdamLR_5_R1"]
    assert kept.sources == {"fashion_mnist": "real"}
    assert whole.within(60.0) == whole
    trials = get_hparam_set("AdamLR_5_R2").trials(TASK)
    shared = Plan({c: one._replace(missing=trials) for c, one in cells.items()}, {}, num_workers=2)
    assert shared.within(45.0).over_budget == ()


def test_a_budget_that_fits_nothing_says_what_the_least_is(cell):
    dear = Plan({cell: CellPlan([], 0, Cost(100.0), 1)}, {})
    with pytest.raises(OptsuiteError, match=r"no cell fits .* 50 s: the cheapest takes about 1 min 40 s"):
        dear.within(50.0)
    assert Plan({}, {}).within(50.0) == Plan({}, {})


def test_a_plan_counts_what_is_recorded_and_costs_the_rest(cell, roots):
    first, second = cell.hparam_set.configs
    list(run_cell(cell, [first], roots=roots, mode="synthetic", device=CPU))
    look = {"roots": roots, "mode": "synthetic", "device": CPU}
    whole = plan({cell: [first, second]}, rerun="missing", **look)
    assert whole.cells[cell].missing == cell.trials([second])
    assert (whole.num_missing, whole.num_recorded) == (2, 2)
    assert whole.sources == {"fashion_mnist": "synthetic"}
    again = plan({cell: [first, second]}, rerun="all", **look)
    assert (again.num_missing, again.num_recorded) == (4, 0)
    assert again.cost.seconds > whole.cost.seconds > 0
    assert again.num_bytes == 2 * whole.num_bytes > 0


def test_a_plan_guesses_the_size_of_its_curves(cell, roots):
    guess = plan({cell: cell.hparam_set.configs}, roots=roots, mode="synthetic", rerun="missing", device=CPU)
    run(cell, roots)
    files = fsspec.filesystem("memory").find(roots[0].removeprefix("memory:/") + "_synthetic", detail=True)
    written = sum(info["size"] for info in files.values())
    assert written / 2 < guess.num_bytes < 2 * written


def test_a_plan_tells_which_cells_lack_the_data_that_were_asked_for(cell, roots):
    cells = {cell: cell.hparam_set.configs}
    whole = plan(cells, roots=roots, mode="real", rerun="missing", device=CPU)
    assert not whole.cells
    assert isinstance(whole.without_data[cell], DataError)
    assert "Fashion-MNIST not found" in str(whole.without_data[cell])


def test_a_task_whose_cost_cannot_be_counted_can_be_planned(roots):
    """What is wrong with it is for its own test to say."""

    def broken(outputs, batch):
        raise ArithmeticError("the loss is broken")

    register_task(replace(get_task(TASK), name="Broken", loss_fn=broken))
    cell = Cell("Broken", get_hparam_set("TinyLR_2_R2"))
    assert not make_matrix(tasks="Brok*", device=CPU).leaves_out(cell)
    look = {"roots": roots, "mode": "synthetic", "rerun": "missing", "device": CPU}
    assert plan({cell: cell.hparam_set.configs}, **look).num_missing == 4
