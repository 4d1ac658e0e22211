"""Curves that could not be stored wait on this machine, and none of them is lost or comes twice."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from examples import make_trial

from optsuite import curves, spool, storage
from optsuite.cli import main
from optsuite.curves import Curve, curve_filename
from optsuite.errors import StorageError
from optsuite.spool import Waiting


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def trial(seed=0, **changes):
    return make_trial("SGD_lr1", {"lr": 1}, seed, **changes)


def recorded(root):
    """The curves in a root, by trial."""
    folders = [storage.join_url(root, *names) for names in curves.find_folders("*", "*", root)]
    return {
        str(arrays["trial_id"]): Curve(arrays)
        for files in curves.read_folders(folders)
        for arrays in files.values()
    }


def kept_files():
    return [path.name for path in spool.spool_dir().rglob("*") if path.is_file() and path.suffix == ".curves"]


def by_trial(*trials):
    return {str(one["trial_id"]): one for one in trials}


def block(root):
    """Put a file where a local root should be, so that nothing can be written below it."""
    Path(root).parent.mkdir(parents=True, exist_ok=True)
    Path(root).write_text("in the way")


def test_what_is_kept_waits_and_is_uploaded_and_gone(root):
    files = [spool.keep(trial(seed), root) for seed in (0, 1)]
    assert all(file.is_relative_to(spool.spool_dir()) for file in files)
    assert spool.waiting() == spool.waiting(root) == [Waiting(root, sorted(files))]
    done = spool.upload()
    assert done.problems == []
    assert sorted(done.urls[root]) == sorted(
        url
        for names in curves.find_folders("*", "*", root)
        for url in storage.list_files(storage.join_url(root, *names), ".curves")
    )
    assert recorded(root) == by_trial(trial(0), trial(1))
    assert kept_files() == []
    assert spool.waiting() == []
    assert spool.upload() == ({}, [])


def test_only_one_root_is_uploaded_if_that_is_asked_for(tmp_path):
    a, b = f"{tmp_path}/a", f"{tmp_path}/b"
    spool.keep(trial(0), a)
    spool.keep(trial(1), b)
    assert spool.upload(f"{a}/").urls.keys() == {a}
    assert recorded(a) == by_trial(trial(0))
    assert [one.root for one in spool.waiting()] == [b]


def test_a_relative_root_is_that_of_the_folder_of_its_session(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spool.keep(trial(), "runs")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert spool.upload().urls.keys() == {f"{tmp_path}/runs"}


def test_a_root_lies_where_its_links_lead(tmp_path):
    (tmp_path / "far" / "folder").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "far" / "folder")
    spool.keep(trial(), f"{tmp_path}/link/../runs")
    spool.upload()
    assert recorded(str(tmp_path / "far" / "runs")) == by_trial(trial())


@pytest.mark.parametrize("root", ["my runs://x", "file://runs"])
def test_a_relative_root_of_any_name_is_that_of_its_folder(tmp_path, monkeypatch, root):
    monkeypatch.chdir(tmp_path)
    spool.keep(trial(), root)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    spool.upload()
    monkeypatch.chdir(tmp_path)
    assert recorded(root) == by_trial(trial())


def test_the_last_that_is_kept_of_a_trial_waits_alone(root):
    spool.keep(trial(loss=2), root)
    spool.keep(trial(loss=1), root)
    assert len(kept_files()) == 1
    spool.upload()
    assert recorded(root) == by_trial(trial(loss=1))


def test_a_curve_that_was_recorded_meanwhile_is_left(root):
    spool.keep(trial(loss=2), root)
    url = curves.write_curve(trial(loss=1), root)
    assert spool.upload() == ({root: [url]}, [])
    assert recorded(root) == by_trial(trial(loss=1))
    assert kept_files() == []


@pytest.mark.parametrize(("year", "loss"), [(2020, 2), (2999, 1)])
def test_one_that_is_to_replace_others_replaces_those_that_came_before_it(root, monkeypatch, year, loss):
    old = curves.write_curve(trial(loss=1), root)
    folder, _, name = old.rpartition("/")
    later = curve_filename(curves.trial_id_of(name), datetime(year, 1, 1, tzinfo=UTC))
    renamed = storage.join_url(folder, later)
    storage.write_bytes(renamed, storage.read_bytes(old))
    storage.remove(old)
    spool.keep(trial(loss=2), root, replace=True)
    assert spool.upload().problems == []
    assert recorded(root) == by_trial(trial(loss=loss))
    assert kept_files() == []


def test_a_root_that_cannot_be_written_keeps_its_curves_waiting(tmp_path):
    bad, good = f"{tmp_path}/bad", f"{tmp_path}/good"
    block(bad)
    for seed in (0, 1):
        spool.keep(trial(seed), bad)
        spool.keep(trial(seed), good)
    done = spool.upload()
    assert len(done.urls[good]) == 2
    assert bad not in done.urls
    assert all("waits: cannot " in problem and bad in problem for problem in done.problems)
    assert [(one.root, len(one.files)) for one in spool.waiting()] == [(bad, 2)]
    Path(bad).unlink()
    assert spool.upload().problems == []
    assert recorded(bad) == by_trial(trial(0), trial(1))


def test_a_root_that_cannot_be_reached_is_given_up_at_its_first_curve(tmp_path, monkeypatch):
    for seed in (0, 1, 2):
        spool.keep(trial(seed), f"{tmp_path}/gone")
    tried = []

    def unreachable(curve, root, **options):
        tried.append(root)
        raise storage.UnreachableError("no answer")

    monkeypatch.setattr(curves, "write_curve", unreachable)
    assert spool.upload() == ({}, [f"3 curves wait for `{tmp_path}/gone`: no answer"])
    assert len(tried) == 1
    assert len(kept_files()) == 3


def test_a_copy_that_cannot_be_read_back_is_not_deleted_here(root, monkeypatch):
    file = spool.keep(trial(), root)
    read = curves.read_curve

    def torn(url):
        if url.startswith(str(spool.spool_dir())):
            return read(url)
        raise storage.CorruptFileError("torn")

    monkeypatch.setattr(curves, "read_curve", torn)
    assert spool.upload() == ({}, [f"`{file}` waits: torn"])
    assert file.exists()


@pytest.mark.parametrize("content", [b"", b"PK\3\4", None])
def test_a_corrupt_file_is_set_aside_with_a_word_and_costs_no_other(root, content):
    bad, _good = spool.keep(trial(0), root), spool.keep(trial(1), root)
    bad.write_bytes(bad.read_bytes()[:-50] if content is None else content)
    done = spool.upload()
    assert len(done.urls[root]) == 1
    (problem,) = done.problems
    assert problem.startswith(f"set aside as `{bad}.bad`: `{bad}` is not ")
    assert not bad.exists()
    assert recorded(root) == by_trial(trial(1))
    assert spool.upload() == ({}, [])


def trial_folder(root):
    """The folder of the trial's curve."""
    schedule = {key: int(trial()[key]) for key in curves.SCHEDULE_KEYS}
    return storage.curve_dir(trial().task_name, trial().opt_name, **schedule, root=root)


def test_what_a_killed_session_left_half_written_is_swept(root):
    file = spool.keep(trial(), root)
    code = "from optsuite import storage; print(storage.owned_name('tmp', '.curves'))"
    name = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    (file.parent / name.strip()).write_bytes(b"half")
    folder = trial_folder(root)
    storage.write_bytes(storage.join_url(folder, name.strip()), b"half")
    assert spool.upload().problems == []
    assert list(file.parent.iterdir()) == []
    assert not storage.exists(storage.join_url(folder, name.strip()))
    assert len(storage.list_files(folder, "")) == 1


def test_trouble_with_this_disk_is_told_and_costs_no_other_root(tmp_path, monkeypatch):
    a, b = f"{tmp_path}/a", f"{tmp_path}/b"
    bad, _good = spool.keep(trial(), a), spool.keep(trial(), b)
    read = curves.read_curve

    def broken(url):
        if url == str(bad):
            raise StorageError("broken disk")
        return read(url)

    monkeypatch.setattr(curves, "read_curve", broken)
    done = spool.upload()
    assert done.urls.keys() == {b}
    assert done.problems == [f"curves in `{bad.parents[4]}` cannot be uploaded: broken disk"]


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"root": 1}', '{"root": "s3://another"}', "[" * 10_000])
def test_curves_whose_root_cannot_be_told_stay_and_are_told(root, text, tmp_path):
    file = spool.keep(trial(0), root)
    other = f"{tmp_path}/other"
    spool.keep(trial(1), other)
    file.parents[4].joinpath("root.json").write_text(text)
    done = spool.upload()
    assert done.urls.keys() == {other}
    assert len(done.problems) == 1
    assert "1 curve in" in done.problems[0]
    assert "root.json" in done.problems[0]
    assert spool.waiting() == []
    spool.keep(trial(2), root)  # names it again
    assert len(spool.upload().urls[root]) == 2


def test_where_nothing_can_be_kept_either_that_is_an_error(root, cache):
    block(str(cache))
    with pytest.raises(StorageError, match="cannot write"):
        spool.keep(trial(), root)


UPLOAD = """
from optsuite import spool
done = spool.upload()
print(sum(map(len, done.urls.values())), [p for p in done.problems if "another process" not in p])
"""


def test_two_uploads_at_once_leave_one_file_of_each_trial(tmp_path):
    root, trials = f"{tmp_path}/runs", [trial(seed) for seed in range(20)]
    for one in trials:
        spool.keep(one, root)
    uploads = [
        subprocess.Popen([sys.executable, "-c", UPLOAD], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    said = [upload.communicate()[0].split(maxsplit=1) for upload in uploads]
    assert [words for _, words in said] == ["[]\n", "[]\n"]
    assert sum(int(count) for count, _ in said) == 20
    assert recorded(root) == by_trial(*trials)
    assert len(list(Path(root).rglob("*.curves"))) == 20
    assert kept_files() == []


def test_the_command_says_what_went_where(tmp_path, capsys):
    assert main(["upload"]) == 0
    assert capsys.readouterr().out == "no curve waits\n"
    for name in ("a", "b_synthetic", "b_bf16_synthetic"):
        spool.keep(trial(), f"{tmp_path}/{name}")
    assert main(["upload", "--storage", f"{tmp_path}/b"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{tmp_path}/b_synthetic: 1 curve",
        f"{tmp_path}/b_bf16_synthetic: 1 curve",
    ]
    block(f"{tmp_path}/a")
    assert main(["upload"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "waits: cannot " in printed.err


def test_the_file_that_names_the_root_is_plain(root):
    file = spool.keep(trial(), root)
    assert json.loads(file.parents[4].joinpath("root.json").read_text()) == {"root": root}
    assert len(file.parents[4].name) == 16
