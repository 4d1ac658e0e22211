"""Every back end is opened by its name, and takes the work of the runner."""

from __future__ import annotations

import gc

import pytest

from optsuite import choices
from optsuite.backends import BackendOptions, Site, count_workers, open_backend
from optsuite.curves import Curve
from optsuite.sweep import prepare


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", choices.BACKENDS)
def test_every_name_opens(name):
    """What is opened has as many workers as were announced."""
    if name == "dask":
        pytest.importorskip("distributed")
    options = BackendOptions(backend=name, workers=1)
    backend = open_backend(options, Site.of_this_process(), lambda *_: None, lambda _line: None)
    backend.close()
    assert backend.num_workers == count_workers(options) == 1
    gc.collect()  # what a cluster leaves open is no other test's


def test_a_back_end_that_is_not_concurrent_forgets_its_jobs_when_closed(cell, roots):
    options = BackendOptions(device="cpu")
    backend = open_backend(options, Site.of_this_process(), lambda *_: None, lambda _line: None)
    job, _ = prepare(cell, cell.hparam_set.configs, roots=roots, mode="synthetic")
    backend.submit(job)
    ((ended, outcomes),) = backend.as_completed()
    assert ended == job
    assert all(isinstance(outcome.result, Curve) for outcome in outcomes)
    backend.submit(job)
    backend.close()
    assert list(backend.as_completed()) == []
