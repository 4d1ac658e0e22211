"""Which trials are recorded."""

from __future__ import annotations

from cells import damage, run

from optsuite import storage
from optsuite.sweep import missing_trials


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
