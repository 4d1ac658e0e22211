"""Groups of trials as files: who trains together, who goes on with whose work, and what is cleared away."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from cells import CPU, TASK, run

from optsuite import curves, storage, sweep
from optsuite.hparam_sets import Config, Family, get_hparam_set, register_family
from optsuite.storage import Owner
from optsuite.sweep import Cell, gather, note_failure, prepare, read_failures, read_groups, tidy

_PROCESSES = multiprocessing.get_context("forkserver")


@pytest.fixture
def mixed():
    """A cell of two programs, so that it has two groups."""
    configs = [Config(f"{name}_lr0.1", name, {"lr": 0.1}) for name in ("SGD", "Adam")]
    register_family(Family("MixedLR", "Mixed", lambda: configs))
    return Cell(TASK, get_hparam_set("MixedLR_2_R2"))


def job_of(cell, roots, configs=None, **options):
    chosen = cell.hparam_set.configs if configs is None else configs
    return prepare(cell, chosen, roots=roots, mode="synthetic", **options)[0]


def ids(trials):
    return {trial.id("synthetic") for trial in trials}


def write_claim(group, owner, number=1, **changes):
    told = {"owner": owner.to_json(), "since": time.time(), "renewed": time.time(), "facts": {}} | changes
    storage.write_bytes(f"{group.stem}.claim.{number}", json.dumps(told).encode())


ALIVE = Owner("another-machine", 7, 5.0)


@pytest.fixture(scope="module")
def dead():
    """A process of this machine that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return Owner.here()._replace(pid=process.pid)


def left(store):
    """Names of the files that runners have among themselves."""
    return {url.rpartition("/")[2] for url in storage.list_files(sweep.groups_dir(store, TASK), "")}


def test_a_second_job_gets_the_groups_of_the_first(mixed, roots):
    first = gather(job_of(mixed, roots), CPU)
    assert {identity for group in first.free for identity in group.trial_ids} == ids(mixed.trials())
    assert len(first.free) == 2
    assert first.taken == {}
    second = gather(job_of(mixed, roots), CPU)
    assert set(second.free) == set(first.free)


def test_what_a_process_that_lives_trains_is_taken_and_what_a_dead_one_left_is_free(mixed, roots, dead):
    one, two = gather(job_of(mixed, roots), CPU).free
    write_claim(one, ALIVE, facts={"done": 3})
    write_claim(two, dead)
    shares = gather(job_of(mixed, roots), CPU)
    assert shares.free == [two]
    assert shares.taken.keys() == set(one.trial_ids)
    assert {holder.facts["done"] for holder in shares.taken.values()} == {3}


def test_a_group_is_left_where_not_all_of_it_is_asked_for(cell, roots, store):
    (whole,) = gather(job_of(cell, roots), CPU).free
    first = cell.hparam_set.configs[0]
    (part,) = gather(job_of(cell, roots, [first]), CPU).free
    assert set(part.trial_ids) == ids(cell.trials([first]))
    assert {group.stem for group in read_groups(store, TASK)} == {whole.stem, part.stem}


def test_of_groups_that_overlap_no_trial_is_trained_twice(cell, roots):
    """A run of all and one of a part were killed; whoever asks for all trains each trial once."""
    gather(job_of(cell, roots), CPU)
    gather(job_of(cell, roots, [cell.hparam_set.configs[0]]), CPU)
    shared = [identity for group in gather(job_of(cell, roots), CPU).free for identity in group.trial_ids]
    assert sorted(shared) == sorted(ids(cell.trials()))


def test_what_overlaps_with_living_work_waits_for_it(cell, roots):
    (whole,) = gather(job_of(cell, roots), CPU).free
    (part,) = gather(job_of(cell, roots, [cell.hparam_set.configs[0]]), CPU).free
    write_claim(part, ALIVE)
    shares = gather(job_of(cell, roots), CPU)
    assert shares.taken.keys() == set(part.trial_ids)
    (rest,) = shares.free
    assert set(rest.trial_ids) == set(whole.trial_ids) - set(part.trial_ids)


def test_a_group_for_another_device_is_left(cell, roots):
    (here,) = gather(job_of(cell, roots), CPU).free
    rename(here, device="cuda")
    (again,) = gather(job_of(cell, roots), CPU).free
    assert again.stem == here.stem  # in place of the one that was renamed


def rename(group, **changes):
    """Change what a group's file says, and its name."""
    told = storage.read_json(group.url) | changes
    storage.remove(group.url)
    storage.write_json(f"{group.stem}0.group", told)


def test_all_makes_groups_of_its_own_and_goes_on_with_those_of_a_killed_one(cell, roots):
    (usual,) = gather(job_of(cell, roots), CPU).free
    (again,) = gather(job_of(cell, roots, rerun="all", run="first"), CPU).free
    assert again.stem != usual.stem
    assert gather(job_of(cell, roots, rerun="all", run="second"), CPU).free == [again]
    assert gather(job_of(cell, roots), CPU).free == [usual]


def test_all_of_two_runs_at_once_train_each_for_itself(cell, roots):
    (first,) = gather(job_of(cell, roots, rerun="all", run="first"), CPU).free
    write_claim(first, ALIVE)
    shares = gather(job_of(cell, roots, rerun="all", run="second"), CPU)
    assert shares.taken == {}
    assert [set(group.trial_ids) for group in shares.free] == [ids(cell.trials())]


def test_a_part_of_all_does_not_train_what_another_part_does(cell, roots):
    """A group that a killed run has left may hold trials of both parts of this one."""
    gather(job_of(cell, roots, rerun="all", run="first"), CPU)
    parts = sweep.split(job_of(cell, roots, rerun="all", run="second"), 2)
    for part in parts:
        shared = [identity for group in gather(part, CPU).free for identity in group.trial_ids]
        assert sorted(shared) == sorted(ids(part.trials))


@pytest.mark.parametrize("kind", ["create", "remove"])
def test_who_dies_while_groups_are_made_changes_none_of_them(kind, monkeypatch, tmp_path):
    """Of two configs one alone would have its hyperparameter as a number, and so other bits."""
    configs = [Config(f"Adam_{beta}", "Adam", {"lr": 0.01, "beta1": beta}) for beta in (0.9, 0.95)]
    register_family(Family("BetaLR", "Beta", lambda: configs))
    cell = Cell(TASK, get_hparam_set("BetaLR_2_R1"))
    monkeypatch.setattr("optsuite.trainer._layout.width_limit", lambda *_: 1)

    def gathered(name):
        groups = gather(job_of(cell, (str(tmp_path / name), None)), CPU).free
        return sorted((group.stem.rpartition("/")[2], group.varying) for group in groups)

    whole, calls, real = gathered("whole"), [], getattr(storage, kind)

    def die(url, *args, **kwargs):
        calls.append(url)
        if url.endswith((".group", ".making")) and len(calls) > (kind == "create"):
            raise SystemExit
        return real(url, *args, **kwargs)

    monkeypatch.setattr(storage, kind, die)
    with pytest.raises(SystemExit):
        gathered("killed")
    monkeypatch.setattr(storage, kind, real)
    assert len(whole) == 2
    assert gathered("killed") == whole
    assert not list(tmp_path.rglob("*.making"))


@pytest.mark.parametrize("content", [b"", b"[7]", b"{}", b'[{"a": 1}]', b"[" * 9999])
def test_odd_groups_to_be_made_cost_nothing(content, cell, roots, store):
    storage.write_bytes(f"{sweep.groups_dir(store, TASK)}/groups.making", content)
    (group,) = gather(job_of(cell, roots), CPU).free
    assert set(group.trial_ids) == ids(cell.trials())


ODD = [
    {"trials": "abc"},
    {"trials": 7},
    {"trials": [1, 2]},
    {"trials": None},
    {"layout": {"width": 10**9}},
    {"layout": {"width": "4", "is_compiled": True}},
    {"layout": []},
    {"varying": ["nothing_such"]},
    {"varying": []},
    {"device": 3},
    {"rerun": None},
    {"cell": "\x1b[31mred"},
]


@pytest.mark.parametrize("odd", ODD, ids=str)
def test_an_odd_file_costs_nothing_but_itself(odd, cell, roots):
    (group,) = gather(job_of(cell, roots), CPU).free
    rename(group, **odd)
    (made,) = gather(job_of(cell, roots), CPU).free
    assert set(made.trial_ids) == ids(cell.trials())
    outcomes = run(cell, roots)
    assert not [result for result in outcomes.values() if isinstance(result, Exception)]


@pytest.mark.parametrize("content", [b"", b"\xff", b"[" * 100_000, b"NaN", b"[]", b"{}"])
def test_a_file_that_is_no_group_costs_nothing(content, cell, roots, store):
    (group,) = gather(job_of(cell, roots), CPU).free
    storage.write_bytes(group.url, content)
    storage.write_bytes(f"{group.stem}.claim.1", content)
    assert read_groups(store, TASK) == []
    storage.remove(f"{group.stem}.claim.1")
    assert not [one for one in run(cell, roots).values() if isinstance(one, Exception)]


def test_a_group_of_half_a_grid_is_none(cell, roots):
    (group,) = gather(job_of(cell, roots), CPU).free
    rename(group, trials=group.trial_ids[:3])
    (made,) = gather(job_of(cell, roots), CPU).free
    assert set(made.trial_ids) == ids(cell.trials())


def test_nothing_is_left_of_a_cell_that_ended(mixed, roots, store):
    run(mixed, roots)
    assert left(store) == set()


def test_tidy_clears_what_is_dead_and_nothing_else(cell, roots, store, dead):
    (group,) = gather(job_of(cell, roots), CPU).free
    storage.write_npz(group.state_url, {"a": np.zeros(1)})
    write_claim(group, dead)
    orphan, living = group._replace(stem=f"{group.stem}1"), group._replace(stem=f"{group.stem}2")
    for one, owner in ((orphan, dead), (living, ALIVE)):
        write_claim(one, owner)
    storage.write_npz(orphan.state_url, {"a": np.zeros(1)})
    kept = left(store) - {orphan.state_url.rpartition("/")[2], f"{orphan.stem}.claim.1".rpartition("/")[2]}
    tidy(job_of(cell, roots))
    assert left(store) == kept


def test_tidy_clears_a_group_whose_curves_are_all_recorded_unless_its_owner_lives(cell, roots, store, dead):
    (group,) = gather(job_of(cell, roots), CPU).free
    told = storage.read_json(group.url)
    run(cell, roots)
    for owner, is_kept in ((ALIVE, True), (dead, False)):
        storage.write_json(group.url, told)
        storage.write_npz(group.state_url, {"a": np.zeros(1)})
        write_claim(group, owner)
        tidy(job_of(cell, roots))
        assert storage.exists(group.url) is is_kept
    assert left(store) == set()


def test_tidy_leaves_a_group_of_which_a_curve_is_missing(cell, roots, store):
    (group,) = gather(job_of(cell, roots), CPU).free
    told = storage.read_json(group.url)
    run(cell, roots)
    storage.write_json(group.url, told)
    for url in storage.list_files(cell.trials()[0].folder(store.curves), ".curves"):
        storage.remove(url)
    tidy(job_of(cell, roots))
    assert storage.exists(group.url)


def test_tidy_clears_curves_that_were_replaced_but_none_that_a_damaged_one_replaced(cell, roots, store):
    run(cell, roots)
    one, other = cell.trials()[:2]
    (there,), (damaged,) = [
        curves.files_of_trial(trial.folder(store.curves), trial.id("synthetic")) for trial in (one, other)
    ]
    content = {url: storage.read_bytes(url) for url in (there, damaged)}
    folder, _, name = there.rpartition("/")
    older = f"{folder}/20010101_000000_{name.rpartition('_')[2]}"
    storage.write_bytes(older, content[there])
    folder, _, name = damaged.rpartition("/")
    whole = f"{folder}/20010101_000000_{name.rpartition('_')[2]}"
    storage.write_bytes(whole, content[damaged])
    storage.write_bytes(damaged, b"not an npz")
    tidy(job_of(cell, roots))
    kept = [curves.files_of_trial(t.folder(store.curves), t.id("synthetic")) for t in (one, other)]
    assert kept == [[there], [whole, damaged]]


def test_temporary_files_of_the_dead_are_swept(cell, dead, tmp_path):
    job = job_of(cell, (str(tmp_path), None))
    folder = sweep.groups_dir(job.store, TASK)
    name = f".optsuite_tmp_{dead.host}_{dead.pid}_{dead.started * 100:.0f}_{'0' * 16}.group"
    storage.write_bytes(f"{folder}/{name}", b"")
    tidy(job)
    assert storage.list_files(folder, "") == []


def test_why_a_trial_failed_is_kept_until_it_is_recorded(cell, roots, store):
    job, trial = job_of(cell, roots), cell.trials()[0]
    note_failure(job, trial, ArithmeticError("no\nsecond line"))
    ((identity, failure),) = read_failures(store, TASK).items()
    assert (identity, failure) == (trial.id("synthetic"), (cell.name, "ArithmeticError: no"))
    tidy(job)
    assert read_failures(store, TASK)
    run(cell, roots)
    tidy(job_of(cell, roots))
    assert read_failures(store, TASK) == {}


@pytest.mark.parametrize("odd", [b"", b"[]", b"{}", b'{"cause": 1}', b"x" * 100_000])
def test_an_odd_failure_is_none(odd, cell, roots, store):
    job, trial = job_of(cell, roots), cell.trials()[0]
    note_failure(job, trial, ArithmeticError("no"))
    (url,) = storage.list_files(sweep.groups_dir(store, TASK), ".failure")
    storage.write_bytes(url, odd)
    assert read_failures(store, TASK) == {}


def _gather(root, start, results):
    torch.set_num_threads(1)
    set_name = "SGDLR_3_R2"
    job = job_of(Cell(TASK, get_hparam_set(set_name)), (root, None))
    start.wait()
    shares = gather(job, CPU)
    results.put([(group.stem, group.trial_ids) for group in shares.free])


def test_processes_that_gather_at_once_make_the_same_groups(tmp_path):
    _PROCESSES.set_forkserver_preload(["torch", "optsuite.sweep", "torch.func"])
    start, results = _PROCESSES.Barrier(3), _PROCESSES.Queue()
    processes = [_PROCESSES.Process(target=_gather, args=(str(tmp_path), start, results)) for _ in range(3)]
    for process in processes:
        process.start()
    one, *others = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    cell = Cell(TASK, get_hparam_set("SGDLR_3_R2"))
    assert sorted(identity for _, some in one for identity in some) == sorted(ids(cell.trials()))
    assert all(sorted(other) == sorted(one) for other in others)
