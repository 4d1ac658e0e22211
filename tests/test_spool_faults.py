"""The spool before a store that is gone, comes back faulty, and is written to by others."""

from __future__ import annotations

import pytest
from examples import make_trial
from test_spool import by_trial, kept_files, recorded
from test_storage_faults import HASTY, KINDS, PATIENT, faulty, proxy  # noqa: F401 - fixtures

from optsuite import curves, spool
from optsuite.storage import UnreachableError, _patience

ROOT = "s3://faulty/runs"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_curves_outlast_a_store_that_is_gone_for_a_while(faulty, monkeypatch):  # noqa: F811
    trials = [make_trial("SGD_lr1", {"lr": 1}, seed) for seed in range(6)]
    monkeypatch.setattr(_patience, "WRITING", HASTY)
    monkeypatch.setattr(_patience, "READING", HASTY)
    faulty.share, faulty.kinds = 1, ("reset",)
    with pytest.raises(UnreachableError):
        curves.write_curve(trials[0], ROOT)
    for one in trials:
        spool.keep(one, ROOT)
    done = spool.upload(ROOT)
    assert done.urls == {}
    assert done.problems[0].startswith(f"6 curves wait for `{ROOT}`: cannot ")
    assert len(kept_files()) == 6

    monkeypatch.setattr(_patience, "WRITING", PATIENT)
    monkeypatch.setattr(_patience, "READING", PATIENT)
    faulty.share, faulty.kinds = 0.3, KINDS
    done = spool.upload(ROOT)
    assert done.problems == []
    assert len(done.urls[ROOT]) == 6
    assert kept_files() == []
    assert sum(faulty.faults.values()) > 10
    faulty.share = 0
    assert recorded(ROOT) == by_trial(*trials)
