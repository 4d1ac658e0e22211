"""Tables of a row per cell, and files of tables."""

import io

import numpy as np
import pandas as pd
import pytest
from examples import (
    FIXTURES,
    SPLITS,
    TASK,
    fixture_labels,
    listed,
    make_archive,
    make_losses_archive,
    sgd,
)

from optsuite import archives, storage, tables
from optsuite.errors import StorageError
from optsuite.storage import MissingFileError

NAN = np.nan
ADAM = {"Adam_lr0.1": {"lr": 0.1, "beta1": 0.9}, "Adam_lr1": {"lr": 1, "beta1": 0.95}}


@pytest.fixture
def folder(tmp_path):
    return str(tmp_path / "archives")


# Summaries


def test_what_was_evaluated_only_before_training_has_no_best_config(folder):
    archives.write_archive(TASK, "S", make_archive(ADAM, num_steps=9), folder)
    (row,) = tables.summary_table(TASK, "S", folder).to_dict("records")
    assert row["status"] == "not evaluated after training"
    assert pd.isna(row["best_config"])
    assert pd.isna(row["train_loss_mean"])
    assert (row["diverged"], row["trials"], row["num_steps"]) == (0, 4, 9)
    points = tables.archive_table(TASK, "S", folder)
    assert points["split"].value_counts().to_dict() == {"batch": 40, "train": 4, "outer_valid": 4, "test": 4}


@pytest.mark.parametrize("fixtures", FIXTURES)
def test_a_summary_of_the_originals_archives_equals_numpy_on_their_arrays(fixtures):
    paths = sorted((fixtures / "archives" / TASK).glob("*.npz"))
    table = tables.summary_table("*", "*", str(fixtures / "archives"))
    assert table["set"].tolist() == [path.stem for path in paths]
    for path, (_, row) in zip(paths, table.iterrows(), strict=True):
        archive = storage.read_npz(str(path))
        best = archive["eval/train/loss"][:, :, -1].mean(axis=1).argmin()
        assert (row["task"], row["status"]) == (TASK, "complete")
        assert row["best_config"] == fixture_labels(path)[best]
        for split in SPLITS:
            final = archive[f"eval/{split}/loss"][best, :, -1]
            assert [row[f"{split}_loss_{name}"] for name in ("mean", "min", "max")] == [
                final.mean(dtype=np.float64),
                final.min(),
                final.max(),
            ]
            assert np.isnan(row[f"{split}_accuracy_mean"])
        assert row[["diverged", "trials", "configs", "repetitions", "num_steps"]].tolist() == [
            0,
            6,
            3,
            2,
            100,
        ]
        assert row[["data_source", "steps_per_s"]].isna().all()


def test_the_words_of_a_summary_say_what_became_of_each_cell(root):
    archives.write_archive(TASK, "Good", make_losses_archive([[3, 1], [1, NAN], [1.5, 2]]), root)
    archives.write_archive(TASK, "Dead", make_losses_archive([[NAN, 1], [2, NAN]]), root)
    storage.write_bytes(storage.archive_path(TASK, "Bad", root), b"not a zip")
    table = tables.summary_table(TASK, ["Good", "Dead", "Bad", "Gone"], root)
    status = dict(zip(table["set"], table["status"], strict=True))
    assert (status["Good"], status["Dead"], status["Gone"]) == ("complete", "all diverged", "missing")
    assert status["Bad"].startswith(f"unreadable: `{root}/{TASK}/Bad.npz` is not a readable npz")
    rows = table.set_index("set")
    assert listed(rows["best_config"]) == ["SGD_lr2", None, None, None]
    assert listed(rows["test_loss_mean"]) == [1.75, None, None, None]
    assert listed(rows["diverged"]) == [1, 2, None, None]
    assert listed(rows["data_source"]) == ["synthetic", "synthetic", None, None]


def test_a_summary_tells_unequal_seeds_and_horizons(folder):
    cells = {
        "A": make_archive(ADAM, extra={"seconds_per_step": 0.25}),
        "B": make_archive(sgd(0.1, 1, 10), seeds=(0,), num_steps=50, data_source="real", accuracy=False),
    }
    for name, archive in cells.items():
        archives.write_archive(TASK, name, archive, folder)
    table = tables.summary_table(TASK, "*", folder).set_index("set")
    counts = table[["trials", "configs", "repetitions", "num_steps"]]
    assert counts.to_numpy().tolist() == [[4, 2, 2, 20], [3, 3, 1, 50]]
    assert table["data_source"].tolist() == ["synthetic", "real"]
    assert listed(table["steps_per_s"]) == [4, None]
    assert table["test_accuracy_max"].notna().tolist() == [True, False]
    best = list(ADAM).index(table["best_config"]["A"])
    final = cells["A"]["eval/test/accuracy"][best, :, -1]
    assert table["test_accuracy_max"]["A"] == final.max()
    assert table["test_accuracy_mean"]["A"] == final.mean(dtype=np.float64)


def test_the_dtypes_of_a_summary_do_not_depend_on_what_is_known(folder):
    archives.write_archive(TASK, "A", make_archive(ADAM, extra={"seconds_per_step": 0.25}), folder)
    storage.write_bytes(storage.archive_path(TASK, "B", folder), b"bad")
    for sets in ("A", "B", ["A", "B"]):
        table = tables.summary_table(TASK, sets, folder)
        dtypes = table.dtypes.astype(str)
        names = ["task", "set", "data_source", "status", "best_config"]
        counts = ["diverged", "trials", "configs", "repetitions", "num_steps"]
        assert list(table.columns[:5]) == names
        assert list(table.columns[-6:]) == [*counts, "steps_per_s"]
        assert dtypes[names].eq("category").all()
        assert dtypes[counts].eq("Int64").all()
        assert dtypes.drop([*names, *counts]).eq("float64").all()


def test_a_summary_of_no_archive_at_all_is_an_error(root):
    with pytest.raises(MissingFileError, match=r"no archives of `S` of `T` in"):
        tables.summary_table("T", "S", root)


def test_a_best_config_with_losses_beyond_float32_is_summarised(folder):
    archive = make_losses_archive([[1, 2]])
    archive["eval/test/loss"][...] = 3e38
    archives.write_archive(TASK, "S", archive, folder)
    (row,) = tables.summary_table(TASK, "S", folder).to_dict("records")
    assert row["test_loss_max"] == np.float32(3e38)
    assert row["test_loss_mean"] == np.float32(3e38)


# Files


def example_tables(folder):
    hparams = {**ADAM, "x": {"nesterov": True, "mode": "a,b\n"}}
    archive = make_archive(hparams, accuracy=False)
    archive["train/loss"][0, 0, 1] = NAN
    archive["train/loss"][0, 0, 2] = np.inf
    archives.write_archive(TASK, "S", archive, folder)
    theirs = {key: array for key, array in archive.items() if key not in ("seed", "data_source")}
    archives.write_archive("µ", "S", theirs, folder)
    return {
        "archive": tables.archive_table([TASK, "µ"], "S", folder),
        "theirs": tables.archive_table("µ", "S", folder),
        "summary": tables.summary_table([TASK, "µ"], ["S", "Gone"], folder),
    }


def assert_same_values(read, table):
    assert list(read.columns) == list(table.columns)
    assert len(read) == len(table)
    for name in table:
        left, right = (t[name].astype(object) for t in (read, table))
        assert left.isna().equals(right.isna()), name
        assert left.dropna().map(str).tolist() == right.dropna().map(str).tolist(), name


@pytest.mark.parametrize("kind", ["archive", "theirs", "summary"])
def test_a_csv_file_has_the_values_of_its_table(root, folder, kind):
    table = example_tables(folder)[kind]
    tables.write_table(table, f"{root}/deep/table.csv")
    content = storage.read_bytes(f"{root}/deep/table.csv")
    read = pd.read_csv(io.BytesIO(content), dtype=str)
    numbers = [name for name, dtype in table.dtypes.items() if dtype != "category"]
    exact = {name: read[name].astype("float64").astype(table[name].dtype) for name in numbers}
    assert_same_values(read.assign(**exact), table)


@pytest.mark.parametrize("kind", ["archive", "theirs", "summary"])
def test_a_parquet_file_has_the_values_and_dtypes_of_its_table(root, folder, kind):
    table = example_tables(folder)[kind]
    tables.write_table(table, f"{root}/deep/table.parquet")
    read = pd.read_parquet(io.BytesIO(storage.read_bytes(f"{root}/deep/table.parquet")))
    assert_same_values(read, table)
    kept = [name for name, dtype in table.dtypes.items() if dtype != "category"]
    pd.testing.assert_frame_equal(read[kept], table[kept])


@pytest.mark.parametrize("name", ["table.xlsx", "table", "csv", "table.csv.gz"])
def test_a_table_of_another_ending_is_an_error_that_lists_the_known(root, name):
    with pytest.raises(StorageError, match=rf"`\.csv` or `\.parquet` \(got `{root}/{name}`\)"):
        tables.write_table(pd.DataFrame({"a": [1]}), f"{root}/{name}")
    assert storage.list_files(root, "") == []


def test_parquet_without_its_package_prints_the_install_line(root, monkeypatch):
    def fail(*args, **kwargs):
        raise ImportError("no pyarrow")

    monkeypatch.setattr(pd.DataFrame, "to_parquet", fail)
    with pytest.raises(StorageError, match=r"pip install 'optsuite\[parquet\]'"):
        tables.write_table(pd.DataFrame({"a": [1]}), f"{root}/a.parquet")
    assert storage.list_files(root, "") == []
