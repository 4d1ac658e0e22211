"""The archives of a root: listing, loading, deleting and finding them."""

import fsspec
import numpy as np
import pytest
from examples import TASK, make_archive, make_trial, sgd

from optsuite import archives, storage
from optsuite.curves import Curve
from optsuite.errors import StorageError
from optsuite.storage import Store

# The archives of a task


def test_archives_are_listed_loaded_and_deleted(root):
    assert archives.list_hparam_sets_for_task(TASK, root) == []
    for name in ("SGDLR_20_R2", "AdamLR_20_R2"):
        url = archives.write_archive(TASK, name, make_archive(sgd(0.1), seeds=(0,)), root)
        assert url == f"{root}/{TASK}/{name}.npz"
    storage.write_npz(f"{root}/{TASK}/SGDLR_20_R2.npz.bad", {"a": 1})
    assert archives.list_hparam_sets_for_task(TASK, root) == ["AdamLR_20_R2", "SGDLR_20_R2"]
    loaded = archives.load_archive(TASK, "AdamLR_20_R2", root)
    curve = make_trial("SGD_lr0.1", {"lr": 0.1}, 0)
    assert Curve({key: array[0, 0] for key, array in loaded.items()}) == curve
    archives.delete_archive("SGDLR_20_R2", TASK, root)
    assert archives.list_hparam_sets_for_task(TASK, root) == ["AdamLR_20_R2"]


@pytest.mark.parametrize("use", [archives.load_archive, lambda t, s, r: archives.delete_archive(s, t, r)])
def test_a_missing_archive_is_an_error_that_says_what_there_is(root, use):
    with pytest.raises(StorageError, match=f"no archive of `S` for task `{TASK}` .*has no archives"):
        use(TASK, "S", root)
    archives.write_archive(TASK, "AdamLR_20_R2", {"a": 1}, root)
    with pytest.raises(StorageError, match=r"S\.npz`: its archives are AdamLR_20_R2"):
        use(TASK, "S", root)


def test_a_corrupt_archive_is_an_error_that_names_it(root):
    url = archives.write_archive(TASK, "S", {"a": 1}, root)
    with fsspec.open(url, "wb") as file:
        file.write(b"bad")
    with pytest.raises(storage.CorruptFileError, match=r"S\.npz"):
        archives.load_archive(TASK, "S", root)


def test_a_missing_archive_points_to_the_one_on_stand_ins(root):
    stand_ins = Store.at(None, root, "synthetic").archives
    archives.write_archive(TASK, "S", {"train/loss": np.zeros(1)}, stand_ins)
    for one in (root, f"{root}/"):
        with pytest.raises(StorageError, match=rf"there is one on stand-in data: pass root=\"{stand_ins}\""):
            archives.load_archive(TASK, "S", one)


def test_only_the_keys_that_are_asked_for_are_loaded(root):
    archives.write_archive(TASK, "S", make_archive(sgd(0.1), seeds=(0,)), root)
    loaded = archives.load_archive(TASK, "S", root, keys=("seed", "eval/xs", "nowhere"))
    assert loaded.keys() == {"seed", "eval/xs"}


# Finding cells


@pytest.fixture
def listings(monkeypatch):
    """What was listed: of every folder, one entry a listing."""
    listed, listing = [], storage._files._listing

    def record(url):
        listed.append(url)
        return listing(url)

    monkeypatch.setattr(storage._files, "_listing", record)
    return listed


def fill_archives(root):
    cells = {
        "Conv": ["AdamLR_20_R2", "SGDLR_20_R2"],
        "MLP": ["AdamLR_20_R2", "AdamLR_50_R2"],
        "RNN": ["Lion"],
    }
    for task, sets in cells.items():
        for name in sets:
            archives.write_archive(task, name, {"a": 1}, root)
    storage.write_npz(f"{root}/notes.npz", {"a": 1})
    storage.write_npz(f"{root}/MLP/AdamLR_20_R5.npz.bad", {"a": 1})


@pytest.mark.parametrize(
    ("tasks", "sets", "expected", "listed"),
    [
        ("MLP", "SGDLR_20_R2", ["MLP/SGDLR_20_R2"], []),
        (["RNN", "MLP"], ["S", "A"], ["RNN/S", "RNN/A", "MLP/S", "MLP/A"], []),
        ("[CM]*", "S", ["Conv/S", "MLP/S"], [""]),
        ("MLP", "Adam*", ["MLP/AdamLR_20_R2", "MLP/AdamLR_50_R2"], ["MLP"]),
        ("MLP", ["*_50_*", "*", "S"], ["MLP/AdamLR_50_R2", "MLP/AdamLR_20_R2", "MLP/S"], ["MLP"]),
        ("MLP", "SGD*", ["MLP/SGD*"], ["MLP"]),
        ("Q*", "S", ["Q*/S"], [""]),
        ("[CM]*", "S*", ["Conv/SGDLR_20_R2"], ["", "Conv", "MLP"]),
        (["[CM]*", "MLP"], "S*", ["Conv/SGDLR_20_R2", "MLP/S*"], ["", "Conv", "MLP"]),
        ("[CM]*", "Q*", ["Conv/Q*", "MLP/Q*"], ["", "Conv", "MLP"]),
        ("[CM]*", ["S*", "Q"], ["Conv/SGDLR_20_R2", "Conv/Q", "MLP/Q"], ["", "Conv", "MLP"]),
        ("[CM]*", ["SGD*", "Q*"], ["Conv/SGDLR_20_R2", "Conv/Q*", "MLP/Q*"], ["", "Conv", "MLP"]),
        ([], "S", [], []),
        ("MLP", [], [], []),
    ],
)
def test_cells_are_found_by_names_and_globs(root, tasks, sets, expected, listed, listings):
    fill_archives(root)
    listings.clear()
    assert ["/".join(cell) for cell in archives.find_cells(tasks, sets, root)] == expected
    assert sorted(listings) == sorted(f"{root}/{folder}".rstrip("/") for folder in listed)


def test_cells_of_the_default_root_are_found(root, monkeypatch):
    fill_archives(root)
    monkeypatch.setenv("LOPT_BASELINE_ARCHIVES_DIR", f"{root}/")
    assert len(archives.find_cells("*", "*")) == 5


def test_an_empty_root_keeps_the_globs(root):
    assert archives.find_cells("*", "*", root) == [("*", "*")]
