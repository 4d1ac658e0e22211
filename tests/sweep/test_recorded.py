"""Which trials are recorded."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from cells import damage, run

from optsuite import curves, storage
from optsuite.curves import Curve
from optsuite.errors import StorageError
from optsuite.hparam_sets import Schedule
from optsuite.storage import CorruptFileError
from optsuite.sweep import missing_trials, recorded


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


def file_of(store, trial):
    (url,) = curves.files_of_trial(trial.folder(store.curves), trial.id("synthetic"))
    return url


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train/xs": np.arange(2), "train/loss": np.ones(2, np.float32)}, r"`train/xs` needs shape \(3,\)"),
        ({"seed": 1}, "trial: needed seed 0, synthetic data, precision float32, got seed 1"),
        ({"precision": "bf16"}, "got seed 0, synthetic data, precision bf16"),
        ({"data_source": "real"}, "got seed 0, real data"),
    ],
)
def test_a_curve_that_is_not_its_trials_is_corrupt_and_repaired(cell, roots, store, changes, message):
    run(cell, roots)
    bad = cell.trials()[0]
    url = file_of(store, bad)
    storage.write_npz(url, {**storage.read_npz(url), **changes})
    outcome, *fine = recorded(cell.trials(), store, "synthetic")
    assert all(isinstance(one.result, Curve) for one in fine)
    with pytest.raises(CorruptFileError, match=message):
        raise outcome.result
    assert missing_trials(cell.trials(), store, "synthetic", "failed") == [bad]
    run(cell, roots)
    outcome, *_ = recorded(cell.trials(), store, "synthetic")
    assert isinstance(outcome.result, Curve)


def test_failed_leaves_files_of_other_trials_alone(cell, roots, store):
    run(cell, roots)
    url = f"{cell.trials()[0].folder(store.curves)}/20260101_000000_aaaaaaaaaa.curves"
    storage.write_bytes(url, b"bad")
    assert missing_trials(cell.trials(), store, "synthetic", "failed") == []
    assert storage.exists(url)


def test_a_store_that_cannot_be_read_is_no_reason_to_train_again(cell, roots, store, monkeypatch):
    run(cell, roots)

    def fail(url):
        raise StorageError(f"cannot read `{url}`: gone")

    monkeypatch.setattr("optsuite.curves._read._read_once", fail)
    assert missing_trials(cell.trials(), store, "synthetic", "failed") == []
    (told, *_) = recorded(cell.trials(), store, "synthetic")
    assert str(told.result).endswith("gone")


def test_a_readable_twin_is_taken_rather_than_a_newer_damaged_one(cell, roots, store):
    run(cell, roots)
    trial = cell.trials()[0]
    newer = f"{trial.folder(store.curves)}/20990101_000000_{trial.id('synthetic')}.curves"
    storage.write_bytes(newer, b"bad")
    assert isinstance(recorded([trial], store, "synthetic")[0].result, Curve)
    assert missing_trials([trial], store, "synthetic", "failed") == []
    assert not storage.exists(newer)


def test_a_curve_too_large_to_be_read_is_refused_before_it_is_trained(cell, store):
    trial = replace(cell.trials()[0], schedule=Schedule(10_000_000))
    with pytest.raises(StorageError, match=r"the curve of 10,000,000 steps .* is too large"):
        missing_trials([trial], store, "synthetic")
