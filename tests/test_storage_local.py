"""Local files: names of any kind, creation by one of many, what is left after a kill, and whose it was."""

import errno
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

import pytest

from optsuite import storage
from optsuite.errors import StorageError
from optsuite.storage import Owner

REPOSITORY = Path(__file__).parents[1]
NAMES = [
    "a::b",
    "a#b",
    "a%20b",
    "a?b",
    "a b",
    " ",
    "ä€😀",
    "-x",
    "$HOME",
    "a*[b]",
    "\n",
    "...",
    "x" * 255,
    "a:",
    "s3:",
]


def python(code, *args, **options):
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen([sys.executable, "-c", code, *args], env=environment, **options)


# Names


@pytest.mark.parametrize("form", ["{}", "file://{}"])
@pytest.mark.parametrize("name", NAMES)
def test_a_root_may_have_any_name(tmp_path, name, form):
    root = form.format(tmp_path / name)
    storage.check_writable(root, "T/a::b/x.curves")
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - names, not paths
    url = f"{root}/T/{'y' * 255}"
    storage.write_bytes(url, b"1")
    assert os.listdir(tmp_path) == [name]  # noqa: PTH208
    assert storage.read_bytes(url) == b"1"
    assert storage.list_tasks(root) == ["T"]
    assert storage.list_files(f"{root}/T", "y") == [url]
    assert not storage.create(url, b"2")
    storage.remove(url)
    assert storage.list_files(f"{root}/T", "") == []


def test_a_file_beside_a_root_with_colons_is_left_alone(tmp_path):
    (tmp_path / "a").write_text("mine")
    storage.write_bytes(f"{tmp_path}/a::b/c", b"1")
    assert (tmp_path / "a").read_text() == "mine"
    assert (tmp_path / "a::b" / "c").read_bytes() == b"1"


def test_dots_and_links_lead_where_the_system_says(tmp_path, monkeypatch):
    (tmp_path / "far" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "far" / "deep")
    monkeypatch.chdir(tmp_path)
    storage.write_bytes("link/../a", b"1")
    storage.write_bytes("./b", b"2")
    assert (tmp_path / "far" / "a").read_bytes() == b"1"
    assert (tmp_path / "b").read_bytes() == b"2"
    assert storage.Store("link/..", "s3://b/a").absolute() == (f"{tmp_path}/link/..", "s3://b/a")


@pytest.mark.parametrize("root", ["memory://a::b", "simplecache::memory://a", "zip://x::memory://a"])
def test_a_root_that_is_a_chained_url_is_refused_before_anything_is_written(root):
    for use in (
        storage.check_writable,
        storage.clean_root,
        lambda root: storage.Store.at(root, None, "real"),
    ):
        with pytest.raises(StorageError, match="cannot be a root: `::` chains it"):
            use(root)
    for write in (storage.write_bytes, storage.create):
        with pytest.raises(StorageError, match="`::`"):
            write(f"{root}/x", b"")


@pytest.mark.parametrize("name", ["", "a/", "a\0b", "\ud800", "y" * 256])
def test_what_names_no_file_is_refused(tmp_path, name):
    for write in (storage.write_bytes, storage.create):
        with pytest.raises(StorageError):
            write(f"{tmp_path}/{name}", b"1")
    assert list(tmp_path.iterdir()) == []


def test_hidden_names_are_not_listed(root):
    for name in (".optsuite/T/x.group", ".hidden", "T/x.curves", "T/.y.curves"):
        storage.write_bytes(f"{root}/{name}", b"1")
    assert storage.list_folders(root) == storage.list_tasks(root) == ["T"]
    assert storage.list_files(root, "") == [f"{root}/T"]
    assert storage.list_files(f"{root}/T", "") == [f"{root}/T/x.curves"]
    assert storage.list_files(f"{root}/.optsuite/T", "") == [f"{root}/.optsuite/T/x.group"]


def test_names_that_are_no_text_are_not_listed(tmp_path):
    (tmp_path / "a").touch()
    (tmp_path / os.fsdecode(b"\xff.curves")).touch()
    assert storage.list_files(str(tmp_path), "") == [f"{tmp_path}/a"]
    with pytest.raises(StorageError, match="cannot list"):
        storage.list_files(f"{tmp_path}/a", "")


@pytest.mark.parametrize("target", ["loop", "nowhere"])
def test_a_link_that_leads_nowhere_costs_no_listing(tmp_path, target):
    (tmp_path / "T").mkdir()
    (tmp_path / "loop").symlink_to(target)
    assert storage.list_tasks(str(tmp_path)) == ["T"]
    assert storage.sweep_temporaries(str(tmp_path)) == []
    storage.check_writable(str(tmp_path))


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give up its rights")
def test_what_may_not_be_looked_at_costs_no_listing_and_cannot_be_written(request):
    folder = tempfile.TemporaryDirectory()  # pytest's own may be looked into by this user alone
    request.addfinalizer(folder.cleanup)
    tmp_path = Path(folder.name)
    (tmp_path / "locked").mkdir(mode=0o700)
    (tmp_path / "open" / "T").mkdir(parents=True)
    (tmp_path / "open" / "link").symlink_to(tmp_path / "locked" / "folder")
    tmp_path.chmod(0o755)
    code = """if True:
        import os, sys
        from optsuite import storage
        from optsuite.errors import StorageError
        os.setuid(65534)
        print(storage.list_tasks(sys.argv[1] + "/open"))
        try:
            storage.check_writable(sys.argv[1] + "/locked/folder", "T/x.curves")
        except StorageError as error:
            print(error)
    """
    out, _ = python(code, str(tmp_path), stdout=subprocess.PIPE, text=True).communicate()
    listed, error = out.splitlines()
    assert listed == "['T']"
    assert "cannot write" in error
    assert "PermissionError" in error


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a")
    with pytest.raises(StorageError, match="no regular file"):
        storage.read_bytes(str(tmp_path / "a"))


# Whether a place can be written


def test_the_very_folder_and_kind_of_file_are_tried_out(tmp_path, monkeypatch):
    written, write_bytes = [], storage._checks.write_bytes
    monkeypatch.setattr(
        storage._checks, "write_bytes", lambda url, c: written.append(url) or write_bytes(url, c)
    )
    (tmp_path / "T").mkdir()
    storage.check_writable(str(tmp_path), "T/Adam/10_1_1_1/x.curves")
    (url,) = written
    assert url.startswith(f"{tmp_path}/T/Adam/10_1_1_1/.optsuite_probe_")
    assert url.endswith(".curves")
    assert [path.name for path in tmp_path.rglob("*")] == ["T"]


@pytest.mark.parametrize(("length", "fits"), [(255, True), (256, False)])
def test_a_name_that_is_too_long_is_found_out(tmp_path, length, fits):
    like = "é" + "x" * (length - 6) + ".npz"
    with nullcontext() if fits else pytest.raises(StorageError, match=r"cannot write to .*too long"):
        storage.check_writable(str(tmp_path / "root"), f"T/{like}")
    assert os.listdir(tmp_path) == []  # noqa: PTH208


def test_a_file_in_the_place_of_a_folder_is_found_out(tmp_path):
    (tmp_path / "T").touch()
    storage.check_writable(str(tmp_path))
    with pytest.raises(StorageError, match="cannot write to"):
        storage.check_writable(str(tmp_path), "T/x.curves")


@pytest.mark.parametrize("like", ["T/x.curves", "é" * 200 + "/x.curves", "/".join(["d" * 200] * 25)])
def test_a_root_that_cannot_be_written_is_told_by_what_failed_first(tmp_path, like):
    (tmp_path / "T").write_text("a file")
    with pytest.raises(StorageError, match=r"^cannot write to `.*` \(cannot write "):
        storage.check_writable(str(tmp_path), like)
    assert os.listdir(tmp_path) == ["T"]  # noqa: PTH208


@pytest.mark.parametrize(("broken", "answer"), [("listing", {}), ("read_bytes", b"")])
def test_a_store_that_does_not_give_back_what_it_took_is_not_writable(tmp_path, monkeypatch, broken, answer):
    monkeypatch.setattr(storage._checks, broken, lambda *args, **kwargs: answer)
    with pytest.raises(StorageError, match=r"cannot write to .*was written, but"):
        storage.check_writable(str(tmp_path))
    assert list(tmp_path.iterdir()) == []


# Creation


def test_a_file_is_created_once(root):
    url = f"{root}/deep/er/a"
    assert storage.create(url, b"1")
    assert not storage.create(url, b"1")
    assert storage.read_bytes(url) == b"1"
    storage.remove(url)
    assert storage.create(url, b"2", durable=False)
    assert storage.list_files(f"{root}/deep/er", "") == [url]


def test_of_many_threads_that_create_a_file_one_succeeds(root):
    for n in range(20):
        made = storage.thread_map(lambda k, n=n: storage.create(f"{root}/{n}", b"%d" % k), range(8), 8)
        assert sum(made) == 1
        assert storage.read_bytes(f"{root}/{n}") == b"%d" % made.index(True)


def create_many(root, who, results):
    results.put((who, [n for n in range(100) if storage.create(f"{root}/{n}", b"%d" % who, durable=False)]))


def test_of_many_processes_that_create_a_file_one_succeeds(tmp_path):
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    processes = [context.Process(target=create_many, args=(str(tmp_path), who, results)) for who in range(2)]
    for process in processes:
        process.start()
    created = dict(results.get(timeout=60) for _ in processes)
    for process in processes:
        process.join()
    assert sorted(created[0] + created[1]) == list(range(100))
    assert all((tmp_path / str(n)).read_bytes() == b"%d" % who for who in created for n in created[who])
    assert len(list(tmp_path.iterdir())) == 100


def test_files_are_created_where_there_are_no_hard_links(tmp_path, monkeypatch):
    def refuse(*args):
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    url = str(tmp_path / "a")
    assert storage.create(url, b"1")
    assert not storage.create(url, b"2")
    assert storage.read_bytes(url) == b"1"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_link_that_was_made_though_its_answer_was_lost_counts(tmp_path, monkeypatch):
    def link(self, target):
        os.link(target, self)
        raise FileExistsError

    monkeypatch.setattr(Path, "hardlink_to", link)
    assert storage.create(str(tmp_path / "a"), b"1")
    assert not storage.create(str(tmp_path / "a"), b"1")


def test_a_storage_that_cannot_create_says_so(monkeypatch):
    from fsspec.implementations.dirfs import DirFileSystem

    monkeypatch.setattr(storage._files, "opened", lambda url: (DirFileSystem("/x", protocol="file"), "a"))
    with pytest.raises(StorageError, match="cannot create `a`: `dir` cannot"):
        storage.create("dir://a", b"")


# Durability


def test_a_file_and_the_folders_that_it_needed_reach_the_disk(tmp_path, monkeypatch):
    synced, fsync = [], os.fsync
    monkeypatch.setattr(
        os,
        "fsync",
        lambda handle: synced.append(str(Path(f"/proc/self/fd/{handle}").readlink())) or fsync(handle),
    )
    storage.write_bytes(f"{tmp_path}/a/b/c", b"1")
    folders = [path for path in synced if not path.endswith(".tmp")]
    assert sorted(folders) == [str(tmp_path), f"{tmp_path}/a", f"{tmp_path}/a/b"]
    assert folders[-1] == f"{tmp_path}/a/b"
    assert len(synced) == 4
    synced.clear()
    storage.create(f"{tmp_path}/x/lease", b"1", durable=False)
    assert synced == []


# Owners, and what they leave


def test_a_process_is_alive_until_it_ends():
    code = (
        "from optsuite.storage import Owner; import json; print(json.dumps(Owner.here().to_json())); input()"
    )
    process = python(code, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    owner = Owner.from_json(json.loads(process.stdout.readline()), "x")
    assert owner.pid == process.pid
    assert not owner.is_surely_dead()
    process.send_signal(signal.SIGKILL)
    while not owner.is_surely_dead():  # before its parent has looked
        time.sleep(0.01)
    process.communicate()
    assert owner.is_surely_dead()


def test_another_process_of_the_same_id_is_not_the_owner():
    here = Owner.here()
    assert not here.is_surely_dead()
    assert here._replace(started=here.started - 60).is_surely_dead()
    assert here._replace(started=here.started + 0.5) != here
    assert not here._replace(started=here.started + 0.5).is_surely_dead()


def test_nothing_is_known_of_other_machines():
    assert not Owner("elsewhere", 2**30, 1.0).is_surely_dead()


FORKER = """
import os
from optsuite.storage import Owner
here, child = Owner.here(), os.fork()
if child == 0:
    os._exit(Owner.here() == here._replace(pid=os.getpid(), started=Owner.here().started))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), Owner.here() == here)
"""


def test_an_owner_is_another_after_a_fork():
    assert python(FORKER, stdout=subprocess.PIPE, text=True).communicate()[0] == "1 True\n"


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {"host": "a", "pid": 1},
        {"host": "a/b", "pid": 1, "started": 1},
        {"host": "a", "pid": -1, "started": 1},
        {"host": "a", "pid": 10**30, "started": 1},
        {"host": "a", "pid": "1", "started": 1},
        {"host": "a", "pid": 1, "started": -1.0},
        {"host": "a" * 1000, "pid": 1, "started": 1},
    ],
)
def test_what_tells_no_owner_is_corrupt(value):
    with pytest.raises(storage.CorruptFileError, match=r"`x\.json` tells no owner"):
        Owner.from_json(value, "x.json")
    assert Owner.from_json(Owner.here().to_json(), "x") == Owner.here()


def test_names_tell_their_owner():
    for ending in ("", ".curves"):
        name = storage.owned_name("tmp", ending)
        assert name.startswith(".")
        assert name.endswith(ending)
        assert len(name.encode()) < 200
        kind, owner = storage.owner_of(name)
        assert (kind, owner.host, owner.pid) == ("tmp", Owner.here().host, os.getpid())
        assert not owner.is_surely_dead()
    for other in (
        ".optsuite_tmp_a_b_c_d",
        "x.curves",
        name[1:],
        f"{name}\n",
        ".optsuite_session_abc",
        name + "x" * 200,
    ):
        assert storage.owner_of(other) is None


WRITER = """
import os, sys
from pathlib import Path
from optsuite import storage
def stop(self, other):
    print("now", flush=True)
    input()
Path.replace = stop
storage.write_bytes(sys.argv[1], b"half")
"""


def test_what_a_killed_writer_left_is_swept_and_nothing_else(tmp_path):
    writer = python(WRITER, str(tmp_path / "a.curves"), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert writer.stdout.readline() == b"now\n"
    (left,) = tmp_path.iterdir()
    storage.write_bytes(str(tmp_path / "b.curves"), b"whole")
    assert storage.list_files(str(tmp_path), "") == [str(tmp_path / "b.curves")]
    assert storage.sweep_temporaries(str(tmp_path)) == []
    writer.kill()
    writer.communicate()
    assert storage.sweep_temporaries(str(tmp_path)) == [left.name]
    assert [path.name for path in tmp_path.iterdir()] == ["b.curves"]


def test_old_temporaries_of_other_machines_are_swept_but_not_their_marks(tmp_path):
    elsewhere = [
        storage.owned_name(kind).replace(Owner.here().host, "elsewhere")
        for kind in ("tmp", "probe", "session")
    ]
    for name in elsewhere:
        (tmp_path / name).touch()
    assert storage.sweep_temporaries(str(tmp_path)) == []
    yesterday = time.time() - 25 * 3600
    for name in elsewhere:
        os.utime(tmp_path / name, (yesterday, yesterday))
    assert sorted(storage.sweep_temporaries(str(tmp_path))) == sorted(elsewhere[:2])
    assert [path.name for path in tmp_path.iterdir()] == [elsewhere[2]]


def test_marks_of_dead_processes_are_swept_on_any_storage(root):
    here = Owner.here()
    mark = storage.owned_name("session")
    dead = mark.replace(f"_{here.pid}_", f"_{2**22 + 1}_")
    for name in (mark, dead):
        storage.write_bytes(f"{root}/{name}", b"")
    assert storage.sweep_temporaries(root) == [dead]
    assert storage.exists(f"{root}/{mark}")
    assert storage.sweep_temporaries(f"{root}/nowhere") == []
