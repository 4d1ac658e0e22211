"""Jobs of several processes on one store: each trial is trained by one of them, or at least recorded once."""

from __future__ import annotations

import json
import threading
import time
from datetime import UTC, datetime

import numpy as np
import pytest
from cells import CPU, TASK, counted_steps, run

from optsuite import curves, storage, sweep
from optsuite.backends import ElsewhereError, Stop, run_job
from optsuite.curves import Curve
from optsuite.errors import StoppedError
from optsuite.hparam_sets import get_hparam_set
from optsuite.storage import Owner, _lease
from optsuite.sweep import Cell, gather, missing_trials, prepare
from optsuite.trainer import _run

ALIVE = Owner("another-machine", 7, 5.0)


@pytest.fixture(autouse=True)
def asked_at_each_step(monkeypatch):
    """Whether to stop is asked after each step."""
    monkeypatch.setattr(_run, "_ASK_SECONDS", 0.0)


@pytest.fixture
def long_cell():
    return Cell(TASK, get_hparam_set("TinyLR_16_R2"))


def job_of(cell, roots, **options):
    return prepare(cell, cell.hparam_set.configs, roots=roots, mode="synthetic", **options)[0]


def results(job, **options):
    return {one.trial: one.result for one in run_job(job, device=CPU, **options)}


def write_claim(stem, number, owner=ALIVE):
    told = {"owner": owner.to_json(), "since": time.time(), "renewed": time.time(), "facts": {}}
    storage.write_bytes(f"{stem}.claim.{number}", json.dumps(told).encode())


def left(store):
    return {url.rpartition("/")[2] for url in storage.list_files(sweep.groups_dir(store, TASK), "")}


def files(store, trial):
    return storage.list_files(trial.folder(store.curves), ".curves")


def stopped_at(job, *, step):
    """Train a job until someone stops it at a step."""
    stop = Stop()

    def tell(done, _total):
        if done >= step * len(job.trials):
            stop.set()

    with pytest.raises(StoppedError, match="and saved"):
        results(job, tell=tell, stop=stop)


def test_what_another_process_trains_is_left_to_it_and_its_curves_are_taken(cell, roots, store):
    job = job_of(cell, roots)
    (group,) = gather(job, CPU).free
    write_claim(group.stem, 1)
    found = results(job)
    assert found.keys() == set(cell.trials())
    assert {type(one) for one in found.values()} == {ElsewhereError}
    assert all("process 7 on another" in str(one) for one in found.values())
    assert missing_trials(cell.trials(), store, "synthetic") == cell.trials()
    storage.remove(f"{group.stem}.claim.1")
    run(cell, roots)
    assert results(job) == {}


def test_a_group_that_is_claimed_after_it_was_found_free_is_left(cell, roots, monkeypatch):
    job = job_of(cell, roots)
    found = gather(job, CPU)
    write_claim(found.free[0].stem, 1)
    monkeypatch.setattr(sweep, "gather", lambda *_: found)
    assert {type(one) for one in results(job).values()} == {ElsewhereError}


def test_a_group_that_ended_after_it_was_found_free_is_not_trained_again(cell, roots, monkeypatch):
    job = job_of(cell, roots)
    found = gather(job, CPU)
    told = storage.read_json(found.free[0].url)
    before = run(cell, roots)
    monkeypatch.setattr(sweep, "gather", lambda *_: found)
    counts = counted_steps(monkeypatch)
    assert results(job) == {}
    storage.write_json(found.free[0].url, told)  # whoever ended it died before it was deleted
    assert results(job) == {}
    assert counts == []
    assert left(job.store) == set()
    assert run(cell, roots) == before


def test_who_loses_its_claim_saves_nothing_and_leaves_the_rest(long_cell, roots, store, monkeypatch):
    monkeypatch.setattr(_lease, "_BEAT_SECONDS", 0.01)
    job = job_of(long_cell, roots)
    (group,) = gather(job, CPU).free

    def take_over(_done, _total):
        if threads := [one for one in threading.enumerate() if one.name == f"claim {group.stem}"]:
            write_claim(group.stem, 2)
            threads[0].join(20)  # until it has noticed

    found = results(job, tell=take_over)
    assert {type(one) for one in found.values()} == {ElsewhereError}
    assert found.keys() == set(long_cell.trials())
    names = {f"{group.stem}{ending}".rpartition("/")[2] for ending in (".group", ".claim.2")}
    assert left(store) == names
    storage.remove(f"{group.stem}.claim.2")
    assert {type(one) for one in results(job).values()} == {Curve}
    assert left(store) == set()


def test_who_finds_its_curves_recorded_by_another_leaves_those(cell, roots, store):
    """The claim ended under a slow process, which has not noticed when it ends."""
    job, others, before = job_of(cell, roots), {}, {}
    dead = Owner.here()._replace(pid=2**31 - 1)

    def take_over(_done, _total):
        if not others:
            others["is there"] = True
            (stem,) = (group.stem for group in sweep.read_groups(store, TASK))
            write_claim(stem, 1, dead)
            others.update(run(cell, roots))
            before.update({trial: files(store, trial) for trial in cell.trials()})

    mine = results(job, tell=take_over)
    assert {trial: files(store, trial) for trial in cell.trials()} == before
    assert {len(some) for some in before.values()} == {2}  # one a seed
    for trial, curve in mine.items():
        np.testing.assert_array_equal(curve["train/loss"], others[trial]["train/loss"])
    assert left(store) == set()


def test_what_was_stopped_is_gone_on_with(long_cell, roots, store, monkeypatch):
    job = job_of(long_cell, roots)
    stopped_at(job, step=12)
    (group,) = sweep.read_groups(store, TASK)
    assert left(store) == {url.rpartition("/")[2] for url in (group.url, group.state_url)}
    counts = counted_steps(monkeypatch)
    found = results(job)
    assert 0 < sum(counts) <= 4 * 6
    assert left(store) == set()
    whole = run(long_cell, (f"{roots[0]}_whole", None))
    for trial, curve in found.items():
        np.testing.assert_array_equal(curve["train/loss"], whole[trial]["train/loss"])


def test_a_checkpoint_of_no_use_is_set_aside_with_a_word(long_cell, roots, store):
    job = job_of(long_cell, roots)
    stopped_at(job, step=12)
    (group,) = sweep.read_groups(store, TASK)
    storage.write_bytes(group.state_url, b"not an npz")
    with pytest.warns(RuntimeWarning, match=r"begins anew: .* its checkpoint is now .*\.state\.npz\.bad"):
        found = results(job)
    assert {type(one) for one in found.values()} == {Curve}


def test_a_stop_between_groups_begins_no_other(cell, roots):
    stop = Stop()
    stop.set()
    with pytest.raises(StoppedError, match="run again to go on"):
        results(job_of(cell, roots), stop=stop)


def test_a_stop_that_comes_with_the_last_curve_is_not_lost(cell, roots, store):
    stop = Stop()
    running = run_job(job_of(cell, roots), device=CPU, stop=stop)
    with pytest.raises(StoppedError, match="what had ended is recorded"):
        all(stop.set() is None for _ in running)
    assert missing_trials(cell.trials(), store, "synthetic") == []


def test_a_run_of_all_that_was_killed_is_gone_on_with_by_the_next(long_cell, roots, store, monkeypatch):
    before = run(long_cell, roots)
    stopped_at(job_of(long_cell, roots, rerun="all", run="first"), step=12)
    assert missing_trials(long_cell.trials(), store, "synthetic") == []
    counts = counted_steps(monkeypatch)
    found = results(job_of(long_cell, roots, rerun="all", run="second"))
    assert 0 < sum(counts) <= 4 * 6
    assert left(store) == set()
    for trial, curve in found.items():
        np.testing.assert_array_equal(curve["train/loss"], before[trial]["train/loss"])


def test_what_was_trained_again_wins_over_a_file_of_a_time_to_come(cell, roots, store):
    before = run(cell, roots)
    for trial in cell.trials():
        (url,) = curves.files_of_trial(trial.folder(store.curves), trial.id("synthetic"))
        old = dict(before[trial]) | {"train/loss": before[trial]["train/loss"] + 1}
        storage.remove(url)
        name = curves.curve_filename(trial.id("synthetic"), datetime(2099, 1, 1, tzinfo=UTC))
        storage.write_npz(storage.join_url(trial.folder(store.curves), name), old)
    results(job_of(cell, roots, rerun="all", run="now"))
    for trial, curve in run(cell, roots).items():
        np.testing.assert_array_equal(curve["train/loss"], before[trial]["train/loss"])


def test_outcomes_are_of_the_trials_of_the_job_alone(cell, roots, store):
    """A killed run has recorded one curve of its group, which another runner must train as a whole."""
    job = job_of(cell, roots)
    (group,) = gather(job, CPU).free
    told = storage.read_json(group.url)
    whole = run(cell, roots)
    lost = cell.trials()[0]
    for url in curves.files_of_trial(lost.folder(store.curves), lost.id("synthetic")):
        storage.remove(url)
    storage.write_json(group.url, told)
    found = results(job_of(cell, roots))
    assert found.keys() == {lost}
    np.testing.assert_array_equal(found[lost]["train/loss"], whole[lost]["train/loss"])
    assert left(store) == set()
