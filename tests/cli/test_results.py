"""archive, table, plot, report and normalizer, through the entry point."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from optsuite import archives, curves, get_hparam_set, hparam_sets, storage
from optsuite.cli import main
from optsuite.curves import ADDED_KEYS, make_curve
from optsuite.hparam_sets import _families

TASKS = ("ImageMLP_FashionMnist8_Relu32", "ImageMLP_FashionMnist16_Relu32")
SETS = ("AdamLR_20_R2", "SGDLR_20_R2")


@pytest.fixture
def root(tmp_path):
    return str(tmp_path / "curves")


@pytest.fixture
def run(root, capsys):
    """Run a command on the store: its status, and what it printed."""

    def run(*args):
        capsys.readouterr()
        status = main([*args, "--storage", root])
        printed = capsys.readouterr()
        return status, printed.out.strip(), printed.err.strip()

    return run


def make(trial, level, source="real"):
    steps = np.arange(trial.schedule.num_steps + 1)
    evals = steps[:: trial.schedule.eval_every]
    falling = {split: level * np.exp(-evals / 20) for split in ("train", "outer_valid", "test")}
    return make_curve(
        task_name=trial.task_name,
        opt_name=trial.config.label,
        **vars(trial.schedule),
        seed=trial.seed,
        train_loss=level * np.exp(-steps / 20),
        eval_metrics={f"{s}/{m}": v for s, v in falling.items() for m in ("loss", "loss_normalized")},
        data_source=source,
        config_text=json.dumps({"hparams": dict(trial.config.hparams)}),
        accelerator_platform="cpu",
        accelerator_kind="cpu",
        accelerator_devs=1,
        trial_id=trial.id(source),
    )


@pytest.fixture
def recorded(root):
    """Curves of two tasks and two sets; the best of each set is its last config but one."""
    for task in TASKS:
        for name in SETS:
            for i, trial in enumerate(get_hparam_set(name).trials(task)):
                curves.write_curve(make(trial, 2 + abs(13 - i // 2) + trial.seed), root)
    return root


@pytest.fixture
def archived(recorded, run):
    assert run("archive", "*", *SETS)[0] == 0
    return recorded


def test_archive_stacks_complete_cells_and_prints_where(recorded, run):
    status, out, err = run("archive", "ImageMLP*", *SETS)
    assert (status, err) == (0, "")
    # A glob gives tasks in the order of their names.
    assert out.splitlines() == [
        f"{recorded}_archives/{task}/{name}.npz" for task in sorted(TASKS) for name in SETS
    ]
    assert archives.load_archive(TASKS[0], SETS[0], f"{recorded}_archives")["train/loss"].shape == (15, 2, 21)


def test_archive_says_what_an_incomplete_cell_lacks(recorded, run):
    trial = get_hparam_set(SETS[0]).trials(TASKS[0])[3]
    folder = storage.curve_dir(TASKS[0], trial.config.label, **vars(trial.schedule), root=recorded)
    for file in storage.list_files(folder, f"_{trial.id('real')}.curves"):
        storage.remove(file)
    status, out, _ = run("archive", TASKS[0], *SETS)
    assert status == 1
    first, second = out.splitlines()
    assert f"{TASKS[0]}-{SETS[0]}: not archived from {recorded}, it lacks 1 of 30 curves: " in first
    assert first.endswith(f"{trial.config.label} repetition 1")
    assert second.endswith(f"{SETS[1]}.npz")


def test_archive_says_if_curves_are_of_other_trials(root, run):
    for trial in get_hparam_set(SETS[0]).trials(TASKS[0]):
        curves.write_curve(make(trial, 1, "synthetic"), root)
    status, out, _ = run("archive", TASKS[0], SETS[0])
    assert status == 1
    assert f"not archived from {root}, it lacks 30 of 30 curves: " in out
    assert out.endswith("; 30 curves there are of other trials (other data or hyperparameters)")


def test_archive_globs_over_what_is_recorded(recorded, run):
    status, out, _ = run("archive", TASKS[0], "SGDLR*")
    assert (status, out) == (0, f"{recorded}_archives/{TASKS[0]}/SGDLR_20_R2.npz")
    status, out, _ = run("archive", TASKS[0], "*")
    assert (status, len(out.splitlines())) == (0, 2)


def test_archive_globs_over_published_sets_of_a_recorded_length(root, run):
    trial = get_hparam_set("SGDLR_2000_R5").trials(TASKS[0])[0]
    theirs = {key: array for key, array in make(trial, 1).items() if key not in ADDED_KEYS}
    storage.write_npz(f"{trial.folder(root)}/x.curves", theirs)
    status, out, _ = run("archive", "*", "SGD*")
    assert status == 1
    assert out.startswith(f"{TASKS[0]}-SGDLR_2000_R5: not archived from {root}, it lacks 74 of 75")


def test_a_task_without_what_a_glob_asks_for_is_one_line_and_no_error(recorded, run):
    trial = get_hparam_set("AdamWLR_20_R1").trials(TASKS[1])[0]
    curves.write_curve(make(trial, 1), recorded)
    status, out, _ = run("archive", "*", "SGDLR_20_R2", "RAdam*")
    assert status == 0
    assert out.splitlines()[1::2] == [f"{task}: nothing recorded of `RAdam*`" for task in sorted(TASKS)]
    assert run("archive", "*", "RAdam*")[0] == 1  # nothing at all: likely a typo


def test_archive_of_nothing_names_the_root(root, run):
    assert run("archive", "*", SETS[0]) == (1, "", f"error: there are no curves in `{root}`")
    assert run("archive", "T", "*") == (1, "", f"error: there are no curves of task `T` in `{root}`")


def test_archive_reads_no_list_of_settings_for_a_glob(recorded, run, monkeypatch):
    monkeypatch.setitem(_families._FAMILIES, "OptList1k", replace(hparam_sets.get_family("OptList1k")))
    monkeypatch.setenv("OPTSUITE_OPT_LIST", "memory://nowhere")
    status, out, err = run("archive", TASKS[0], "SGDLR_*")
    assert (status, err) == (0, "")
    assert out == f"{recorded}_archives/{TASKS[0]}/{SETS[1]}.npz"


def test_archive_of_an_unknown_set_suggests_others(recorded, run):
    status, out, err = run("archive", TASKS[0], SETS[0], "AdmLR_20_R2")
    assert (status, out) == (1, "")
    assert "unknown hparam set `AdmLR_20_R2`: did you mean" in err


def test_table_prints_a_row_a_cell(archived, run):
    status, out, _ = run("table")
    assert status == 0
    head, *rows = out.splitlines()
    assert head.split("  ")[0] == "task"
    assert "best config" in head
    assert [row.split()[:3] for row in rows] == [
        [task, name, f"{name.partition('LR')[0]}_lr0.3"] for task in sorted(TASKS) for name in SETS
    ]
    assert all(row.endswith("0 of 30") for row in rows)


def test_table_says_in_words_what_has_no_numbers(archived, run):
    storage.write_bytes(f"{archived}_archives/{TASKS[0]}/{SETS[1]}.npz", b"damaged")
    status, out, _ = run("table", TASKS[0], *SETS, "AdamWLR_20_R2")
    assert status == 0
    _, fine, damaged, missing = out.splitlines()
    assert fine.endswith("0 of 30")
    assert "unreadable" in damaged
    assert f"{SETS[1]}.npz" in damaged
    assert missing.endswith("missing")


def test_table_of_nothing_names_the_root(run, root):
    status, out, err = run("table")
    assert (status, out) == (1, "")
    assert f"{root}_archives" in err


def test_table_tells_stand_ins_where_there_are_some(archived, run):
    assert " data " not in run("table")[1].splitlines()[0]
    for name, change in {"SGDLR_20_R2": "synthetic", "AdamLR_20_R2": None}.items():
        archive = archives.load_archive(TASKS[1], name, f"{archived}_archives")
        sources = archive.pop("data_source")
        if change:
            archive["data_source"] = np.full_like(sources, change, dtype="U9")
        archives.write_archive(TASKS[1], name, archive, f"{archived}_archives")
    head, *rows = run("table", TASKS[1], "*")[1].splitlines()
    assert head.split("  ")[0] == "task"
    assert [row.split()[2] for row in rows] == ["-", "stand-in"]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_table_writes_every_point(archived, run, tmp_path, suffix):
    file = str(tmp_path / f"table.{suffix}")
    status, out, _ = run("table", "--kind", "archive", TASKS[0], SETS[0], "-o", file)
    assert (status, out) == (0, file)
    table = pd.read_csv(file) if suffix == "csv" else pd.read_parquet(file)
    assert len(table) == 30 * (21 + 3 * 3)
    assert set(table["config"]) == {config.label for config in get_hparam_set(SETS[0]).configs}


def test_table_of_curves_needs_no_archive(recorded, run, tmp_path):
    file = str(tmp_path / "table.csv")
    assert run("table", "--kind", "curves", TASKS[0], "Adam_lr0.1", "-o", file)[0] == 0
    assert set(pd.read_csv(file)["seed"]) == {0, 1}


def test_table_prints_points_as_csv(archived, run):
    status, out, _ = run("table", "--kind", "archive", TASKS[0], SETS[0])
    assert status == 0
    assert out.splitlines()[0].startswith("task,set,config,lr,repetition,seed")


def test_a_reader_that_stops_reading_is_no_error(archived):
    command = [sys.executable, "-m", "optsuite", "table", "--kind", "archive", "--storage", archived]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline().startswith("task,")
        process.stdout.close()
        assert process.stderr.read() == ""


@pytest.mark.parametrize("kind", ["curves", "lr", "final"])
@pytest.mark.parametrize("form", ["png", "svg"])
def test_plot_writes_a_figure(archived, run, tmp_path, kind, form):
    file = tmp_path / f"figure.{form}"
    status, out, err = run("plot", TASKS[0], *SETS, "--kind", kind, "-o", str(file))
    assert (status, out, err) == (0, str(file), "")
    content = file.read_bytes()
    assert content.startswith(b"\x89PNG") if form == "png" else b"<svg" in content


def test_plot_draws_a_grid_of_tasks(archived, run, tmp_path):
    file = tmp_path / "grid.svg"
    assert run("plot", "*", "*", "-o", str(file))[0] == 0
    assert all(task in file.read_text() for task in TASKS)


def test_plot_of_many_tasks_where_one_is_needed_says_so(archived, run, tmp_path):
    status, _, err = run("plot", "*", "--kind", "lr", "-o", str(tmp_path / "x.png"))
    assert status == 1
    assert "this plot shows one task (got 2" in err


def test_plot_refuses_other_formats_before_it_reads(run, tmp_path):
    status, _, err = run("plot", "*", "-o", str(tmp_path / "x.pdf"))
    assert status == 1
    assert "`.png` or `.svg`" in err


def test_a_normalizer_is_built_merged_and_drawn(archived, run, tmp_path):
    name = "speedup_over_adam_20_R2"
    file = f"{archived}_archives/{name}.json"
    assert run("normalizer", name, TASKS[0]) == (0, file, "")
    status, out, _ = run("normalizer", name)  # the other task joins; the same values are no conflict
    assert (status, out) == (0, file)
    assert list(json.loads(storage.read_bytes(file))) == sorted(TASKS)
    figure = tmp_path / "normalized.svg"
    args = ("--kind", "normalized", "--normalizer", file, "-o", str(figure))
    assert run("plot", "*", *SETS, *args)[0] == 0
    assert "<svg" in figure.read_text()


def test_a_normalizer_replaces_a_task_only_if_told_to(archived, run):
    name = "speedup_over_adam_20_R2"
    _, file, _ = run("normalizer", name)
    content = json.loads(storage.read_bytes(file))
    content[TASKS[0]][1][0] += 1
    storage.write_bytes(file, json.dumps(content).encode())
    status, _, err = run("normalizer", name)
    assert status == 1
    assert TASKS[0] in err
    assert run("normalizer", name, "--overwrite")[0] == 0
    assert json.loads(storage.read_bytes(file))[TASKS[0]] != content[TASKS[0]]


def test_a_task_that_cannot_be_normalized_does_not_cost_the_others(archived, run):
    storage.write_bytes(f"{archived}_archives/{TASKS[1]}/AdamLR_20_R2.npz", b"damaged")
    status, out, err = run("normalizer", "speedup_over_adam_20_R2")
    assert status == 1
    assert list(json.loads(storage.read_bytes(out))) == [TASKS[0]]
    assert TASKS[1] in err


def test_a_normalizer_leaves_out_tasks_that_lack_archives_unless_they_are_named(archived, run):
    archives.delete_archive("AdamLR_20_R2", TASKS[1], f"{archived}_archives")
    name = "speedup_over_adam_20_R2"
    status, out, err = run("normalizer", name)
    assert (status, err) == (0, "tasks without its archives: 1")
    assert list(json.loads(storage.read_bytes(out))) == [TASKS[0]]
    status, _, err = run("normalizer", name, TASKS[1])
    assert status == 1
    assert f"no archive of `AdamLR_20_R2` for task `{TASKS[1]}`" in err
    status, out, err = run("normalizer", "speedup_over_adam_40_R2")
    assert (status, out) == (1, "")
    assert f"no task in `{archived}_archives` has archives of AdamLR_40_R2" in err


def test_a_normalized_plot_without_a_normalizer_says_how_to_make_one(archived, run, tmp_path):
    status, _, err = run("plot", "*", "--kind", "normalized", "-o", str(tmp_path / "x.png"))
    assert status == 1
    assert "`optsuite normalizer` makes one" in err


def test_report_writes_a_page(archived, run):
    status, out, err = run("report")
    assert (status, out, err) == (0, f"{archived}_reports/report.html", "")
    page = storage.read_bytes(out).decode()
    assert all(name in page for name in (*TASKS, *SETS))


def test_a_report_on_stand_ins_does_not_replace_the_real_one(archived, run):
    storage.write_npz(
        f"{archived}_archives_synthetic/{TASKS[0]}/{SETS[0]}.npz",
        archives.load_archive(TASKS[0], SETS[0], f"{archived}_archives"),
    )
    status, out, _ = run("report", "--data", "synthetic")
    assert (status, out) == (0, f"{archived}_reports/report-stand-in.html")


def test_a_report_warns_of_a_torn_normalizer_and_goes_on(archived, run):
    storage.write_bytes(f"{archived}_archives/speedup_over_adam_20_R2.json", b"bad")
    status, out, err = run("report")
    assert (status, out) == (0, f"{archived}_reports/report.html")
    assert "warning: `" in err
    assert "speedup_over_adam_20_R2.json` is not readable JSON" in err


def test_report_of_nothing_is_an_error(run, root):
    status, _, err = run("report")
    assert status == 1
    assert f"{root}_archives" in err
