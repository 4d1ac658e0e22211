"""The whole pipeline on object storage: sweep, archives, tables, plots, normalizers, report."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import fsspec
import pandas as pd
import pytest
import s3fs
from faulty_s3 import FaultyS3
from moto.server import ThreadedMotoServer

from optsuite import runner, storage
from optsuite.cli import main
from optsuite.errors import StorageError
from optsuite.storage import _patience

from .conftest import LABELS, SET, TASK, text

STAND_INS = "results_archives_synthetic"


@pytest.fixture(scope="module")
def server():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def bucket(server, monkeypatch):
    """An empty bucket of a server that speaks S3, which this process takes for S3."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    s3fs.S3FileSystem.clear_instance_cache()
    filesystem = s3fs.S3FileSystem()
    filesystem.mkdir("optsuite-test")
    yield "s3://optsuite-test"
    filesystem.rm("optsuite-test", recursive=True)
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def memory():
    yield "memory://optsuite-test"
    fsspec.filesystem("memory").rm("/optsuite-test", recursive=True)


@pytest.fixture(params=["bucket", "memory"])
def remote(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The user's home, where results would lie by default."""
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def files_under(url):
    filesystem, path = fsspec.url_to_fs(url)
    filesystem.invalidate_cache()
    return sorted(name.removeprefix(f"{path}/") for name in filesystem.find(path))


def results_under(*folders):
    suffixes = {".curves", ".npz", ".json", ".html", ".svg", ".png", ".csv", ".parquet"}
    return [path for folder in folders for path in Path(folder).rglob("*") if path.suffix in suffixes]


def test_a_sweep_leaves_curves_archives_and_a_report_there_and_nothing_here(bench, remote, home):
    storage_option = f"--opt-storage={remote}/results"
    result = bench.run(storage_option, storage=None, report="on")
    result.assert_outcomes(passed=len(LABELS))
    found = files_under(remote)
    curves = [name for name in found if name.startswith(f"results_synthetic/{TASK}/")]
    assert len(curves) == 2 * len(LABELS)
    assert f"{STAND_INS}/{TASK}/{SET}.npz" in found
    (page,) = [name for name in found if name.endswith("/report.html")]
    assert page.startswith("results_reports/")
    assert any(name.startswith("results_reports/figures/") and name.endswith(".svg") for name in found)
    assert f"{remote}/{page}" in text(result)
    assert "warning" not in text(result)
    assert results_under(home, bench.path) == []

    again = bench.run(storage_option, storage=None)
    assert "0 trials to train" in text(again)
    assert [name for name in files_under(remote) if name.endswith(".curves")] == curves


def test_bits_that_flip_on_the_way_cost_no_archive(bench, server, bucket, home, monkeypatch):
    place = f"--opt-storage={bucket}/results"
    bench.run(place, storage=None).assert_outcomes(passed=2)
    filesystem = s3fs.S3FileSystem()
    (archive,) = [name for name in filesystem.find("optsuite-test") if name.endswith(".npz")]
    filesystem.rm_file(archive)
    with FaultyS3(server, seed=1, share=0, kinds=("flipped",)) as faulty:
        monkeypatch.setenv("AWS_ENDPOINT_URL", faulty.url)
        s3fs.S3FileSystem.clear_instance_cache()
        archive_cell = runner._build.archive_cell

        def archive_through_faults(*args):
            faulty.share = 0.6
            monkeypatch.setattr(_patience, "READING", _patience.Patience(20, 10))
            try:
                return archive_cell(*args)
            finally:
                faulty.share = 0

        monkeypatch.setattr(runner._build, "archive_cell", archive_through_faults)
        result = bench.run(place, storage=None)
        assert faulty.faults["flipped"]
    result.assert_outcomes(passed=2)
    assert "complete cells archived: 1" in text(result)


def test_the_command_line_reads_and_writes_there(bench, remote, home, capsys):
    bench.run(f"--opt-storage={remote}/results", storage=None)
    roots = ["--storage", f"{remote}/results", "--data", "synthetic"]

    def run(*args):
        capsys.readouterr()
        assert main([*args, *roots]) == 0
        return capsys.readouterr().out.strip()

    assert "SGD_lr0.1" in run("table")
    table = f"{remote}/tables/all.parquet"
    assert run("table", "--kind", "archive", "-o", table) == table
    assert len(pd.read_parquet(fsspec.open(table).open())) == 4 * (11 + 3 * 2)
    plot = run("plot", TASK, "-o", f"{remote}/plots/curves.png")
    assert storage.read_bytes(plot).startswith(b"\x89PNG")
    page = run("report")
    assert page == f"{remote}/results_reports/report-stand-in.html"
    assert TASK in storage.read_bytes(page).decode()
    assert results_under(home, bench.path) == []


def test_a_bucket_that_is_not_there_is_named(bucket, home):
    with pytest.raises(StorageError, match="s3://no-such-bucket"):
        storage.check_writable("s3://no-such-bucket/x")


def test_a_server_that_does_not_answer_is_named(bucket, monkeypatch, home):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free.getsockname()[1]}")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(StorageError, match=r"s3://optsuite-test/x\.npz"):
        storage.read_npz("s3://optsuite-test/x.npz")
