"""Runners that share a store: each trial is trained by one of them, and what another trains is awaited."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import time

import pytest
from cells import CPU, TASK, counted_steps

from optsuite import backends, storage, sweep, trainer
from optsuite.backends import StoreGoneError
from optsuite.curves import Curve
from optsuite.hparam_sets import get_hparam_set
from optsuite.runner import Outcomes, Runner, RunOptions, Said, _runner
from optsuite.storage import Owner
from optsuite.sweep import Cell, gather, prepare


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(_runner, "_AWAIT_SECONDS", 0.02)


@pytest.fixture
def cells():
    return [Cell(TASK, get_hparam_set(f"TinyLR_{steps}_R2")) for steps in (3, 4, 5)]


@pytest.fixture
def make(roots):
    """Make a runner of cells; it and its events."""

    def make(*cells):
        events = []
        options = RunOptions(storage=roots[0], data="synthetic", device="cpu", report=False)
        runner = Runner(options, events.append)
        runner.take({cell: list(cell.hparam_set.configs) for cell in cells})
        return runner, events

    return make


@pytest.fixture
def steps(monkeypatch):
    """Trial-steps that were trained, block by block."""
    return counted_steps(monkeypatch)


def needed(*cells):
    return sum(trial.schedule.num_steps + 1 for cell in cells for trial in cell.trials())


def outcomes_of(events):
    told = [outcome for event in events if isinstance(event, Outcomes) for outcome in event.outcomes]
    assert len({outcome.trial for outcome in told}) == len(told), "a trial was told twice"
    return {outcome.trial: outcome.result for outcome in told}


def said(events):
    return [event.line for event in events if isinstance(event, Said)]


def claim_of(cell, roots, owner):
    """Let another process train a cell."""
    job, _ = prepare(cell, cell.hparam_set.configs, roots=roots, mode="synthetic")
    (group,) = gather(job, CPU).free
    told = {"owner": owner.to_json(), "since": time.time(), "renewed": time.time(), "facts": {}}
    storage.write_bytes(f"{group.stem}.claim.1", json.dumps(told).encode())
    return f"{group.stem}.claim.1"


def run_cells(root, names, log):
    """Run cells in this process; log the digest of each curve, and how many trial-steps were trained."""
    events, trained, advance = [], 0, trainer.GridRun.advance

    def counting(self, state, stop=None):
        nonlocal trained
        after = advance(self, state, stop)
        trained += after.trial_steps - state.trial_steps
        return after

    trainer.GridRun.advance = counting
    runner = Runner(RunOptions(storage=root, data="synthetic", device="cpu", report=False), events.append)
    cells = [Cell(TASK, get_hparam_set(name)) for name in names]
    runner.take({cell: cell.hparam_set.configs for cell in cells})
    runner.train_all()
    losses = {
        trial.id("synthetic"): hashlib.sha256(curve["train/loss"].tobytes()).hexdigest()
        for trial, curve in outcomes_of(events).items()
    }
    log.write_text(json.dumps([trained, losses]))


def test_two_runners_train_each_trial_once_and_both_get_all_curves(tmp_path):
    names = ["SGDLR_20_R1", "SGDMLR_20_R1", "SignumLR_20_R1"]
    context = multiprocessing.get_context("forkserver")
    logs = [tmp_path / "one.json", tmp_path / "two.json"]
    orders = [names, names[::-1]]
    runners = [
        context.Process(target=run_cells, args=(str(tmp_path / "store"), order, log))
        for order, log in zip(orders, logs, strict=True)
    ]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()
    (first, of_first), (second, of_second) = (json.loads(log.read_text()) for log in logs)
    assert of_first == of_second
    assert len(of_first) == 3 * 15
    assert first + second == 3 * 15 * 21


def test_who_waits_trains_other_cells_first_and_says_once_for_whom(cells, make, roots, steps, monkeypatch):
    url = claim_of(cells[0], roots, Owner("another-machine", 7, 5.0))
    runner, events = make(*cells)
    slept = []

    def sleep(_seconds):
        slept.append(sum(steps))
        if len(slept) == 3:
            storage.remove(url)  # its owner gives up

    monkeypatch.setattr(_runner.time, "sleep", sleep)
    runner.train(cells[0], cells[0].hparam_set.configs)
    assert slept == [needed(*cells[1:])] * 3
    (line,) = said(events)
    assert line.startswith(
        f"{cells[0].name}: 4 trials not trained here: it is trained by process 7 on another"
    )
    assert line.endswith("its curves are awaited")
    assert all(isinstance(result, Curve) for result in outcomes_of(events).values())
    assert sum(steps) == needed(*cells)


def test_what_a_dead_owner_left_is_gone_on_with(cells, make, roots, steps):
    claim_of(cells[0], roots, Owner.here()._replace(pid=2**31 - 1))
    runner, events = make(cells[0])
    runner.train_all()
    assert said(events) == []
    assert outcomes_of(events).keys() == set(cells[0].trials())
    assert sum(steps) == needed(cells[0])


def test_groups_of_killed_runs_that_overlap_go_with_the_last_of_their_curves(cells, make, roots):
    """Of a run of all and one of a part, whoever asks for all again goes on with one of the two."""
    cell = cells[0]
    for configs in (cell.hparam_set.configs, cell.hparam_set.configs[:1]):
        gather(prepare(cell, configs, roots=roots, mode="synthetic")[0], CPU)
    runner, _ = make(cell)
    runner.train_all()
    job, _ = prepare(cell, cell.hparam_set.configs, roots=roots, mode="synthetic")
    assert storage.list_files(sweep.groups_dir(job.store, TASK), "") == []


def test_a_store_that_goes_ends_the_run_with_one_error_for_all_that_is_left(cells, make, steps, monkeypatch):
    def gone(*_, **__):
        raise storage.UnreachableError("the disk is full")

    runner, events = make(*cells)
    monkeypatch.setattr("optsuite.curves.write_curve", gone)
    runner.train_all()
    results = outcomes_of(events)
    assert results.keys() == {trial for cell in cells for trial in cell.trials()}
    assert {type(result) for result in results.values()} == {StoreGoneError}
    assert sum(steps) == needed(cells[0])
    assert isinstance(runner.gone, StoreGoneError)
    opened = []
    monkeypatch.setattr(backends, "open_backend", lambda *_: opened.append(1))
    runner.train(cells[1], cells[1].hparam_set.configs)
    assert (sum(steps), opened) == (needed(cells[0]), [])
    runner.close()
