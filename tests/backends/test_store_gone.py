"""A store that goes while a job trains: the run ends, and no curve is lost."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from pathlib import Path

import pytest
import s3fs
from cells import CPU, TASK, run
from moto.server import ThreadedMotoServer

from optsuite import spool, storage
from optsuite.backends import StoreGoneError, run_job
from optsuite.errors import StorageError
from optsuite.hparam_sets import Config, Family, get_hparam_set, register_family
from optsuite.storage import Store
from optsuite.sweep import Cell, missing_trials, prepare


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """A spool of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def mixed():
    """A cell of two programs, so that it has two groups."""
    configs = [Config(f"{name}_lr0.1", name, {"lr": 0.1}) for name in ("SGD", "Adam")]
    register_family(Family("MixedLR", "Mixed", lambda: configs))
    return Cell(TASK, get_hparam_set("MixedLR_2_R2"))


@contextmanager
def full(*folders):
    """Let the disks of folders be full."""
    replace = Path.replace

    def fail(self, target):
        if any(Path(target).is_relative_to(folder) for folder in folders):
            raise OSError(errno.ENOSPC, "no space left on device")
        return replace(self, target)

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(Path, "replace", fail)
        yield


def collected(cell, roots, tell=lambda *_: None):
    """Train until the store is gone: the outcomes until then, and the error."""
    job, _ = prepare(cell, cell.hparam_set.configs, roots=roots, mode="synthetic")
    outcomes, running = [], run_job(job, device=CPU, tell=tell)
    with pytest.raises(StoreGoneError) as error:
        outcomes.extend(running)
    return outcomes, str(error.value)


def test_a_full_disk_sends_the_curves_of_the_group_to_the_spool_and_trains_no_other(mixed, tmp_path):
    root = str(tmp_path / "curves")
    with full(f"{root}_synthetic/{TASK}"):
        outcomes, why = collected(mixed, (root, None))
    assert "no space left" in why
    assert len(outcomes) == 2  # of one group of two
    for outcome in outcomes:
        assert isinstance(outcome.result, StoreGoneError)
        assert "no space left" in str(outcome.result)
        assert "its curve is kept in" in str(outcome.result)
        assert "`optsuite upload`" in str(outcome.result)
    (waiting,) = spool.waiting()
    assert len(waiting.files) == 2
    uploaded = spool.upload()
    assert not uploaded.problems
    store = Store.at(root, None, "synthetic")
    trained = {outcome.trial for outcome in outcomes}
    assert set(missing_trials(mixed.trials(), store, "synthetic")) == set(mixed.trials()) - trained
    assert spool.waiting() == []


def test_where_the_spool_cannot_be_written_either_it_says_so(cell, tmp_path):
    root = str(tmp_path / "curves")
    with full(f"{root}_synthetic/{TASK}", tmp_path / "cache"):
        outcomes, _ = collected(cell, (root, None))
    assert len(outcomes) == 4
    assert all("its curve is lost (" in str(outcome.result) for outcome in outcomes)


def test_a_server_that_goes_while_a_cell_trains(cell, monkeypatch):
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    for name, value in {
        "AWS_ENDPOINT_URL": "http://{}:{}".format(*server.get_host_and_port()),
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    s3fs.S3FileSystem().mkdir("goes")
    stopped = []

    def stop(*_):
        if not stopped:
            stopped.append(True)
            server.stop()

    outcomes, why = collected(cell, ("s3://goes/curves", None), tell=stop)
    s3fs.S3FileSystem.clear_instance_cache()
    assert why.startswith("cannot ")
    assert [type(outcome.result) for outcome in outcomes] == [StoreGoneError] * 4
    (waiting,) = spool.waiting("s3://goes/curves_synthetic")
    assert len(waiting.files) == 4


@pytest.mark.parametrize("verb", ["create", "exists", "missing_trials"])
def test_a_store_that_is_gone_before_anything_trained_is_told_likewise(verb, cell, roots, monkeypatch):
    def gone(*_, **__):
        raise storage.UnreachableError("cannot reach it")

    job, _ = prepare(cell, cell.hparam_set.configs, roots=roots, mode="synthetic")
    place = "optsuite.sweep.missing_trials" if verb == "missing_trials" else f"optsuite.storage.{verb}"
    monkeypatch.setattr(place, gone)
    with pytest.raises(StoreGoneError, match="cannot reach it"):
        list(run_job(job, device=CPU))


def test_a_reason_that_cannot_be_noted_is_still_the_outcome(cell, roots, monkeypatch):
    def broken(*_, **__):
        raise ArithmeticError("broken")

    def unnoted(*_):
        raise StorageError("the disk is full")

    monkeypatch.setattr("optsuite.trainer._run._train", broken)
    monkeypatch.setattr("optsuite.sweep.note_failure", unnoted)
    outcomes = run(cell, roots)
    assert {str(error) for error in outcomes.values()} == {"broken"}
