"""status: what is recorded, diverged, failed, being trained and stopped, as the store tells it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from cells import CPU, TASK, family, run, store, tables

from optsuite import data, storage, sweep
from optsuite.cli import main
from optsuite.curves import files_of_trial
from optsuite.hparam_sets import get_hparam_set, register_family
from optsuite.storage import Owner, Store
from optsuite.sweep import Cell, gather, note_failure, prepare

__all__ = ["store", "tables"]

SET = "TinyLR_2_R2"


@pytest.fixture
def cell():
    return Cell(TASK, get_hparam_set(SET))


@pytest.fixture
def roots(tmp_path):
    return str(tmp_path / "curves"), None


@pytest.fixture
def status(roots, capsys):
    """Run the command: its status, the cells of each row, and the lines below the table."""

    def status(*args):
        capsys.readouterr()
        code = main(["status", *args, "--storage", roots[0]])
        out, err = capsys.readouterr()
        table, _, below = out.partition("\n\n")
        rows = [line.split("  ") for line in table.splitlines()[1:]]
        rows = [[word.strip() for word in row if word.strip()] for row in rows]
        # SGDLR has configs of the same names, which are the same trials.
        return code, [row for row in rows if row[1] != "SGDLR_2_R2"], below + err

    return status


def job_of(cell, roots):
    return prepare(cell, cell.hparam_set.configs, roots=roots, mode="synthetic")[0]


def write_claim(group, owner, **facts):
    told = {"owner": owner.to_json(), "since": 1.0e9, "renewed": time.time(), "facts": facts}
    storage.write_bytes(f"{group.stem}.claim.1", json.dumps(told).encode())


def row(counts, kind="stand-in"):
    return [TASK, SET, kind, *counts]


def test_an_empty_store_is_told(status):
    code, _, said = status()
    assert code == 1
    assert "nothing is recorded or being trained of these in" in said


def test_what_is_recorded_and_what_diverged(cell, roots, status):
    register_family(family("WildLR", "SGD_lr0.1", "SGD_lr1e30"))
    run(cell, roots)
    run(Cell(TASK, get_hparam_set("WildLR_2_R2")), roots)
    code, rows, below = status()
    assert code == 0
    assert row(["4 of 4", "-", "-", "-", "-"]) in rows
    assert [TASK, "WildLR_2_R2", "stand-in", "4 of 4", "2", "-", "-", "-"] in rows
    assert below == ""


def test_who_trains_since_when_and_how_far(cell, roots, status):
    (group,) = gather(job_of(cell, roots), CPU).free
    write_claim(group, Owner("node-3-0123456789ab", 77, 5.0), done=1200, total=5000)
    _, rows, below = status()
    assert rows == [row(["0 of 4", "-", "-", "4", "-"])]
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(1.0e9))
    assert f"{cell.name}: 4 trials trained by process 77 on node-3 since {since}" in below
    assert "1,200 of 5,000 trial-steps of its job, nothing saved yet" in below


def test_what_was_stopped_and_what_a_dead_process_left(cell, roots, status):
    (group,) = gather(job_of(cell, roots), CPU).free
    storage.write_bytes(group.state_url, b"")
    _, rows, below = status()
    assert rows == [row(["0 of 4", "-", "-", "-", "4"])]
    assert "4 trials stopped, saved: run again to go on" in below
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    write_claim(group, Owner.here()._replace(pid=process.pid))
    _, rows, below = status()
    assert rows == [row(["0 of 4", "-", "-", "-", "4"])]
    assert f"left by process {process.pid} on " in below
    assert "which died, saved: run again to go on" in below


def test_what_failed_and_why(cell, roots, status):
    first, second, third, _ = cell.trials()
    run(cell, roots)
    job = job_of(cell, roots)
    for trial in (first, second):
        (url,) = files_of_trial(trial.folder(job.store.curves), trial.id("synthetic"))
        storage.remove(url)
        note_failure(job, trial, ArithmeticError("the \x1b[31mloss\x00 is broken"))
    (url,) = files_of_trial(third.folder(job.store.curves), third.id("synthetic"))
    storage.write_bytes(url, b"no curve")
    _, rows, below = status(TASK, SET)
    assert rows == [row(["1 of 4", "-", "3", "-", "-"])], below
    assert "2 trials failed: 'ArithmeticError: the \\x1b[31mloss\\x00 is broken'" in below
    assert "1 trial failed: " in below
    assert "run once more with --rerun failed" in below
    assert "\x1b" not in below


def test_both_kinds_of_data_are_told(cell, roots, status):
    real = Store.at(*roots, "real")
    run(cell, roots)
    synthetic = Store.at(*roots, "synthetic")
    for trial in cell.trials():
        for url in storage.list_files(trial.folder(synthetic.curves), ".curves"):
            arrays = dict(storage.read_npz(url)) | {"data_source": "real"}
            name = url.rpartition("/")[2]
            storage.write_npz(storage.join_url(trial.folder(real.curves), name), arrays)
    _, rows, _ = status()
    assert rows == [row(["4 of 4", "-", "-", "-", "-"], "real"), row(["4 of 4", "-", "-", "-", "-"])]
    assert status("--data=real")[1] == [row(["4 of 4", "-", "-", "-", "-"], "real")]
    assert status("Nothing*")[0] == 1
    assert status("*", "TinyLR*")[1] == rows


def test_a_machine_without_the_data_tells_the_same(cell, roots, status, monkeypatch):
    """There the ids of trials are not known."""
    run(cell, roots)
    job = job_of(cell, roots)
    first, second, *_ = cell.trials()
    for trial in cell.trials([first.config]):
        for url in storage.list_files(trial.folder(job.store.curves), ".curves"):
            storage.remove(url)
    (group,) = gather(job_of(cell, roots), CPU).free
    write_claim(group, Owner("elsewhere-0", 7, 5.0))
    note_failure(job, second, ArithmeticError("broken"))
    before = status()
    monkeypatch.setattr("optsuite.data.fingerprint", lambda *_: data.ABSENT)
    assert status() == before
    assert before[1] == [row(["2 of 4", "-", "1", "2", "-"])]


def test_files_that_say_odd_things_cost_nothing_but_themselves(cell, roots, status):
    run(cell, roots)
    job = job_of(cell, roots)
    folder = sweep.groups_dir(job.store, TASK)
    (group,) = gather(replace(job, trials=job.asked, rerun="all"), CPU).free
    told = storage.read_json(group.url)
    for number, odd in enumerate(
        [
            {"cell": f"{TASK}-AdamLR_10_R999999999"},
            {"cell": f"{TASK}-AdamLR_999999999999_R1"},
            {"cell": f"{TASK}-NothingLR_10_R1"},
            {"cell": f"{TASK}-\x1b[31m"},
            {"trials": ["0" * 10**5]},
            {"layout": None},
        ]
    ):
        storage.write_json(f"{folder}/odd{number}.group", told | odd)
    for number, content in enumerate((b"", b"[" * 10**5, b'{"cause": {}}', b'{"cell": 1, "cause": 2}')):
        storage.write_bytes(f"{folder}/{number}.failure", content)
        storage.write_bytes(f"{folder}/odd0.claim.{number + 1}", content)
    code, rows, below = status()
    assert code == 0
    assert rows == [row(["4 of 4", "-", "-", "-", "-"])]
    assert "AdamLR_10_R999999999: not known here: needed at most 10,000 repetitions" in below
    assert "NothingLR_10_R1: not known here: unknown hparam set" in below
    assert "too large" in below
    assert "\x1b" not in below


@pytest.mark.parametrize(
    "changes",
    [
        {"facts": {"done": 10**200, "total": "many"}},
        {"facts": {"done": None}},
        {"facts": [1]},
        {"since": 1e300},
        {"since": -5},
        {"renewed": "soon"},
        {"owner": {"host": "\x1b[31m", "pid": 1, "started": 0}},
        {"owner": 3},
    ],
    ids=str,
)
def test_a_claim_that_says_odd_things_is_told_without_them(changes, cell, roots, status):
    (group,) = gather(job_of(cell, roots), CPU).free
    owner = Owner("node-1", 7, 5.0).to_json()
    told = {"owner": owner, "since": 1.0e9, "renewed": time.time(), "facts": {}} | changes
    storage.write_bytes(f"{group.stem}.claim.1", json.dumps(told).encode())
    code, rows, below = status()
    assert code == 0
    assert rows == [row(["0 of 4", "-", "-", "4", "-"])]
    assert f"{cell.name}: 4 trials trained by " in below
    assert "0 of 0 trial-steps" in below
    assert "\x1b" not in below


def test_a_store_that_cannot_be_reached_is_an_error(cell, roots, status, monkeypatch):
    run(cell, roots)

    def gone(*_, **__):
        raise storage.UnreachableError("it is gone")

    monkeypatch.setattr("optsuite.sweep._status.missing_trials", gone)
    code, _, said = status()
    assert (code, said) == (1, "error: it is gone\n")
