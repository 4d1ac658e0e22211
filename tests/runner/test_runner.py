"""The runner: which events it tells, and what it leaves."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pytest
from cells import TASK, damage

from optsuite import backends, storage
from optsuite.backends._local import LocalBackend
from optsuite.curves import Curve
from optsuite.errors import DataError, OptsuiteError, StorageError, UnsupportedError
from optsuite.hparam_sets import get_hparam_set
from optsuite.runner import (
    Ended,
    Outcomes,
    Progress,
    Runner,
    RunOptions,
    Started,
    Warned,
    result_of,
)
from optsuite.sweep import Cell, missing_trials


@pytest.fixture
def events():
    return []


@pytest.fixture
def make(root, events):
    """Make a runner that trains stand-ins into memory."""

    def make(**options):
        defaults = {"storage": f"{root}/curves", "data": "synthetic", "device": "cpu", "report": False}
        return Runner(RunOptions(**defaults | options), events.append)

    return make


@pytest.fixture
def other():
    return Cell(TASK, get_hparam_set("TinyLR_3_R1"))


class ConcurrentBackend(LocalBackend):
    """Wants all jobs at once, as those of other processes do."""

    is_concurrent = True
    num_workers = 4


@pytest.fixture
def concurrent(monkeypatch):
    """A back end that takes all jobs at once; the jobs that it was given."""
    jobs = []

    def open_backend(*args):
        backend = ConcurrentBackend(*args)
        submit = backend.submit
        monkeypatch.setattr(backend, "submit", lambda job: (jobs.append(job), submit(job)), raising=False)
        return backend

    monkeypatch.setattr(backends, "open_backend", open_backend)
    return jobs


def configs_of(*cells):
    return {cell: list(cell.hparam_set.configs) for cell in cells}


def of_kind(events, *kinds):
    return [event for event in events if isinstance(event, kinds)]


def outcomes_of(events):
    return {outcome.trial: outcome for event in of_kind(events, Outcomes) for outcome in event.outcomes}


def results_of(events, *cells):
    outcomes = outcomes_of(events)
    return [result_of(cell, config, outcomes) for cell in cells for config in cell.hparam_set.configs]


def marks(store):
    names = fsspec.filesystem("memory").ls(store.curves, detail=False)
    return [name for name in names if "/.optsuite_session_" in name]


def test_a_cell_is_started_told_of_and_ended(make, cell, events):
    runner = make()
    runner.take(configs_of(cell))
    runner.train_all()
    kinds = [type(event) for event in events]
    assert kinds[0] is Started
    assert kinds[-2:] == [Outcomes, Ended]
    assert events[0] == Started(cell, 12)
    assert of_kind(events, Progress)[-1] == Progress(cell, 12, 12)
    assert events[-1] == Ended(cell, 4, 4)
    assert outcomes_of(events).keys() == set(cell.trials())


def test_what_is_recorded_is_told_and_not_started(make, cell, events):
    for _ in range(2):
        events.clear()
        runner = make()
        runner.take(configs_of(cell))
        runner.train_all()
    assert [type(event) for event in events] == [Outcomes, Ended]
    assert events[1] == Ended(cell, 0, 0)
    assert not any(outcome.is_new for outcome in events[0].outcomes)


def test_the_configs_that_were_taken_train_together_and_no_other_cell(make, cell, other, events):
    runner = make()
    runner.take(configs_of(cell, other))
    first, second = cell.hparam_set.configs
    runner.train(cell, [first])
    runner.train(cell, [second])
    assert of_kind(events, Started, Ended) == [Started(cell, 12), Ended(cell, 4, 4)]


def test_a_config_that_was_not_taken_trains_when_it_is_asked_for(make, cell, events):
    first, second = cell.hparam_set.configs
    runner = make()
    runner.take({cell: [first]})
    runner.train(cell, [first])
    assert {trial.config for trial in outcomes_of(events)} == {first}
    runner.train(cell, [second])
    assert outcomes_of(events).keys() == set(cell.trials())


def test_a_concurrent_back_end_gets_all_cells_at_once_in_parts(make, cell, other, events, concurrent):
    runner = make(backend="process")
    runner.take(configs_of(cell, other))
    runner.train(other, other.hparam_set.configs)
    assert [(job.name, job.part) for job in concurrent] == [
        (cell.name, 0),
        (cell.name, 1),
        (other.name, 0),
        (other.name, 1),
    ]
    assert of_kind(events, Started, Ended) == [
        Started(cell, 12),
        Started(other, 8),
        Ended(cell, 4, 4),
        Ended(other, 2, 2),
    ]
    done = [event.num_done for event in of_kind(events, Progress) if event.cell == cell]
    assert done == sorted(done)
    assert done[-1] == 12


def test_no_mark_stays_in_a_store(make, cell, store, concurrent):
    runner = make(backend="process")
    runner.take(configs_of(cell))
    runner.train_all()
    assert len(marks(store)) == 1
    runner.close()
    assert marks(store) == []


def test_no_mark_stays_if_closing_is_interrupted(make, cell, store, concurrent, monkeypatch):
    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(ConcurrentBackend, "close", interrupted, raising=False)
    runner = make(backend="process")
    runner.take(configs_of(cell))
    runner.train_all()
    with pytest.raises(KeyboardInterrupt):
        runner.close()
    assert marks(store) == []


def test_an_interrupt_keeps_what_was_recorded(make, cell, other, events, store, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    runner = make()
    runner.take(configs_of(cell, other))
    runner.train(cell, cell.hparam_set.configs)
    monkeypatch.setattr("optsuite.trainer.run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        runner.train(other, other.hparam_set.configs)
    runner.close()
    runner.build([cell, other], results_of(events, cell), command="x", preset="full", with_report=False)
    assert missing_trials(cell.trials(), store, "synthetic") == []
    assert runner.archived == [cell]


def test_a_cell_without_its_data_fails_alone(make, cell, events, monkeypatch):
    lacking = Cell("ImageMLP_Cifar10_8_Relu32", cell.hparam_set)
    sources = {"fashion_mnist": "synthetic"}

    def resolve(name, mode):
        if name not in sources:
            raise DataError(f"{name} is not there")
        return sources[name]

    monkeypatch.setattr("optsuite.data.resolve_source", resolve)
    runner = make()
    planned = runner.plan(configs_of(lacking, cell))
    assert list(planned.cells) == [cell]
    assert {one.name: str(error) for one, error in planned.without_data.items()} == {
        lacking.name: "cifar10 is not there"
    }
    runner.take(configs_of(lacking, cell))
    runner.train_all()
    results = {trial.task_name: type(o.result) for trial, o in outcomes_of(events).items()}
    assert results == {lacking.task_name: DataError, cell.task_name: Curve}
    runner.build([lacking, cell], results_of(events, lacking, cell), command="x", preset="full")
    assert runner.archived == [cell]


def test_a_plan_keeps_what_fits_the_budget(make, cell, other):
    cells = configs_of(cell, other)
    assert make().plan(cells).over_budget == ()
    planned = make(budget=3600.0).plan(cells)
    assert list(planned.cells) == [cell, other]
    with pytest.raises(OptsuiteError, match="no cell fits a budget"):
        make(budget=1e-9).plan(cells)


def test_what_nobody_can_do_is_refused_at_once(make):
    with pytest.raises(OptsuiteError, match="a budget needs to know the machines"):
        make(budget=60.0, dask_address="tcp://127.0.0.1:1")
    with pytest.raises(OptsuiteError, match="cannot train on device `toaster`"):
        make(device="toaster")
    with pytest.raises(UnsupportedError, match="tf32"):
        make(precision="tf32")


def test_a_place_that_cannot_be_written_is_found_before_training(make, cell, tmp_path):
    (tmp_path / "file").touch()
    runner = make(storage=f"{tmp_path}/file/here")
    runner.take(configs_of(cell))
    with pytest.raises(StorageError, match="cannot write to"):
        runner.connect()


@pytest.mark.parametrize("root", ["curves", "archives"])
def test_a_task_whose_results_cannot_be_written_is_found_before_training(make, cell, store, root):
    folder = Path(getattr(store, root)) / cell.task_name
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.symlink_to("nowhere")
    runner = make()
    runner.take(configs_of(cell))
    with pytest.raises(StorageError, match=f"cannot write to `.*/{cell.task_name}"):
        runner.connect()
    runner.close()


def test_a_cell_that_lost_a_curve_is_not_archived_though_an_older_archive_is_there(make, cell, events, store):
    for is_damaged in (False, True):
        if is_damaged:
            damage(store, cell.trials()[0])
        events.clear()
        runner = make()
        runner.take(configs_of(cell))
        runner.train_all()
        runner.build([cell], results_of(events, cell), command="x", preset="full")
        assert runner.archived == ([] if is_damaged else [cell])
    assert storage.exists(storage.archive_path(TASK, cell.hparam_set.name, store.archives))


def test_what_cannot_be_built_is_a_warning(make, cell, events, monkeypatch):
    def broken(*_, **__):
        raise ArithmeticError("no ink")

    monkeypatch.setattr("optsuite.report.write_report", broken)
    runner = make(report=True)
    runner.take(configs_of(cell))
    runner.train_all()
    runner.build([cell], results_of(events, cell), command="x", preset="full")
    (warning,) = of_kind(events, Warned)
    assert warning.text.startswith("no report: ")
    assert warning.text.endswith("no ink")
    assert runner.warnings == [warning.text]
    assert runner.report is None
    assert runner.archived == [cell]
