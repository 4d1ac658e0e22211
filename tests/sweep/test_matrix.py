"""Cells, and the matrix that they are chosen from."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from cells import CPU, LARGE, TASK, family

from optsuite import hparam_sets
from optsuite.errors import StorageError, UnknownNameError
from optsuite.hparam_sets import (
    _families,
    get_hparam_set,
    list_hparam_sets,
    needs_checkpoint,
    register_family,
)
from optsuite.sweep import Cell, make_matrix
from optsuite.tasks import get_task, list_tasks


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


def sets_of(matrix):
    return {cell.hparam_set.name for cell in matrix.cells}


def tasks_of(matrix):
    return {cell.task_name for cell in matrix.cells}


def test_full_crosses_every_task_with_the_published_sets():
    matrix = make_matrix(preset="full", device=CPU)
    known = [name for name in list_hparam_sets() if not needs_checkpoint(name)]
    names = [name for name in known if len(get_hparam_set(name).labels) <= 15]
    assert sets_of(matrix) == set(names)
    assert tasks_of(matrix) == set(list_tasks())
    assert len(matrix.cells) == len(names) * len(list_tasks())


def test_quick_has_one_short_set_a_family():
    matrix = make_matrix(preset="quick", device=CPU)
    names = [f"{family}_200_R2" for family in hparam_sets.list_families()]
    assert sets_of(matrix) == {name for name in names if len(get_hparam_set(name).labels) <= 15}


@pytest.mark.parametrize("preset", ["quick", "full"])
def test_making_a_matrix_reads_no_list_of_configs(preset, monkeypatch):
    monkeypatch.setitem(_families._FAMILIES, "OptList1k", replace(hparam_sets.get_family("OptList1k")))
    monkeypatch.setenv("OPTSUITE_OPT_LIST", "memory://nowhere")
    matrix = make_matrix(preset=preset, tasks=TASK, device=CPU)
    assert not any("OptList" in name for name in sets_of(matrix))
    (cell,) = make_matrix(preset=preset, tasks=TASK, sets="OptList1k_70_R1", device=CPU).cells
    with pytest.raises(StorageError, match="cannot read `memory://nowhere`: there is no such file"):
        cell.trials()


@pytest.mark.parametrize(("device", "preset"), [(CPU, "quick"), (torch.device("cuda"), "full")])
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


def test_globs_and_names_add_up_and_each_chooses_as_it_would_alone():
    other = "ImageMLP_FashionMnist16_Relu32"
    matrix = make_matrix(
        preset="quick", tasks=[TASK, other, "*8_Relu32"], sets=["SGDLR*", "OptList1k_70_R1"], device=CPU
    )
    tasks = list(dict.fromkeys(cell.task_name for cell in matrix.cells))
    assert tasks[:2] == [TASK, other]
    assert len(tasks) > 2
    assert sets_of(matrix) == {"SGDLR_200_R2", "OptList1k_70_R1"}  # a thousand configs, but asked for
    assert len(matrix.cells) == 2 * len(tasks)


def test_a_task_that_is_named_beside_a_glob_is_not_left_out():
    large = Cell(LARGE, get_hparam_set("SGDLR_200_R2"))
    assert not make_matrix(preset="quick", tasks=["*16384*", LARGE], device=CPU).leaves_out(large)


@pytest.mark.parametrize("names", [{"tasks": [TASK, "Zebra*"]}, {"sets": ["SGDLR*", "Zebra*"]}])
def test_every_glob_must_match(names):
    with pytest.raises(UnknownNameError, match=r"`Zebra\*`"):
        make_matrix(device=CPU, **names)


@pytest.mark.parametrize(("preset", "name"), [("full", "MuonLR_10000_R5"), ("quick", "MuonLR_200_R2")])
def test_a_glob_finds_families_without_published_sets(preset, name):
    """With `full` they join where nothing else matches, with `quick` they are beside the others."""
    assert sets_of(make_matrix(preset=preset, tasks=TASK, sets="Muon*", device=CPU)) == {name}
    assert sets_of(make_matrix(preset=preset, tasks=TASK, sets="MuonLR_7_R1", device=CPU)) == {"MuonLR_7_R1"}
    shorter = make_matrix(preset=preset, tasks=TASK, sets="Muon*", num_steps=9, repetitions=1, device=CPU)
    assert sets_of(shorter) == {"MuonLR_9_R1"}
    assert not any("Muon" in cell for cell in sets_of(make_matrix(preset="full", tasks=TASK, device=CPU)))
