"""Back ends: the same curves from processes and from a cluster, and what happens when one of them dies."""

from __future__ import annotations

import gc
import os
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

from optsuite import backends, storage, sweep
from optsuite.backends import BackendOptions
from optsuite.errors import RemoteError
from optsuite.hparam_sets import Config, Schedule, Trial

from .conftest import EXTENSIONS, LABELS, TASK, read_curves, text

distributed = pytest.importorskip("distributed")

# What a user's conftest may register: networks that are broken, or take their process with them.
ODD = """
import os, signal


def deadly(outputs, batch):
    if outputs.device.type != "meta":
        os.kill(os.getpid(), signal.SIGKILL)
    return fashion.loss_fn(outputs, batch)


register_task(replace(fashion, name="OddBroken", loss_fn=breaks_in_training))
register_task(replace(fashion, name="OddDeadly", loss_fn=deadly))
register_task(replace(fashion, name="OddGood"))
register_task(replace(fashion, name="OddGoodToo"))
"""
GOOD = ("OddGood", "OddGoodToo")


def run(bench, backend, *args, **options):
    """A session of its own: what a back end starts is not for a process of tests."""
    options = bench.args(f"--opt-backend={backend}", "--opt-workers=2", *args, **options)
    return bench.pytester.runpytest_subprocess("-p", "no:hypothesispytest", *options)


def assert_nothing_is_left(bench):
    assert not list(bench.path.rglob(".optsuite_session_*"))


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["process", "dask"])
def test_what_fails_elsewhere_is_told_and_the_rest_is_as_in_a_local_session(backend, bench):
    bench.pytester.makeconftest(EXTENSIONS + ODD)
    result = run(bench, backend, "-rf", tasks="Odd*", storage="elsewhere")
    result.assert_outcomes(passed=4, failed=4)
    printed = text(result)
    where = "process [01]" if backend == "process" else r"Dask worker tcp://[\d.:]+"
    assert re.search(rf"on {where}: Traceback.*ArithmeticError: the loss is broken", printed)
    assert re.search(rf"{where} was ended by SIGKILL, often for lack of memory", printed)
    assert_nothing_is_left(bench)
    bench.run(tasks="OddGood*", storage="here").assert_outcomes(passed=4)
    elsewhere, here = (read_curves(bench.path / f"{name}_synthetic") for name in ("elsewhere", "here"))
    assert len(here) == len(GOOD) * len(LABELS) * 2
    assert elsewhere.keys() == here.keys()
    for identity, curve in here.items():
        np.testing.assert_allclose(elsewhere[identity]["train/loss"], curve["train/loss"], rtol=1e-5)
    assert len(bench.archive_files) == 2 * len(GOOD)


@pytest.mark.slow
def test_a_scheduler_that_is_not_there_is_told_at_once(bench):
    result = bench.run("--opt-backend=dask", "--opt-dask-address=tcp://127.0.0.1:1")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "no Dask scheduler answers at tcp://127.0.0.1:1" in text(result)
    assert "`dask scheduler`" in text(result)
    assert not bench.curve_files
    assert_nothing_is_left(bench)


@pytest.mark.skipif(find_spec("xdist") is None, reason="no xdist")
def test_two_ways_to_spread_cells_are_one_too_many(bench):
    result = bench.run("--opt-backend=process", "-n1")
    result.assert_outcomes(errors=1)
    assert "-n and --opt-backend both spread cells over processes: choose one of them" in text(result)


def jobs(folder, num_jobs, num_steps):
    """A rate each, and two seeds."""
    store = storage.Store(str(folder / "curves"), str(folder / "archives"))
    schedule = Schedule(num_steps)
    return [
        sweep.Job(
            f"job {number}",
            TASK,
            tuple(
                Trial(
                    TASK, Config(f"SGD_lr0.{number + 1}", "SGD", {"lr": 0.1 * (number + 1)}), schedule, seed
                )
                for seed in range(2)
            ),
            store,
            "synthetic",
        )
        for number in range(num_jobs)
    ]


def site_for(store):
    site = backends.Site.of_this_process()
    site.sign(store)
    return site


def open_dask(address, site, say=print, device=None):
    options = BackendOptions(backend="dask", dask_address=address, device=device)
    return backends.open_backend(options, site, lambda *_: None, say)


def open_process(site, tell=lambda *_: None):
    return backends.open_backend(BackendOptions(backend="process", workers=1), site, tell, print)


@pytest.fixture
def cluster(environment):
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster:
        yield cluster
    gc.collect()  # what it leaves open is no other test's


leaves_sockets = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


@pytest.mark.slow
@leaves_sockets
def test_a_sweep_survives_a_worker_that_is_killed(cluster, tmp_path):
    sweep_jobs = jobs(tmp_path, num_jobs=4, num_steps=300)
    backend = open_dask(cluster.scheduler_address, site_for(sweep_jobs[0].store))
    for job in sweep_jobs:
        backend.submit(job)
    completed = backend.as_completed()
    ended = [next(completed)]  # the workers have begun others by now
    victim = next(iter(cluster.workers.values())).pid
    os.kill(victim, signal.SIGKILL)
    ended += completed
    backend.close()
    assert sorted(job.name for job, _ in ended) == [job.name for job in sweep_jobs]
    for job, outcomes in ended:
        assert not [o.result for o in outcomes if isinstance(o.result, Exception)], job.name
    recorded = Counter(
        str(storage.read_npz(str(path))["trial_id"]) for path in (tmp_path / "curves").rglob("*.curves")
    )
    assert recorded == {trial.id("synthetic"): 1 for job in sweep_jobs for trial in job.trials}


@pytest.mark.slow
@leaves_sockets
def test_jobs_take_a_gpu_each_where_workers_declare_them(cluster, tmp_path):
    scheduler = cluster.scheduler_address
    command = [sys.executable, "-m", "distributed.cli.dask_worker", scheduler, "--resources=GPU=1"]
    with subprocess.Popen([*command, "--nthreads=4", "--no-dashboard"], stderr=subprocess.DEVNULL) as worker:
        with distributed.Client(scheduler) as client:
            client.wait_for_workers(3, timeout=60)
        sweep_jobs = jobs(tmp_path, num_jobs=3, num_steps=1)
        backend = open_dask(scheduler, site_for(sweep_jobs[0].store))
        assert backend.num_workers == 1
        for job in sweep_jobs:
            backend.submit(job)
        (tagged,) = [
            address
            for address, info in backend._client.scheduler_info(n_workers=-1)["workers"].items()
            if info["resources"]
        ]
        for future in list(backend._jobs):
            distributed.wait(future, timeout=60)
            assert backend._client.who_has([future])[future.key] == (tagged,)
        for _, outcomes in backend.as_completed():
            assert not [o.result for o in outcomes if isinstance(o.result, Exception)]
        backend.close()
        without = open_dask(scheduler, site_for(sweep_jobs[0].store), device="cpu")
        assert without.num_workers == 2 + 4
        without.close()
        worker.terminate()


@pytest.mark.slow
@leaves_sockets
def test_a_cluster_without_workers_is_waited_for(environment, tmp_path):
    said = []
    with distributed.LocalCluster(n_workers=0, threads_per_worker=1, dashboard_address=":0") as cluster:

        def say(line):
            said.append(line)
            cluster.scale(2)

        backend = open_dask(cluster.scheduler_address, backends.Site.of_this_process(), say)
        assert backend.num_workers >= 1
        backend.close()
        assert said == [
            f"optsuite: no worker has joined {cluster.scheduler_address} yet: waiting for the first"
        ]


def outcomes_of(backend, job):
    backend.submit(job)
    ((_, outcomes),) = backend.as_completed()
    return [outcome.result for outcome in outcomes]


def test_a_worker_that_does_not_see_the_store_says_so(environment, tmp_path):
    (job,) = jobs(tmp_path, num_jobs=1, num_steps=1)
    backend = open_process(backends.Site.of_this_process())
    errors = outcomes_of(backend, job)
    backend.close()
    assert len(errors) == 2
    for error in errors:
        assert isinstance(error, RemoteError)
        assert re.match(
            rf"process 0 does not see the store at {job.store.curves}: choose a folder or URL", str(error)
        )


@leaves_sockets
def test_a_worker_with_other_versions_says_so(cluster, tmp_path):
    (job,) = jobs(tmp_path, num_jobs=1, num_steps=1)
    other = replace(site_for(job.store), versions={"optsuite": "0.0.1", "torch": "1.0"})
    with pytest.raises(RemoteError, match=r"Dask worker tcp://.* has .*, this process .*'torch': '1\.0'"):
        open_dask(cluster.scheduler_address, other)
    backend = open_process(other)
    (error, _) = outcomes_of(backend, job)
    backend.close()
    assert re.match(r"process 0 needs optsuite 0\.0\.1, not .* and torch 1\.0, not .*: install", str(error))


def test_a_job_that_ran_before_trains_nothing(environment, tmp_path):
    (job,) = jobs(tmp_path, num_jobs=1, num_steps=1)
    told = []
    backend = open_process(site_for(job.store), lambda *step: told.append(step))
    first = outcomes_of(backend, job)
    assert told[-1] == (job, 4, 4)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.curves")}
    assert len(files) == len(first) == 2
    del told[:]
    outcomes_of(backend, job)
    backend.close()
    assert not told
    assert files == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.curves")}


def test_a_curve_of_before_is_no_outcome_of_a_rerun(environment, tmp_path):
    (job,) = jobs(tmp_path, num_jobs=1, num_steps=1)
    list(backends.run_job(job, device="cpu"))
    backend = open_process(backends.Site.of_this_process())
    errors = outcomes_of(backend, replace(job, rerun="all"))
    backend.close()
    assert [type(error) for error in errors] == [RemoteError, RemoteError]
    assert len(list(tmp_path.rglob("*.curves"))) == 2


def test_closing_ends_what_trains(environment, tmp_path):
    job, *_ = jobs(tmp_path, num_jobs=1, num_steps=1500)
    began = threading.Event()
    backend = open_process(site_for(job.store), lambda *_: began.set())
    backend.submit(job)
    assert began.wait(60)
    backend.close()  # or this test does not end
    assert not list(tmp_path.rglob("*.curves"))
