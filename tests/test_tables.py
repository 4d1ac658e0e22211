"""Tidy tables of archives and of curves."""

import numpy as np
import pandas as pd
import pytest
from examples import (
    FIXTURE_LRS,
    FIXTURES,
    TASK,
    fixture_labels,
    listed,
    make_archive,
    make_losses_archive,
    make_trial,
    points,
    sgd,
)

from optsuite import archives, curves, storage, tables
from optsuite.archives import NotEvaluatedError
from optsuite.storage import CorruptFileError, MissingFileError

NAN = np.nan
METRICS = ("loss", "loss_normalized", "accuracy")
ADAM = {"Adam_lr0.1": {"lr": 0.1, "beta1": 0.9}, "Adam_lr1": {"lr": 1, "beta1": 0.95}}


@pytest.fixture
def folder(tmp_path):
    return str(tmp_path / "archives")


def assert_equals_archive(table, archive, splits=tables.SPLITS):
    """Every value of one cell's rows is the archive's, and the archive's are all there."""
    num_trials = archive["train/loss"][..., 0].size
    lengths = {split: archive[f"{'train' if split == 'batch' else 'eval'}/xs"].shape[-1] for split in splits}
    assert len(table) == num_trials * sum(lengths.values())
    for split in splits:
        rows = table[table["split"] == split]
        room, prefix = ("train", "train") if split == "batch" else ("eval", f"eval/{split}")
        assert sorted(rows["step"].unique()) == sorted(np.unique(archive[f"{room}/xs"]))
        for metric in METRICS:
            key = f"{prefix}/{metric}"
            if key in archive:
                np.testing.assert_array_equal(points(rows, metric), archive[key], strict=True)
            else:
                assert rows[metric].isna().all()


# Archives


@pytest.mark.parametrize("fixtures", FIXTURES)
def test_a_table_of_the_originals_archives_equals_their_arrays(fixtures):
    paths = sorted((fixtures / "archives" / TASK).glob("*.npz"))
    assert paths
    table = tables.archive_table("*", "*", str(fixtures / "archives"))
    assert table["set"].unique().tolist() == [path.stem for path in paths]
    for path in paths:
        rows = table[table["set"] == path.stem]
        assert_equals_archive(rows, storage.read_npz(str(path)))
        assert rows["config"].unique().tolist() == fixture_labels(path)
        assert rows.drop_duplicates("config")["lr"].tolist() == list(FIXTURE_LRS)
    assert set(table["task"]) == {TASK}
    assert table["seed"].isna().all()
    assert table["data_source"].isna().all()


def test_a_table_of_ours_equals_the_arrays_and_knows_seed_and_data(root):
    archive = make_archive(ADAM, seeds=(3, 4, 5))
    archives.write_archive(TASK, "AdamLR_20_R3", archive, root)
    table = tables.archive_table(TASK, "AdamLR_20_R3", root)
    assert_equals_archive(table, archive)
    assert table["accuracy"].notna().sum() == 2 * 3 * 3 * 3
    assert set(table["data_source"]) == {"synthetic"}
    assert table.groupby("repetition")["seed"].unique().map(list).to_dict() == {0: [3], 1: [4], 2: [5]}
    assert table.groupby("config", observed=True)["beta1"].unique().map(list).to_dict() == {
        "Adam_lr0.1": [0.9],
        "Adam_lr1": [0.95],
    }


def test_columns_and_dtypes_are_those_of_the_docstring(folder):
    archives.write_archive(TASK, "S", make_archive(ADAM), folder)
    table = tables.archive_table(TASK, "S", folder)
    assert [(name, str(dtype)) for name, dtype in table.dtypes.items()] == [
        *((name, "category") for name in ("task", "set", "config")),
        *((name, "float64") for name in ("lr", "beta1")),
        ("repetition", "int16"),
        ("seed", "Int64"),
        ("data_source", "category"),
        ("split", "category"),
        ("step", "int64"),
        *((metric, "float32") for metric in METRICS),
    ]
    assert list(table["split"].cat.categories) == list(tables.SPLITS)
    assert table.index.equals(pd.RangeIndex(len(table)))


@pytest.mark.parametrize("splits", [["batch"], ["test"], ["batch", "train"], ("test", "outer_valid")])
def test_only_the_splits_that_are_asked_for_are_there(folder, splits):
    archive = make_archive(ADAM)
    archives.write_archive(TASK, "S", archive, folder)
    table = tables.archive_table(TASK, "S", folder, splits=splits)
    assert set(table["split"].unique()) == set(splits)
    assert_equals_archive(table, archive, splits)


@pytest.mark.parametrize(
    ("splits", "got"), [(["test", "valid", "dev"], "dev, valid"), ([], "none"), ("train", "train")]
)
@pytest.mark.parametrize("make", [tables.archive_table, tables.curves_table])
def test_an_unknown_split_is_an_error_that_lists_the_known(make, splits, got):
    message = rf"some of train, outer_valid, test, batch \(got {got}\)$"
    with pytest.raises(ValueError, match=message):
        make(TASK, "*", "memory://nowhere", splits=splits)


def test_missing_archives_are_all_named(root):
    archives.write_archive(TASK, "A", make_archive(ADAM), root)
    message = (
        r"^2 of 3 archives are missing:\n"
        rf"no archive of `B` for task `{TASK}` at `{root}/{TASK}/B\.npz`\n"
        rf"no archive of `C\*` for task `{TASK}` at "
    )
    with pytest.raises(MissingFileError, match=message):
        tables.archive_table(TASK, ["A", "B", "C*"], root)
    with pytest.raises(MissingFileError, match=r"1 of 1 .*\n.*`B` for task `T`"):
        tables.archive_table("T", "B", root)


def test_nothing_asked_for_is_an_error(folder):
    with pytest.raises(MissingFileError, match=r"no archives of tasks \[\] and sets 'S'"):
        tables.archive_table([], "S", folder)


def test_globs_leave_out_tasks_without_such_a_set(folder):
    archives.write_archive("T", "A", make_archive(ADAM), folder)
    archives.write_archive("U", "B", make_archive(ADAM), folder)
    assert set(tables.archive_table("*", "A*", folder)["task"]) == {"T"}
    assert tables.summary_table("*", "A*", folder)["task"].tolist() == ["T"]


def test_a_corrupt_archive_is_an_error_that_names_it(root):
    archives.write_archive(TASK, "A", make_archive(ADAM), root)
    storage.write_bytes(storage.archive_path(TASK, "B", root), b"not a zip")
    with pytest.raises(CorruptFileError, match=r"B\.npz` is not a readable npz"):
        tables.archive_table(TASK, "*", root)


@pytest.mark.parametrize(
    ("changes", "splits", "message"),
    [
        ({"train/loss": None}, ["test"], "lacks train/loss"),
        ({"train/xs": None}, ["batch"], "lacks train/xs"),
        ({"eval/test/loss": None}, ["train", "test"], "lacks eval/test/loss"),
        ({"eval/xs": None}, ["train"], "lacks eval/xs"),
        ({"train/xs": np.arange(21)}, ["batch"], r"`train/xs` needs .*got \(21,\)"),
        ({"eval/test/accuracy": np.zeros((2, 2, 4))}, ["test"], r"`eval/test/accuracy` needs .*2, 4\)"),
        ({"eval/test/loss_normalized": np.zeros((2, 2))}, ["test"], r"`eval/test/loss_normalized` needs"),
        ({"seed": np.zeros(2)}, ["test"], r"`seed` needs shape .*got \(2,\)"),
        ({"seed": np.full((2, 2), "x")}, ["test"], r"`seed` needs integers, got <U1"),
        ({"train/loss": np.full((2, 2, 21), "x")}, ["batch"], r"`train/loss` needs numbers, got <U1"),
    ],
)
def test_an_archive_without_a_fitting_key_is_an_error_that_names_both(folder, changes, splits, message):
    archive = {**make_archive(ADAM), **changes}
    archive = {key: array for key, array in archive.items() if array is not None}
    archives.write_archive(TASK, "S", archive, folder)
    with pytest.raises(CorruptFileError, match=rf"S\.npz.*{message}"):
        tables.archive_table(TASK, "S", folder, splits=splits)


def test_a_split_that_is_not_asked_for_may_be_missing(folder):
    archive = {key: array for key, array in make_archive(ADAM).items() if not key.startswith("eval/test")}
    archives.write_archive(TASK, "S", archive, folder)
    assert_equals_archive(tables.archive_table(TASK, "S", folder, splits=["train"]), archive, ["train"])


def test_an_archive_without_evaluations_has_its_batches_alone(folder):
    archive = make_archive(ADAM, eval_batches=0, eval_metrics={})
    archives.write_archive(TASK, "S", archive, folder)
    assert_equals_archive(tables.archive_table(TASK, "S", folder, splits=["batch"]), archive, ["batch"])
    assert_equals_archive(tables.archive_table(TASK, "S", folder), archive, ["batch"])
    with pytest.raises(NotEvaluatedError, match=r"S\.npz` .* lacks eval/xs, eval/test/loss"):
        tables.archive_table(TASK, "S", folder, splits=["test"])
    assert tables.summary_table(TASK, "S", folder)["status"].tolist() == ["not evaluated"]


# Cells of different kinds in one table


def test_cells_of_different_tasks_horizons_and_seeds_fit_in_one_table(folder):
    cells = {
        ("T", "A"): make_archive(ADAM),
        ("T", "B"): make_archive(sgd(0.1, 1, 10), seeds=(7, 8, 9), num_steps=50, accuracy=False),
        ("U", "A"): make_archive(ADAM, seeds=(2**60 + 1,), num_steps=10),
        ("U", "B"): make_archive(sgd(1), data_source="real"),
    }
    for cell, archive in cells.items():
        archives.write_archive(*cell, archive, folder)
    table = tables.archive_table(["U", "T"], "*", folder)
    order = table.drop_duplicates(["task", "set"])[["task", "set"]].to_numpy().tolist()
    assert order == [["U", "A"], ["U", "B"], ["T", "A"], ["T", "B"]]
    for (task, name), archive in cells.items():
        rows = table[(table["task"] == task) & (table["set"] == name)]
        assert_equals_archive(rows, archive)
        assert sorted(set(rows["seed"])) == sorted(set(archive["seed"].flat))
        assert set(rows["data_source"]) == set(archive["data_source"].flat)


@pytest.mark.parametrize("fixtures", FIXTURES)
def test_archives_of_ours_and_the_originals_fit_in_one_table(fixtures, folder):
    theirs = storage.read_npz(str(fixtures / "archives" / TASK / "SGDLR_100_R2.npz"))
    archives.write_archive(TASK, "theirs", theirs, folder)
    archives.write_archive(TASK, "ours", make_archive(ADAM, seeds=(2**60 + 1,)), folder)
    table = tables.archive_table(TASK, ["theirs", "ours"], folder)
    assert_equals_archive(table[table["set"] == "theirs"], theirs)
    ours = table[table["set"] == "ours"]
    assert set(ours["seed"]) == {2**60 + 1}  # which no float is
    assert table.loc[table["set"] == "theirs", ["seed", "data_source", "beta1"]].isna().all(axis=None)


def test_hyperparameters_that_a_config_has_not_are_nan_and_words_are_categories(folder):
    hparams = {
        "a": {"lr": 1, "nesterov": True, "mode": "max"},
        "b": {"lr": 0.5, "nesterov": False, "momentum": 0.9},
    }
    archives.write_archive(TASK, "A", make_archive(hparams), folder)
    archives.write_archive(TASK, "B", make_archive({"c": {"clip": 3}}), folder)
    table = tables.archive_table(TASK, "*", folder, splits=["test"])
    assert list(table.columns[3:8]) == ["lr", "nesterov", "mode", "momentum", "clip"]
    rows = table.drop_duplicates("config").set_index("config")
    assert listed(rows["lr"]) == [1, 0.5, None]
    assert listed(rows["momentum"]) == [None, 0.9, None]
    assert listed(rows["clip"]) == [None, None, 3]
    assert table[["lr", "momentum", "clip"]].dtypes.eq("float64").all()
    assert table[["nesterov", "mode"]].dtypes.eq("category").all()
    assert (rows["nesterov"]["a"], rows["nesterov"]["b"], rows["mode"]["a"]) == (True, False, "max")
    assert rows["nesterov"].isna().tolist() == [False, False, True]
    assert rows["mode"].isna().tolist() == [False, True, True]


def test_hyperparameters_that_are_tuples_are_written_out(folder):
    """As `betas` of an optimizer class; a column of tuples is no category, nor one of Parquet."""
    hparams = {"a": {"betas": (0.9, 0.99)}, "b": {"betas": (0.9, 0.95)}, "c": {}}
    archives.write_archive(TASK, "S", make_archive(hparams), folder)
    table = tables.archive_table(TASK, "S", root=folder)
    assert listed(table.drop_duplicates("config")["betas"]) == ["(0.9, 0.99)", "(0.9, 0.95)", None]
    tables.write_table(table, f"{folder}/table.parquet")


def test_a_hyperparameter_of_several_types_becomes_words(folder):
    hparams = {"a": {"clip": 0.5}, "b": {"clip": "auto"}, "c": {"clip": True}, "d": {}}
    archives.write_archive(TASK, "S", make_archive(hparams), folder)
    table = tables.archive_table(TASK, "S", folder, splits=["test"]).drop_duplicates("config")
    assert table["clip"].dropna().tolist() == ["0.5", "auto", "True"]
    tables.write_table(table, f"{folder}/table.parquet")


def test_a_hyperparameter_named_like_a_column_gets_a_prefix(folder):
    hparams = {"a": {"lr": 1, "seed": 5, "step": 6, "loss": 7, "split": "x", "config": "y", "set": 8}}
    archives.write_archive(TASK, "S", make_archive(hparams), folder)
    table = tables.archive_table(TASK, "S", folder)
    assert table.columns.is_unique
    prefixed = [f"hparam_{name}" for name in ("seed", "step", "loss", "split", "config", "set")]
    assert list(table.columns[3:10]) == ["lr", *prefixed]
    assert table.loc[0, prefixed].tolist() == [5, 6, 7, "x", "y", 8]
    assert_equals_archive(table, make_archive(hparams))


def test_losses_that_are_not_finite_are_kept(folder):
    archive = make_losses_archive([[NAN, 1]])
    archive["train/loss"][0, 1, 5] = np.inf
    archives.write_archive(TASK, "S", archive, folder)
    assert_equals_archive(tables.archive_table(TASK, "S", folder), archive)


# Curves


def write_cell(root, hparams_by_label=ADAM, seeds=(0, 1), **changes):
    return [
        curves.write_curve(make_trial(label, hparams, seed, **changes), root)
        for label, hparams in hparams_by_label.items()
        for seed in seeds
    ]


def test_a_complete_cells_curves_give_the_table_of_its_archive(root):
    write_cell(f"{root}/curves", seeds=(1, 0))
    archives.write_archive(TASK, "S", make_archive(ADAM), f"{root}/archives")
    of_curves = tables.curves_table(root=f"{root}/curves")
    of_archive = tables.archive_table(TASK, "S", f"{root}/archives")
    assert set(of_curves) - set(of_archive) == {"schedule", "file"}
    assert set(of_archive) - set(of_curves) == {"set"}
    assert set(of_curves["schedule"]) == {"20_10_5_10"}
    order = ["config", "seed", "split", "step"]
    columns = [name for name in of_archive if name not in ("set", "repetition")]  # their order is the files'
    left, right = (t[columns].sort_values(order, ignore_index=True) for t in (of_curves, of_archive))
    pd.testing.assert_frame_equal(left, right)


@pytest.mark.parametrize("fixtures", FIXTURES)
def test_a_table_of_the_originals_curves_equals_its_files(fixtures):
    table = tables.curves_table(root=str(fixtures / "baselines"))
    paths = sorted((fixtures / "baselines").rglob("*.curves"))
    assert set(table["file"]) == {path.name for path in paths}
    assert set(table["schedule"]) == {"100_10_5_10"}
    for path in paths:
        rows = table[table["file"] == path.name]
        label = path.parts[-3]
        assert (set(rows["task"]), set(rows["config"])) == ({TASK}, {label})
        assert set(rows["lr"]) == {float(label.rpartition("_lr")[2])}
        assert set(rows["repetition"]) == {sorted(path.parent.iterdir()).index(path)}
        stacked = archives.stack_curves([[storage.read_npz(str(path))]])
        assert_equals_archive(rows, stacked)


def test_incomplete_cells_and_several_schedules_are_in_the_table(root):
    write_cell(root)
    storage.remove(write_cell(root, sgd(0.1), num_steps=50)[0])
    table = tables.curves_table(root=f"{root}/")
    trials = table.drop_duplicates("file")
    assert trials.groupby(["config", "schedule"], observed=True).size().to_dict() == {
        ("Adam_lr0.1", "20_10_5_10"): 2,
        ("Adam_lr1", "20_10_5_10"): 2,
        ("SGD_lr0.1", "50_10_5_10"): 1,
    }
    assert table.columns[:6].tolist() == ["task", "schedule", "config", "lr", "beta1", "repetition"]
    rows = table[table["config"] == "SGD_lr0.1"]
    archive = archives.stack_curves([[make_trial("SGD_lr0.1", {"lr": 0.1}, 1, num_steps=50)]])
    assert_equals_archive(rows, archive)


def test_curves_are_chosen_by_names_and_globs(root, monkeypatch):
    monkeypatch.setenv("LOPT_BASELINE_DIR", root)
    for task in ("T", "U"):
        write_cell(root, {**ADAM, **sgd(1)}, task_name=task)
    table = tables.curves_table("T", ["Adam_*", "*_lr0.1"], splits=["test"])
    assert set(table["task"]) == {"T"}
    assert set(table["config"]) == set(ADAM)
    assert set(table["split"]) == {"test"}


def test_corrupt_curves_are_left_out_and_told(root):
    url = write_cell(root)[0]
    storage.write_bytes(f"{url.rpartition('/')[0]}/20260101_000000_aaaaaaaaaa.curves", b"bad")
    with pytest.warns(curves.CorruptFileWarning, match=r"left out 1 .*\n.*_aaaaaaaaaa\.curves"):
        table = tables.curves_table(root=root)
    assert table["file"].nunique() == 4


def test_no_curves_at_all_are_an_error_that_names_what_was_asked(root):
    with pytest.raises(MissingFileError, match=rf"^there are no curves in `{root}`$"):
        tables.curves_table("*", ["Adam*"], root)
    storage.write_bytes(write_cell(root, sgd(1), seeds=[0])[0], b"bad")
    message = rf"no curves of tasks '\*' and configs \['SGD\*'\] under `{root}`"
    with pytest.raises(MissingFileError, match=message), pytest.warns(curves.CorruptFileWarning):
        tables.curves_table("*", ["SGD*"], root)


@pytest.mark.parametrize(
    ("tasks", "configs", "message"),
    [
        ("*", ["Adam_lr*", "SDG_lr1"], r"^unknown config of these tasks `SDG_lr1`: did you mean SGD_lr1, "),
        ("U", ["*", "Adam_lr*"], r"^unknown config of these tasks `Adam_lr\*`: did you mean SGD_lr1$"),
        (["T", "Typo"], "*", r"^unknown task \(in `.*`\) `Typo`: valid names are T, U$"),
        (["Q*", "Typo"], "x", r"^unknown task .* `Q\*`: .*\nunknown task .* `Typo`: .*$"),
    ],
)
def test_a_name_or_glob_that_matches_nothing_is_an_error_that_says_what_there_is(
    root, tasks, configs, message
):
    write_cell(root, ADAM, task_name="T")
    write_cell(root, sgd(1), task_name="U")
    with pytest.raises(MissingFileError, match=message):
        tables.curves_table(tasks, configs, root)
    assert tables.curves_table(["T", "U"], "SGD*", root)["task"].unique().tolist() == ["U"]


def test_curves_without_evaluations_have_their_batches_alone(root):
    write_cell(root, sgd(1), eval_batches=0, eval_metrics={})
    table = tables.curves_table(root=root)
    assert set(table["split"]) == {"batch"}
    none = tables.curves_table(root=root, splits=["test"])
    assert len(none) == 0
    assert list(none.columns) == list(table.columns)
    pd.testing.assert_series_equal(none.dtypes, table.dtypes)
