"""What to run, what is recorded, what it costs, and running it."""

from __future__ import annotations

import re
import uuid
from dataclasses import replace

import fsspec
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from optsuite import hparam_sets, storage, tasks
from optsuite.archives import load_archive
from optsuite.curves import Curve, files_of_trial, load_baseline_results_from_dir, write_curve
from optsuite.data import DATASETS
from optsuite.errors import DataError, OptsuiteError, StorageError, UnknownNameError
from optsuite.hparam_sets import (
    Config,
    Family,
    Schedule,
    Trial,
    get_hparam_set,
    list_hparam_sets,
    register_family,
)
from optsuite.storage import Store
from optsuite.sweep import (
    Cell,
    CellPlan,
    Cost,
    Job,
    Plan,
    archive_cell,
    estimated_cost,
    left_out_lines,
    make_matrix,
    measured_speed,
    missing_trials,
    nominal_speed,
    plan,
    plan_lines,
    plan_table,
    prepare,
    run_job,
    share_out,
    split,
)
from optsuite.tasks import get_task, list_tasks, register_task
from optsuite.words import counted

TASK = "ImageMLP_FashionMnist8_Relu32"
LARGE = "ImageMLP_Cifar10_16384x16384_Relu"
CPU = torch.device("cpu")
CUDA = torch.device("cuda")
SPEED = nominal_speed(CPU)


def run_cell(cell, configs, *, device=None, tell=lambda _done, _total: None, **options):
    """Every outcome of a cell, those that were recorded first."""
    job, outcomes = prepare(cell, configs, **options)
    yield from outcomes
    yield from run_job(job, device=device, tell=tell)


def number_of(label):
    return float(label.removeprefix("SGD_lr"))


def family(name, *labels):
    configs = [Config(label, "SGD", {"lr": number_of(label)}) for label in labels]
    return Family(name, name.removesuffix("LR"), lambda: configs)


@pytest.fixture(autouse=True)
def tables(monkeypatch, tmp_path_factory):
    """Small stand-ins; what a test registers is forgotten."""
    monkeypatch.setattr(tasks, "_TASKS", dict(tasks._TASKS))
    monkeypatch.setattr(hparam_sets, "_FAMILIES", dict(hparam_sets._FAMILIES))
    monkeypatch.setenv("OPTSUITE_DATA_DIR", str(tmp_path_factory.getbasetemp()))
    for name in ("OPTSUITE_DATA", "LOPT_BASELINE_DIR", "LOPT_BASELINE_ARCHIVES_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name, info in list(DATASETS.items()):
        small = replace(info, num_train=2000, num_test=500, system_folders=())
        monkeypatch.setitem(DATASETS, name, small)
    register_family(family("TinyLR", "SGD_lr0.01", "SGD_lr0.1"))


@pytest.fixture
def root():
    """A place of its own in memory."""
    name = uuid.uuid4().hex
    yield f"memory://{name}"
    filesystem = fsspec.filesystem("memory")
    if filesystem.exists(f"/{name}"):
        filesystem.rm(f"/{name}", recursive=True)


@pytest.fixture
def cell():
    return Cell(TASK, get_hparam_set("TinyLR_2_R2"))


@pytest.fixture
def roots(root):
    return f"{root}/curves", None


@pytest.fixture
def store(roots):
    return Store.at(*roots, "synthetic")


def run(cell, roots, **options):
    """Outcomes by trial."""
    return by_trial(cell, cell.hparam_set.configs, roots, **options)


def by_trial(cell, configs, roots, **options):
    outcomes = run_cell(cell, configs, roots=roots, mode="synthetic", device=CPU, **options)
    return {outcome.trial: outcome.result for outcome in outcomes}


def damage(store, trial):
    (url,) = files_of_trial(trial.folder(store.curves), trial.id("synthetic"))
    with fsspec.open(url, "wb") as file:
        file.write(b"not an npz")
    return url


# Cells.


def test_a_cell_lists_its_trials_configs_outermost(cell):
    assert [(t.config.label, t.seed) for t in cell.trials()] == [
        ("SGD_lr0.01", 0),
        ("SGD_lr0.01", 1),
        ("SGD_lr0.1", 0),
        ("SGD_lr0.1", 1),
    ]


def test_a_cell_lists_the_trials_of_some_configs(cell):
    second = cell.hparam_set.configs[1]
    assert [(t.config, t.seed) for t in cell.trials([second])] == [(second, 0), (second, 1)]
    assert cell.trials([]) == []


def test_a_cell_has_a_name_and_a_task(cell):
    assert cell.name == f"{TASK}-TinyLR_2_R2"
    assert cell.task is get_task(TASK)


# The matrix.


def sets_of(matrix):
    return {cell.hparam_set.name for cell in matrix.cells}


def tasks_of(matrix):
    return {cell.task_name for cell in matrix.cells}


def test_full_crosses_every_task_with_the_published_sets():
    matrix = make_matrix(preset="full", device=CPU)
    names = [name for name in list_hparam_sets() if len(get_hparam_set(name).labels) <= 15]
    assert sets_of(matrix) == set(names)
    assert tasks_of(matrix) == set(list_tasks())
    assert len(matrix.cells) == len(names) * len(list_tasks())


def test_quick_has_one_short_set_a_family():
    matrix = make_matrix(preset="quick", device=CPU)
    names = [f"{family}_200_R2" for family in hparam_sets.list_families()]
    assert sets_of(matrix) == {name for name in names if len(get_hparam_set(name).labels) <= 15}


@pytest.mark.parametrize("preset", ["quick", "full"])
def test_making_a_matrix_reads_no_list_of_settings(preset, monkeypatch):
    monkeypatch.setitem(hparam_sets._FAMILIES, "OptList1k", replace(hparam_sets.get_family("OptList1k")))
    monkeypatch.setenv("OPTSUITE_OPT_LIST", "memory://nowhere")
    matrix = make_matrix(preset=preset, tasks=TASK, device=CPU)
    assert not any("OptList" in name for name in sets_of(matrix))
    (cell,) = make_matrix(preset=preset, tasks=TASK, sets="OptList1k_70_R1", device=CPU).cells
    with pytest.raises(StorageError, match="cannot read `memory://nowhere`: there is no such file"):
        cell.trials()


@pytest.mark.parametrize(("device", "preset"), [(CPU, "quick"), (CUDA, "full")])
def test_auto_is_full_on_cuda_alone(device, preset):
    assert make_matrix(preset="auto", tasks=TASK, device=device).preset == preset


def test_globs_narrow_and_names_select():
    matrix = make_matrix(preset="quick", tasks="Image*Mnist8*", sets="AdamW*", device=CPU)
    assert [cell.name for cell in matrix.cells] == [f"{TASK}-AdamWLR_200_R2"]
    assert sets_of(make_matrix(tasks=TASK, sets="SGDLR_3_R1", device=CPU)) == {"SGDLR_3_R1"}


@pytest.mark.parametrize("size", [15, 16])
def test_large_sets_join_by_name_only(size):
    register_family(family("ManyLR", *(f"SGD_lr0.{10 + n}" for n in range(size))))
    by_default = sets_of(make_matrix(preset="quick", tasks=TASK, device=CPU))
    assert ("ManyLR_200_R2" in by_default) == (size == 15)
    for pattern in ("Many*", "ManyLR_200_R2", "ManyLR_3_R1"):
        matrix = make_matrix(preset="quick", tasks=TASK, sets=pattern, device=CPU)
        assert [len(cell.hparam_set.configs) for cell in matrix.cells] == [size]


def test_steps_and_repetitions_replace_the_sets_own_and_merge_what_becomes_equal():
    matrix = make_matrix(preset="full", tasks=TASK, sets="AdamLR*", num_steps=7, repetitions=3, device=CPU)
    assert sets_of(matrix) == {"AdamLR_7_R3"}
    assert len(matrix.cells) == 1
    only_reps = make_matrix(preset="full", tasks=TASK, sets="AdamLR*", repetitions=3, device=CPU)
    assert {"AdamLR_1000_R3", "AdamLR_300000_R3"} <= sets_of(only_reps)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"tasks": "ImageMLP_FashionMnist8_Relu3"}, f"unknown task .* did you mean {TASK}"),
        ({"tasks": "Zebra*"}, r"unknown task `Zebra\*`"),
        ({"sets": "AdmLR_200_R2"}, "unknown hparam set .* did you mean AdamLR_200_R2"),
        ({"sets": "AdamLR"}, "unknown hparam set `AdamLR`"),
    ],
)
def test_unknown_names_raise_with_the_nearest(names, message):
    with pytest.raises(UnknownNameError, match=message):
        make_matrix(device=CPU, **names)


def test_quick_leaves_out_what_takes_too_long_unless_it_is_named():
    large = Cell(LARGE, get_hparam_set("SGDLR_200_R2"))
    small = Cell(TASK, get_hparam_set("SGDLR_200_R2"))
    matrix = make_matrix(preset="quick", device=CPU)
    assert matrix.leaves_out(large)
    assert not matrix.leaves_out(small)
    assert make_matrix(preset="quick", tasks="*16384*", device=CPU).leaves_out(large)
    assert not make_matrix(preset="quick", tasks=LARGE, device=CPU).leaves_out(large)
    assert not make_matrix(preset="full", device=CPU).leaves_out(large)


# Costs.


def cost_of(name, set_name):
    return estimated_cost(get_task(name), get_hparam_set(set_name).trials(name), CPU, SPEED)


def test_operations_are_those_of_steps_and_evaluations():
    hparam_set = get_hparam_set("AdamLR_100_R2")
    schedule, task = hparam_set.schedule, get_task(TASK)
    batches = sum(schedule.batches_at(step) for step in schedule.eval_steps())
    passes = 101 + 3 * batches / 3  # three splits; a forward pass is a third of a step
    assert cost_of(TASK, "AdamLR_100_R2").flops == pytest.approx(30 * task.flops_per_step * passes)


def test_memory_is_that_of_the_widest_program():
    one, all_ = cost_of(TASK, "SGDLR_10_R1").memory_bytes, cost_of(TASK, "SGDLR_10_R2").memory_bytes
    assert 0 < one < all_ < cost_of(LARGE, "SGDLR_10_R2").memory_bytes


def test_a_faster_device_takes_less_time():
    trials, before = get_hparam_set("AdamLR_100_R2").trials(TASK), cost_of(TASK, "AdamLR_100_R2").seconds
    for faster in (
        SPEED._replace(flops=2 * SPEED.flops),
        SPEED._replace(bytes=2 * SPEED.bytes),
        SPEED._replace(op_seconds=SPEED.op_seconds / 2),
    ):
        assert estimated_cost(get_task(TASK), trials, CPU, faster).seconds < before


def test_speed_is_measured_and_leaves_the_threads_as_they_were():
    before = torch.get_num_threads()
    speed = measured_speed(CPU, 1)
    assert torch.get_num_threads() == before
    assert 1e8 < speed.flops < 1e14
    assert 1e8 < speed.bytes < 1e13
    assert 1e-8 < speed.op_seconds < 1e-3


def test_a_budget_keeps_the_cheapest_cells_that_fit(cell):
    costs = {"AdamLR_5_R1": 30.0, "AdamLR_5_R2": 10.0, "AdamLR_5_R3": 20.0, "AdamLR_5_R4": 0.0}
    cells = {
        Cell(TASK, get_hparam_set(name)): CellPlan([], 0, Cost(seconds), 1) for name, seconds in costs.items()
    }
    whole = Plan(cells, {"fashion_mnist": "real"})
    kept, left_out = whole.within(45.0)
    assert [one.hparam_set.name for one in kept.cells] == ["AdamLR_5_R2", "AdamLR_5_R3", "AdamLR_5_R4"]
    assert [one.hparam_set.name for one in left_out] == ["AdamLR_5_R1"]
    assert kept.sources == {"fashion_mnist": "real"}
    assert whole.within(60.0) == (whole, [])
    trials = get_hparam_set("AdamLR_5_R2").trials(TASK)
    shared = Plan({c: one._replace(missing=trials) for c, one in cells.items()}, {}, num_workers=2)
    assert shared.within(45.0)[1] == []


def test_a_budget_that_fits_nothing_says_what_the_least_is(cell):
    dear = Plan({cell: CellPlan([], 0, Cost(100.0), 1)}, {})
    with pytest.raises(OptsuiteError, match=r"no cell fits .* 50 s: the cheapest takes about 1 min 40 s"):
        dear.within(50.0)
    assert Plan({}, {}).within(50.0) == (Plan({}, {}), [])


@pytest.mark.parametrize("name", [TASK, LARGE])
def test_estimates_grow_with_trials_and_steps(name):
    def seconds(set_name):
        return cost_of(name, set_name).seconds

    by_steps = [seconds(f"AdamLR_{steps}_R2") for steps in (1, 10, 100, 1000)]
    by_reps = [seconds(f"AdamLR_100_R{reps}") for reps in (1, 2, 5, 50)]
    assert by_steps == sorted(set(by_steps))
    assert by_reps == sorted(set(by_reps))
    assert by_steps[0] > 0


def test_no_trials_take_no_time():
    assert estimated_cost(get_task(TASK), [], CPU, SPEED) == Cost()


def test_a_larger_task_is_estimated_to_take_longer():
    def seconds(name):
        return cost_of(name, "AdamLR_100_R2").seconds

    assert seconds(TASK) < seconds("ImageMLP_Cifar10_1024x1024_Relu") < seconds(LARGE)


def test_an_optimizer_that_works_longer_is_estimated_to_take_longer():
    def seconds(set_name):
        return cost_of(TASK, set_name).seconds

    assert seconds("Shampoo128SgdLR_200_R2") > 20 * seconds("AdamLR_200_R2")


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


def test_a_plan_needs_the_data_that_were_asked_for(cell, roots):
    with pytest.raises(DataError, match="Fashion-MNIST not found"):
        plan({cell: cell.hparam_set.configs}, roots=roots, mode="real", rerun="missing", device=CPU)


# What is missing.


def test_everything_is_missing_from_an_empty_store(cell, store):
    for rerun in ("missing", "failed", "all"):
        assert missing_trials(cell.trials(), store, "synthetic", rerun) == cell.trials()


def test_what_is_recorded_is_not_missing(cell, roots, store):
    run(cell, roots)
    assert missing_trials(cell.trials(), store, "synthetic") == []
    assert missing_trials(cell.trials(), store, "synthetic", "failed") == []
    assert missing_trials(cell.trials(), store, "synthetic", "all") == cell.trials()
    assert missing_trials(cell.trials(), store, "real") == cell.trials()  # of the same folders


def test_only_failed_looks_into_files(cell, roots, store):
    run(cell, roots)
    bad = cell.trials()[1]
    url = damage(store, bad)
    assert missing_trials(cell.trials(), store, "synthetic", "missing") == []
    assert missing_trials(cell.trials(), store, "synthetic", "failed") == [bad]
    assert storage.list_files(bad.folder(store.curves), ".bad") == [f"{url}.bad"]
    assert missing_trials(cell.trials(), store, "synthetic", "missing") == [bad]


def test_a_task_whose_cost_cannot_be_counted_can_be_planned(roots):
    """What is wrong with it is for its own test to say."""

    def broken(outputs, batch):
        raise ArithmeticError("the loss is broken")

    register_task(replace(get_task(TASK), name="Broken", loss_fn=broken))
    cell = Cell("Broken", get_hparam_set("TinyLR_2_R2"))
    assert not make_matrix(tasks="Brok*", device=CPU).leaves_out(cell)
    look = {"roots": roots, "mode": "synthetic", "rerun": "missing", "device": CPU}
    planned = plan({cell: cell.hparam_set.configs}, **look)
    assert (planned.num_missing, planned.cost) == (4, Cost(is_known=False))


# The plan in words.


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


def test_a_cost_that_is_unknown_is_not_said_to_be_nothing():
    unknown, known = Cost(is_known=False), Cost(200.0, 2.5e12, 3e8)
    one = planned(cost=unknown)
    assert words(one)[0].endswith("), the cost is unknown, 0 MB of curves")
    assert re.split(r"  +", plan_table(one)[1])[2:] == ["30", "0", "?", "?", "?", "0 MB"]
    both = Plan({CELL: one.cells[CELL], replace(CELL, task_name=LARGE): planned(cost=known).cells[CELL]}, {})
    assert "; at least 3 min 20 s on cpu (" in words(both)[0]


def test_a_plan_without_work_names_no_cost():
    head = words(planned(30, missing=False, sources={"fashion_mnist": "real"}))[0]
    assert head == "optsuite: 1 cell, preset quick: 0 trials to train, 30 recorded already"


def test_each_stand_in_says_how_to_get_the_real_data():
    sources = {"cifar10": "synthetic", "mnist": "real", "svhn_cropped": "synthetic"}
    lines = words(planned(sources=sources))[1:4]
    assert lines[0] == "  data: mnist: real"
    assert lines[1].startswith("  data: cifar10: STAND-IN, not CIFAR-10 (to get it: ")
    assert lines[2].startswith("  data: svhn_cropped: STAND-IN, not ")


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


# Running.


@given(num_configs=st.integers(1, 9), num_seeds=st.integers(1, 4), num_parts=st.integers(1, 8))
def test_parts_hold_each_trial_once_and_as_many_as_the_others(num_configs, num_seeds, num_parts):
    configs = [Config(f"SGD_lr{n}", "SGD", {"lr": float(n)}) for n in range(num_configs)]
    trials = tuple(Trial(TASK, c, Schedule(3), seed) for c in configs for seed in range(num_seeds))
    job = Job("a", TASK, trials, Store("curves", "archives"), "synthetic")
    parts = split(job, num_parts)
    assert tuple(trial for part in parts for trial in part.trials) == trials
    assert [part.part for part in parts] == list(range(len(parts)))
    assert len(parts) == min(num_parts, num_configs if num_configs > 1 else num_seeds)
    numbers_of_configs = [len({trial.config for trial in part.trials}) for part in parts]
    assert max(numbers_of_configs) - min(numbers_of_configs) <= 1
    assert sum(part.num_steps for part in parts) == job.num_steps == 4 * len(trials)


@pytest.mark.parametrize(
    ("num_jobs", "num_workers", "num_parts"), [(1, 1, 1), (1, 2, 2), (2, 2, 1), (3, 2, 1), (3, 8, 3)]
)
def test_jobs_are_cut_only_where_workers_would_have_none(num_jobs, num_workers, num_parts):
    trials = tuple(get_hparam_set("SGDLR_3_R1").trials(TASK))
    jobs = [Job(str(n), TASK, trials, Store("curves", "archives"), "synthetic") for n in range(num_jobs)]
    assert [len(parts) for parts in share_out(jobs, num_workers)] == [num_parts] * num_jobs


def test_each_trial_has_one_outcome_and_one_file(cell, roots, store):
    outcomes = run(cell, roots)
    assert set(outcomes) == set(cell.trials())
    for trial, curve in outcomes.items():
        assert isinstance(curve, Curve)
        assert (curve.opt_name, curve.seed) == (trial.config.label, trial.seed)
        recorded = load_baseline_results_from_dir(trial.folder(store.curves))
        assert curve in [Curve(arrays) for arrays in recorded]


def test_curves_are_written_as_they_come(cell, roots, store):
    cells = run_cell(cell, cell.hparam_set.configs, roots=roots, mode="synthetic", device=CPU)
    trial = next(cells).trial
    assert trial not in missing_trials(cell.trials(), store, "synthetic")


def test_what_is_recorded_is_read_and_only_the_rest_is_trained(cell, roots):
    first, second = cell.hparam_set.configs
    before = by_trial(cell, [first], roots)
    told = []
    after = run(cell, roots, tell=lambda done, total: told.append((done, total)))
    assert before.items() <= after.items()
    assert {trial.config for trial in set(after) - set(before)} == {second}
    assert told[-1] == (2 * 3, 2 * 3)  # two trials of three steps


def test_a_second_run_gives_the_same_and_trains_nothing(cell, roots):
    before, told = run(cell, roots), []
    assert run(cell, roots, tell=lambda *counts: told.append(counts)) == before
    assert told == []


def test_all_trains_again_and_replaces_the_files(cell, roots, store):
    before = run(cell, roots)
    after = run(cell, roots, rerun="all")
    for trial, curve in after.items():
        np.testing.assert_array_equal(curve["train/loss"], before[trial]["train/loss"])
        assert len(storage.list_files(trial.folder(store.curves), ".curves")) == 2  # one a seed


def test_a_file_that_cannot_be_read_is_its_trials_outcome_alone(cell, roots, store):
    run(cell, roots)
    bad = cell.trials()[1]
    damage(store, bad)
    outcomes = run(cell, roots)
    assert [trial for trial, result in outcomes.items() if isinstance(result, Exception)] == [bad]
    with pytest.raises(
        StorageError,
        match=rf"`{bad.folder(store.curves)}/\d+_\d+_\w+\.curves` is not .* with the file deleted",
    ):
        raise outcomes[bad]
    again = run(cell, roots, rerun="failed")
    assert all(isinstance(result, Curve) for result in again.values())


def test_a_failing_write_is_its_trials_outcome_and_the_next_is_written(cell, roots, store, monkeypatch):
    calls = []

    def fail_first(curve, root):
        calls.append(curve)
        if len(calls) == 1:
            raise StorageError("the disk is full")
        return write_curve(curve, root)

    monkeypatch.setattr("optsuite.curves.write_curve", fail_first)
    outcomes = run(cell, roots)
    (lost,) = [trial for trial, result in outcomes.items() if isinstance(result, Exception)]
    assert str(outcomes[lost]) == "the disk is full"
    assert missing_trials(cell.trials(), store, "synthetic") == [lost]


def test_a_task_that_breaks_is_the_outcome_of_all_its_trials(roots):
    def broken(outputs, batch):
        if outputs.device.type == "meta":
            return outputs.sum()  # its cost can be counted
        raise ArithmeticError("the loss is broken")

    register_task(replace(get_task(TASK), name="Broken", loss_fn=broken))
    outcomes = run(Cell("Broken", get_hparam_set("TinyLR_2_R2")), roots)
    assert len(outcomes) == 4
    assert {str(error) for error in outcomes.values()} == {"the loss is broken"}


def test_one_rule_that_breaks_leaves_the_others(roots, monkeypatch):
    """Configs of another optimizer are another program."""
    mixed = [Config("SGD_lr0.1", "SGD", {"lr": 0.1}), Config("Adam_lr0.1", "Adam", {"lr": 0.1})]
    register_family(Family("MixedLR", "Mixed", lambda: mixed))

    def broken(**_):
        raise ArithmeticError("the optimizer is broken")

    from optsuite.optimizers import _table

    monkeypatch.setitem(_table.OPTIMIZERS, "Adam", _table.OPTIMIZERS["Adam"]._replace(factory=broken))
    outcomes = run(Cell(TASK, get_hparam_set("MixedLR_2_R1")), roots)
    kinds = {trial.config.label: type(result) for trial, result in outcomes.items()}
    assert kinds == {"SGD_lr0.1": Curve, "Adam_lr0.1": ArithmeticError}


def test_running_needs_the_data_that_were_asked_for(cell, roots):
    with pytest.raises(DataError, match="Fashion-MNIST not found"):
        list(run_cell(cell, cell.hparam_set.configs, roots=roots, mode="real", device=CPU))


def test_a_complete_cell_alone_is_archived(cell, roots, store):
    first, _ = cell.hparam_set.configs
    list(run_cell(cell, [first], roots=roots, mode="synthetic", device=CPU))
    assert archive_cell(cell, "synthetic", roots) is None
    run(cell, roots)
    assert archive_cell(cell, "synthetic", roots) == f"{store.archives}/{TASK}/TinyLR_2_R2.npz"
    assert load_archive(TASK, "TinyLR_2_R2", root=store.archives)["train/loss"].shape == (2, 2, 3)


def test_an_archive_holds_the_trials_of_its_own_cell(roots):
    """Two families may use one label, and so one folder, for different hyperparameters."""
    for name, momentum in (("OneLR", 0.5), ("TwoLR", 0.9)):
        config = Config("Same", "SGDM", {"lr": 0.1, "momentum": momentum})
        register_family(Family(name, "Same", lambda config=config: [config]))
    cells = [Cell(TASK, get_hparam_set(f"{name}_2_R1")) for name in ("OneLR", "TwoLR")]
    losses = []
    for cell in cells:
        (curve,) = run(cell, roots).values()
        losses.append(curve["train/loss"])
    assert not np.array_equal(*losses)
    for cell, loss in zip(cells, losses, strict=True):
        url = archive_cell(cell, "synthetic", roots)
        np.testing.assert_array_equal(storage.read_npz(url)["train/loss"][0, 0], loss)
