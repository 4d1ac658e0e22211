"""Files and folders at any URL: listing, deleting, atomic writes, places that cannot be written."""

import gc
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import fsspec
import numpy as np
import pytest
from examples import assert_same_arrays
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import _registry

from optsuite import storage
from optsuite.errors import StorageError

ARRAYS = {"train/loss": np.array([1.5, np.nan], np.float32), "num_steps": 3, "opt_name": "Adam_lr1"}
REPOSITORY = Path(__file__).parents[1]


class CountingFileSystem(MemoryFileSystem):
    """An object store that keeps a list of what it was asked."""

    protocol = "counting"
    store = {}  # noqa: RUF012 (as in the base class)
    calls = []  # noqa: RUF012
    is_read_only = False

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.replace("counting://", "memory://", 1))

    def pipe_file(self, path, value, mode="overwrite", **kwargs):
        self.calls.append("put")
        if self.is_read_only:
            raise RuntimeError("403 Forbidden")  # back ends raise what they like
        super().pipe_file(path, value, mode, **kwargs)

    def cat_file(self, path, start=None, end=None, **kwargs):
        self.calls.append("get")
        return super().cat_file(path, start, end, **kwargs)

    def ls(self, path, detail=True, **kwargs):
        self.calls.append("list")
        return super().ls(path, detail, **kwargs)

    def makedirs(self, path, exist_ok=False):
        self.calls.append("makedirs")

    def _rm(self, path):
        self.calls.append("delete")
        super()._rm(path)


@pytest.fixture
def object_store(monkeypatch):
    fsspec.register_implementation("counting", CountingFileSystem, clobber=True)
    monkeypatch.setattr(CountingFileSystem, "calls", [])
    monkeypatch.setattr(CountingFileSystem, "store", {})
    return CountingFileSystem


def put(url, content):
    with fsspec.open(url, "wb", auto_mkdir=True) as file:
        file.write(content)


# Listing, deleting, setting aside


def test_list_files_gives_sorted_urls_of_one_folder(root):
    for name in ["b.curves", "a.curves", "c.npz", "deep/d.curves", "b.curves.bad"]:
        storage.write_npz(f"{root}/{name}", ARRAYS)
    urls = storage.list_files(f"{root}/", ".curves")
    assert urls == [f"{root}/a.curves", f"{root}/b.curves"]
    assert [len(storage.read_npz(url)) for url in urls] == [3, 3]
    assert storage.list_files(f"{root}/none/at/all", ".curves") == []


def test_list_folders_gives_sorted_names_without_files(root):
    for name in ["b/1.npz", "a/deep/2.npz", "c.npz"]:
        storage.write_npz(f"{root}/{name}", ARRAYS)
    assert storage.list_folders(root) == storage.list_folders(f"{root}/") == ["a", "b"]
    assert storage.list_folders(f"{root}/a") == ["deep"]


def test_a_missing_folder_holds_no_folders(root):
    assert storage.list_folders(f"{root}/none/at/all") == []


def test_links_to_folders_are_folders_and_other_links_are_not(tmp_path):
    (tmp_path / "elsewhere" / "task").mkdir(parents=True)
    (tmp_path / "elsewhere" / "file").touch()
    (tmp_path / "root").mkdir()
    for target in ("task", "file", "nothing"):
        (tmp_path / "root" / f"link_to_{target}").symlink_to(tmp_path / "elsewhere" / target)
    assert storage.list_folders(str(tmp_path / "root")) == ["link_to_task"]


def test_a_folder_is_listed_anew_each_time_by_one_listing(object_store):
    storage.write_npz("counting://bucket/a/b.npz", ARRAYS)
    assert storage.list_folders("counting://bucket") == ["a"]
    storage.write_npz("counting://bucket/c/d.npz", ARRAYS)
    object_store.calls.clear()
    assert storage.list_folders("counting://bucket") == ["a", "c"]
    assert object_store.calls == ["list"]


def test_remove_deletes_one_file_even_if_its_name_looks_like_a_pattern(root):
    for name in ["a*.npz", "ab.npz", "[ab].npz", "a.npz"]:
        storage.write_npz(f"{root}/{name}", ARRAYS)
    storage.remove(f"{root}/a*.npz")
    storage.remove(f"{root}/[ab].npz")
    assert storage.list_files(root, ".npz") == [f"{root}/a.npz", f"{root}/ab.npz"]
    with pytest.raises(storage.MissingFileError, match=r"cannot delete .*a\*"):
        storage.remove(f"{root}/a*.npz")
    storage.remove(f"{root}/a*.npz", missing_ok=True)


def test_a_file_is_the_same_by_any_of_its_names(tmp_path, monkeypatch):
    (tmp_path / "link").symlink_to(tmp_path / "file")
    monkeypatch.chdir(tmp_path)
    path = str(tmp_path / "file")
    for name in ("file", "./file", "../" + tmp_path.name + "/file", "link", f"file://{path}"):
        assert storage.is_same_file(path, name)
    assert not storage.is_same_file(path, "other")
    assert storage.is_same_file("memory://a/file", "memory:///a/file")
    assert not storage.is_same_file("memory://a/file", "memory://b/file")
    assert not storage.is_same_file(path, f"memory://{path}")


def test_set_aside_hides_a_file_and_keeps_it(root):
    storage.write_npz(f"{root}/a.curves", ARRAYS)
    assert storage.set_aside(f"{root}/a.curves") == f"{root}/a.curves.bad"
    assert storage.list_files(root, ".curves") == []
    assert_same_arrays(storage.read_npz(f"{root}/a.curves.bad"), ARRAYS)
    with pytest.raises(storage.MissingFileError, match="cannot set aside"):
        storage.set_aside(f"{root}/a.curves")


# Names and globs, many at a time


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        ("*", ["Adam", "AdamW", "SGD"]),
        ("Adam", ["Adam"]),
        ("Lion", ["Lion"]),
        ("adam*", ["adam*"]),
        (["S*", "Adam?", "SGD"], ["SGD", "AdamW"]),
        (["Lion", "[!A]*", "Q*"], ["Lion", "SGD", "Q*"]),
        ([], []),
    ],
)
def test_globs_become_the_names_they_match_and_names_stay(patterns, expected):
    assert storage.expand_globs(patterns, lambda: ["Adam", "AdamW", "SGD"]) == expected


@pytest.mark.parametrize(("patterns", "times"), [("a", 0), (["a", "b"], 0), ([], 0), (["*", "?", "a"], 1)])
def test_names_are_listed_once_and_only_for_globs(patterns, times):
    listings = []
    storage.expand_globs(patterns, lambda: listings.append("listed") or [])
    assert len(listings) == times


def test_headers_are_parsed_by_one_thread_at_a_time(tmp_path):
    """Before 3.11.8 Python fails otherwise, now and then; with much garbage to collect, mostly."""
    url = str(tmp_path / "a.npz")
    storage.write_npz(url, {f"key{i}": np.zeros(2) for i in range(30)})
    thresholds = gc.get_threshold()

    def let_others_run(phase, info):
        time.sleep(1e-5)

    gc.callbacks.append(let_others_run)
    gc.set_threshold(5)
    try:
        read = storage.thread_map(storage.read_npz, [url] * 300)
    finally:
        gc.set_threshold(*thresholds)
        gc.callbacks.remove(let_others_run)
    assert len(read) == 300


@pytest.mark.parametrize("threads", [0, 1, 8])
def test_thread_map_keeps_the_order_of_its_items(threads):
    first_may_end = threading.Event()

    def wait_for_the_last(item):
        if item == 0 and threads > 1:
            assert first_may_end.wait(60)
        if item == 19:
            first_may_end.set()
        return item**2

    assert storage.thread_map(wait_for_the_last, iter(range(20)), threads) == [n**2 for n in range(20)]
    assert storage.thread_map(wait_for_the_last, [], threads) == []


def test_thread_map_of_no_threads_stays_in_this_one():
    callers = storage.thread_map(lambda _: threading.get_ident(), range(3), threads=0)
    assert set(callers) == {threading.get_ident()}
    assert threading.get_ident() not in storage.thread_map(lambda _: threading.get_ident(), range(3))


@pytest.mark.parametrize("threads", [0, 4])
def test_thread_map_raises_what_a_call_raises(threads):
    with pytest.raises(ZeroDivisionError):
        storage.thread_map(lambda n: 1 / n, [1, 0, 2], threads)


# Atomicity


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_a_failing_local_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, broken):
    url = str(tmp_path / "a.npz")
    storage.write_npz(url, {"old": 1})

    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*{"fsync": (os, "fsync", fail), "replace": (Path, "replace", fail)}[broken])
    with pytest.raises(StorageError, match=r"cannot write .*a\.npz.*No space left"):
        storage.write_npz(url, {"new": 2})
    with pytest.raises(StorageError, match=r"cannot write .*a\.npz.*No space left"):
        storage.write_bytes(url, b"new")
    monkeypatch.undo()
    assert_same_arrays(storage.read_npz(url), {"old": 1})
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_threads_that_write_one_file_never_corrupt_it(root):
    url = f"{root}/a.npz"
    storage.write_npz(url, {"value": np.zeros(5000)})

    def write(number):
        for _ in range(10):
            storage.write_npz(url, {"value": np.full(5000, number)})

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert np.ptp(storage.read_npz(url)["value"]) == 0
    assert storage.list_files(root, "") == [url]


WRITER = """
import sys, numpy as np
from optsuite import storage
for step in range(40):
    storage.write_npz(sys.argv[1], {"value": np.full(20_000, int(sys.argv[2]))})
"""


def test_processes_that_write_one_file_never_corrupt_it(tmp_path):
    url = str(tmp_path / "a.npz")
    storage.write_npz(url, {"value": np.zeros(20_000)})
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, url, str(n)], env=environment) for n in range(2)
    ]
    while any(writer.poll() is None for writer in writers):
        assert np.ptp(storage.read_npz(url)["value"]) == 0
    assert [writer.returncode for writer in writers] == [0, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_an_object_store_sees_one_put_one_get_and_no_listing(object_store):
    storage.write_npz("counting://bucket/a/b.npz", ARRAYS)
    storage.read_npz("counting://bucket/a/b.npz")
    storage.remove("counting://bucket/a/b.npz")
    assert object_store.calls == ["put", "get", "delete"]


def test_bytes_too_are_one_put_and_one_get(object_store):
    storage.write_bytes("counting://bucket/a/page.html", b"new")
    assert storage.read_bytes("counting://bucket/a/page.html") == b"new"
    assert object_store.calls == ["put", "get"]


def test_folders_are_made_where_a_put_needs_them(object_store, monkeypatch):
    made = []

    def pipe_file(self, path, value, **kwargs):
        if not made:
            raise FileNotFoundError(path)
        MemoryFileSystem.pipe_file(self, path, value)

    monkeypatch.setattr(object_store, "pipe_file", pipe_file)
    monkeypatch.setattr(object_store, "makedirs", lambda self, path, exist_ok: made.append(path))
    storage.write_npz("counting://bucket/a/b.npz", ARRAYS)
    assert made == ["/bucket/a"]
    assert_same_arrays(storage.read_npz("counting://bucket/a/b.npz"), ARRAYS)


# Places that cannot be written or opened


def test_check_writable_leaves_nothing_behind(root):
    storage.check_writable(f"{root}/")
    assert storage.list_files(root, "") == []


def test_a_root_below_a_file_is_not_writable(tmp_path):
    (tmp_path / "file").touch()
    root = str(tmp_path / "file" / "curves")
    with pytest.raises(
        StorageError, match=r"file/curves.*`root=` or LOPT_BASELINE_DIR.*BASELINE_ARCHIVES_DIR"
    ):
        storage.check_writable(root)
    with pytest.raises(StorageError, match=r"cannot write .*a\.npz"):
        storage.write_npz(f"{root}/a.npz", ARRAYS)


def test_a_read_only_store_is_not_writable(object_store, monkeypatch):
    monkeypatch.setattr(object_store, "is_read_only", True)
    with pytest.raises(StorageError, match=r"counting://bucket.*403 Forbidden.*LOPT_BASELINE_DIR"):
        storage.check_writable("counting://bucket")


def test_an_unknown_protocol_is_named():
    with pytest.raises(StorageError, match=r"cannot open `foo://a/b\.npz`.*foo.*s3://"):
        storage.read_npz("foo://a/b.npz")


@pytest.mark.parametrize(("protocol", "extra"), [("s3", "s3"), ("gs", "gcs"), ("gcs", "gcs")])
def test_a_missing_package_prints_its_install_line(protocol, extra, monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    monkeypatch.delitem(_registry, protocol, raising=False)  # another test may use it
    for use in (storage.read_npz, storage.check_writable):
        with pytest.raises(StorageError, match=rf"pip install 'optsuite\[{extra}\]'"):
            use(f"{protocol}://bucket/a.npz")


def test_no_more_is_read_of_a_file_than_it_may_be_large(root):
    url = f"{root}/file"
    storage.write_bytes(url, b"12345")
    assert storage.read_bytes(url, most=5) == b"12345"
    with pytest.raises(storage.CorruptFileError, match="too large: needed at most 4 bytes, and it has more"):
        storage.read_bytes(url, most=4)
    storage.write_bytes(url, b"")
    assert storage.read_bytes(url, most=4) == b""
    with pytest.raises(storage.MissingFileError, match="nowhere`: there is no such file"):
        storage.read_bytes(f"{root}/nowhere", most=4)
