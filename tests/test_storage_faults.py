"""A store whose server and network fail: nothing is lost, nothing is damaged, nothing waits for long."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import s3fs
from examples import assert_same_arrays
from faulty_s3 import KINDS, FaultyS3
from moto.server import ThreadedMotoServer

from optsuite import storage
from optsuite.errors import StorageError
from optsuite.storage import _patience

REPOSITORY = Path(__file__).parents[1]
PATIENT, HASTY = _patience.Patience(120, 10), _patience.Patience(1.5, 1)


@pytest.fixture(scope="module")
def proxy():
    """A proxy before a server that speaks S3, which this process takes for S3."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    with (
        FaultyS3("http://{}:{}".format(*server.get_host_and_port()), share=0) as proxy,
        pytest.MonkeyPatch.context() as monkeypatch,
    ):
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        s3fs.S3FileSystem.clear_instance_cache()
        yield proxy
        s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


@pytest.fixture
def faulty(proxy, monkeypatch):
    """The proxy, without faults as yet, and an empty bucket."""
    monkeypatch.setattr(_patience, "WRITING", PATIENT)
    monkeypatch.setattr(_patience, "READING", PATIENT)
    proxy.seed, proxy.share, proxy.kinds = 0, 0, KINDS
    proxy.faults.clear()
    s3fs.S3FileSystem().mkdir("faulty")
    yield proxy
    proxy.share = 0
    s3fs.S3FileSystem().rm("faulty", recursive=True)


def exercise(number):
    """Write, create, read, replace and delete files of a folder; return what it should hold."""
    folder = f"s3://faulty/{number}"
    arrays = {"loss": np.arange(200.0) + number}
    storage.write_npz(f"{folder}/a.npz", {"old": 1})
    storage.write_npz(f"{folder}/a.npz", arrays)
    assert_same_arrays(storage.read_npz(f"{folder}/a.npz"), arrays)
    storage.write_json(f"{folder}/b.json", {"number": number})
    assert storage.read_json(f"{folder}/b.json") == {"number": number}
    assert storage.create(f"{folder}/c", b"mine %d" % number)
    assert not storage.create(f"{folder}/c", b"other")
    storage.write_bytes(f"{folder}/d", b"gone")
    storage.remove(f"{folder}/d", missing_ok=True)
    return {
        f"{number}/a.npz": arrays,
        f"{number}/b.json": {"number": number},
        f"{number}/c": b"mine %d" % number,
    }


def test_hundreds_of_faults_lose_nothing_and_damage_nothing(faulty):
    faulty.share = 0.45
    expected = storage.thread_map(exercise, range(30), 12)
    names = storage.thread_map(lambda n: storage.list_files(f"s3://faulty/{n}", ""), range(30), 12)
    assert sum(faulty.faults.values()) >= 200, faulty.faults
    assert set(faulty.faults) >= {"500", "503", "slow", "reset", "lost", "truncated", "flipped"}
    faulty.share = 0
    for listed, files in zip(names, expected, strict=True):
        assert listed == [f"s3://faulty/{name}" for name in files]
        for name, content in files.items():
            url = f"s3://faulty/{name}"
            match content:
                case bytes():
                    assert storage.read_bytes(url) == content
                case {"number": _}:
                    assert storage.read_json(url) == content
                case _:
                    assert_same_arrays(storage.read_npz(url), content)


@pytest.mark.parametrize("seed", range(2))
def test_of_many_that_create_a_file_one_succeeds_though_answers_are_lost(faulty, seed):
    faulty.seed, faulty.share, faulty.kinds = seed, 0.4, ("lost", "500", "slow")
    for n in range(2):
        made = storage.thread_map(
            lambda k, n=n: storage.create(f"s3://faulty/lease{n}", b"of %d" % k), range(6), 6
        )
        assert sum(made) == 1
        assert storage.read_bytes(f"s3://faulty/lease{n}") == b"of %d" % made.index(True)


@pytest.mark.parametrize("kind", ["flipped", "truncated"])
def test_what_is_damaged_on_its_way_is_read_again(faulty, kind):
    arrays = {"a": np.arange(1000.0), "b": np.ones(10)}
    storage.write_npz("s3://faulty/a.npz", arrays)
    storage.write_bytes("s3://faulty/b", json.dumps(list(range(1000))).encode())
    faulty.share, faulty.kinds = 0.3, (kind,)
    for _ in range(6):
        assert_same_arrays(storage.read_npz("s3://faulty/a.npz"), arrays)
        assert storage.read_json("s3://faulty/b") == list(range(1000))
    assert faulty.faults.total() > 3


def test_what_is_damaged_on_its_way_there_is_written_again(faulty):
    faulty.share, faulty.kinds = 0.5, ("flipped",)
    for number in range(8):
        storage.write_bytes(f"s3://faulty/{number}", b"x" * 100)
    assert faulty.faults["flipped"] > 2
    faulty.share = 0
    assert {storage.read_bytes(f"s3://faulty/{number}") for number in range(8)} == {b"x" * 100}


@pytest.mark.parametrize("kind", ["hung", "500", "reset"])
def test_a_store_that_is_gone_is_told_within_its_time_and_then_at_once(faulty, monkeypatch, kind):
    monkeypatch.setattr(_patience, "WRITING", HASTY)
    monkeypatch.setattr(_patience, "READING", HASTY)
    monkeypatch.setattr(_patience, "_ONCE_S", 0.5)
    faulty.share, faulty.kinds = 1, (kind,)
    with pytest.raises(storage.UnreachableError, match=r"cannot write `s3://faulty/a`.*tried for 2 s"):
        storage.write_bytes("s3://faulty/a", b"a")
    with pytest.raises(storage.UnreachableError, match=r"cannot write `s3://faulty/b`.*gone before"):
        storage.write_bytes("s3://faulty/b", b"a")
    with pytest.raises(storage.UnreachableError, match=r"cannot list `s3://faulty/b`"):
        storage.list_files("s3://faulty/b", "")
    faulty.share = 0
    storage.write_bytes("s3://faulty/a", b"a")
    assert storage.read_bytes("s3://faulty/a") == b"a"


GONE = """
import sys
from optsuite import storage
from optsuite.storage import _patience
_patience.WRITING = _patience.Patience(2.5, 1)
try:
    storage.write_bytes("s3://faulty/a", b"a")
except storage.UnreachableError:
    print("told")
"""


def test_nothing_hangs_at_the_end_after_a_put_that_is_never_answered(faulty):
    faulty.share, faulty.kinds = 1, ("hung",)
    ended = subprocess.run(
        [sys.executable, "-c", GONE],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (ended.returncode, ended.stdout) == (0, "told\n"), ended.stderr
    assert "trying again" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_what_no_time_heals_is_told_at_once(faulty, monkeypatch):
    tries = []
    monkeypatch.setattr(_patience, "_tell", lambda *args: tries.append(args))
    with pytest.raises(storage.MissingFileError, match="s3://no-such-bucket-here/a"):
        storage.write_bytes("s3://no-such-bucket-here/a", b"a")
    with pytest.raises(storage.MissingFileError):
        storage.read_bytes("s3://faulty/nowhere")
    assert not tries


@pytest.mark.parametrize("code", ["EACCES", "EROFS", "EISDIR", "ENAMETOOLONG"])
def test_a_local_error_that_no_time_heals_is_not_tried_again(tmp_path, monkeypatch, code):
    tries = []

    def fail(*args):
        tries.append(args)
        raise OSError(getattr(errno, code), "injected")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(StorageError, match="injected") as error:
        storage.write_bytes(str(tmp_path / "a"), b"a")
    assert not isinstance(error.value, storage.UnreachableError)
    assert len(tries) == 1


@pytest.mark.parametrize("code", ["ENOSPC", "EDQUOT", "EIO", "ESTALE", "EBUSY"])
def test_a_local_error_that_passes_is_waited_out(tmp_path, monkeypatch, code):
    monkeypatch.setattr(_patience, "WRITING", PATIENT)
    replace, tries = Path.replace, []

    def fail_twice(*args):
        tries.append(args)
        if len(tries) < 3:
            raise OSError(getattr(errno, code), "injected")
        replace(*args)

    monkeypatch.setattr(Path, "replace", fail_twice)
    storage.write_bytes(str(tmp_path / "a"), b"a")
    assert len(tries) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_what_stands_for_an_empty_folder_is_not_listed_in_it(faulty):
    s3fs.S3FileSystem().pipe_file("faulty/T/", b"")
    storage.write_bytes("s3://faulty/T/a.curves", b"a")
    assert storage.list_folders("s3://faulty") == ["T"]
    assert storage.list_folders("s3://faulty/T") == []
    assert storage.list_files("s3://faulty/T", "") == ["s3://faulty/T/a.curves"]


def test_temporaries_and_owners_work_on_s3(faulty):
    mark = storage.owned_name("session")
    dead = mark.replace(f"_{os.getpid()}_", f"_{2**22 + 1}_")
    for name in (mark, dead):
        storage.write_bytes(f"s3://faulty/{name}", b"")
    assert storage.read_bytes(f"s3://faulty/{mark}") == b""
    assert storage.sweep_temporaries("s3://faulty") == [dead]


@pytest.mark.parametrize("name", ["a b", "a#b", "a%20b", "a?b", "ä/€", "a*[b]", "...", "x" * 200])
def test_names_on_s3_round_trip(faulty, name):
    folder = f"s3://faulty/{name}"
    storage.check_writable(folder)
    storage.write_bytes(f"{folder}/file.curves", b"a")
    assert storage.read_bytes(f"{folder}/file.curves") == b"a"
    assert storage.list_files(folder, ".curves") == [f"{folder}/file.curves"]
    assert not storage.create(f"{folder}/file.curves", b"b")
    storage.remove(f"{folder}/file.curves")
    assert storage.list_files(folder, "") == []


@pytest.mark.parametrize("name", ["a/../b", "a/./b", "a::b", "a//b", "é" * 600])
def test_names_on_s3_that_are_odd_work_or_are_refused(faulty, name):
    folder = f"s3://faulty/{name}"
    try:
        storage.check_writable(folder)
    except StorageError:
        return
    storage.write_bytes(f"{folder}/file.curves", b"a")
    assert storage.read_bytes(f"{folder}/file.curves") == b"a"
    assert storage.list_files(folder, ".curves") == [storage.join_url(folder, "file.curves")]


def test_many_threads_share_a_faulty_store(faulty):
    faulty.share, faulty.kinds = 0.3, ("503", "reset")
    barrier = threading.Barrier(16)

    def write(number):
        barrier.wait()
        storage.write_bytes("s3://faulty/one", b"%d" % number * 100)
        return storage.read_bytes("s3://faulty/one")

    read = storage.thread_map(write, range(16), 16)
    assert all(content in {b"%d" % n * 100 for n in range(16)} for content in read)
