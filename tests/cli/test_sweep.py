"""plan and run, through the entry point."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from optsuite import load_archive, tasks
from optsuite.cli import main
from optsuite.data import DATASETS
from optsuite.tasks import get_task, register_task

TASK = "ImageMLP_FashionMnist8_Relu32"
SET = "SGDLR_3_R2"


@pytest.fixture(autouse=True)
def small_stand_ins(monkeypatch, tmp_path_factory):
    monkeypatch.setattr(tasks, "_TASKS", dict(tasks._TASKS))
    monkeypatch.setenv("OPTSUITE_DATA_DIR", str(tmp_path_factory.getbasetemp()))
    for name, info in list(DATASETS.items()):
        monkeypatch.setitem(DATASETS, name, replace(info, num_train=2000, num_test=500))


@pytest.fixture
def run(tmp_path, capsys):
    """Run a command on the store: its status, and what it printed."""

    def run(command, *args):
        capsys.readouterr()
        if command == "run" and "--report=on" not in args:
            args = (*args, "--report=off")
        root = str(tmp_path / "curves")
        status = main([command, *args, "--storage", root, "--data=synthetic", "--device=cpu"])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def curve_files(tmp_path):
    return list(tmp_path.rglob("*.curves"))


def test_a_plan_has_a_row_a_cell_and_trains_nothing(run, tmp_path):
    status, out, _ = run("plan", "ImageMLP_FashionMnist*_Relu32", SET)
    assert status == 0
    assert out.startswith("optsuite: 3 cells, as named: 90 trials to train, 0 recorded already; about ")
    assert len(re.findall(rf"^ImageMLP_FashionMnist\d+_Relu32 +{SET} +30 +0 ", out, re.MULTILINE)) == 3
    assert not list(tmp_path.iterdir())


def test_a_budget_leaves_out_what_does_not_fit(run):
    status, out, _ = run("plan", "ImageMLP_*8_Relu32", SET, "--budget", "0.0001s")
    assert status == 1
    status, out, _ = run("plan", "ImageMLP_Cifar10_*_Relu", "SGDLR_2000_R2", "--budget", "10h")
    assert status == 0
    assert "the budget of 10 h 0 min leaves out " in out


def test_a_run_trains_records_archives_and_reports(run, tmp_path):
    status, out, err = run("run", TASK, SET, "--report=on")
    assert status == 0
    assert f"{TASK}-{SET}: 30 of 30 trials trained" in out
    assert "complete cells archived: 1 of 1" in out
    assert len(curve_files(tmp_path)) == 30
    archive = load_archive(TASK, SET, root=str(tmp_path / "curves_archives_synthetic"))
    assert archive["train/loss"].shape == (15, 2, 4)
    (page,) = tmp_path.glob("curves_reports/*/report.html")
    assert out.endswith(f"report: {page}\n")
    assert f"optsuite run {TASK} {SET} --report=on --storage" in page.read_text()
    assert "warning" not in err


def test_a_cell_in_parts_keeps_all_workers_busy_and_is_told_as_one(run, tmp_path):
    status, out, _ = run("run", TASK, SET, "--backend=process", "--workers=2")
    assert status == 0
    assert out.count(f"{TASK}-{SET}: ") == out.count(f"{TASK}-{SET}: 30 of 30 trials trained") == 1
    assert "complete cells archived: 1 of 1" in out
    archive = load_archive(TASK, SET, root=str(tmp_path / "curves_archives_synthetic"))
    assert set(archive["trained_as"].flat) == {f"2 seeds x {count} configs, eager" for count in (7, 8)}
    assert not list(tmp_path.rglob(".optsuite_session_*"))
    assert not (tmp_path / "curves_reports").exists()


def test_what_is_recorded_is_not_trained_again(run, tmp_path):
    run("run", TASK, SET)
    times = {path: path.stat().st_mtime_ns for path in curve_files(tmp_path)}
    status, out, _ = run("run", TASK, SET)
    assert status == 0
    assert "0 trials to train, 30 recorded already" in out
    assert "trials trained" not in out
    assert {path: path.stat().st_mtime_ns for path in curve_files(tmp_path)} == times


def test_what_fails_is_told_and_leaves_the_rest(run, tmp_path):
    def broken(outputs, batch):
        if outputs.device.type != "meta":
            raise ArithmeticError("the loss is broken")
        return get_task(TASK).loss_fn(outputs, batch)

    register_task(replace(get_task(TASK), name="A_Broken", loss_fn=broken))
    register_task(replace(get_task(TASK), name="A_Good"))
    status, out, err = run("run", "A_*", SET)
    assert status == 1
    assert f"A_Good-{SET}: 30 of 30 trials trained" in out
    assert f"A_Broken-{SET}: 0 of 30 trials trained" in out
    assert f"A_Broken-{SET}: failed: " in err
    assert "the loss is broken" in err
    assert "error: 30 trials failed; run again to try those alone" in err
    assert len(curve_files(tmp_path)) == 30


def test_a_curve_that_cannot_be_read_is_told_with_what_to_do(run, tmp_path):
    run("run", TASK, SET)
    curve_files(tmp_path)[0].write_bytes(b"junk")
    status, _, err = run("run", TASK, SET)
    assert status == 1
    assert re.search(rf"^{TASK}-{SET}: failed: `.*\.curves`.* with --rerun failed$", err, re.MULTILINE)
    assert "--rerun failed where a curve cannot be read" in err
    status, out, _ = run("run", TASK, SET, "--rerun=failed")
    assert status == 0
    assert f"{TASK}-{SET}: 1 of 1 trial trained" in out


def test_advice_is_given_in_options_of_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("OPTSUITE_DATA_DIR", str(tmp_path))
    task = "ImageMLP_Cifar10_8_Relu32"
    assert main(["run", task, SET, "--storage", str(tmp_path / "curves"), "--data=real", "--device=cpu"]) == 1
    err = capsys.readouterr().err
    assert f"not found in {tmp_path}" in err
    assert "pass --data synthetic" in err


@pytest.mark.parametrize("number", ["0", "-1", "two"])
def test_a_number_of_workers_is_at_least_one(number, run, capsys):
    with pytest.raises(SystemExit):
        run("run", TASK, SET, "--backend=process", f"--workers={number}")
    assert "a whole number of at least 1 is needed" in capsys.readouterr().err


def test_ctrl_c_says_what_stays(run, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("optsuite.archives.try_archive", interrupted)
    status, _, err = run("run", TASK, SET)
    assert status == 130
    assert "what was recorded stays" in err


def test_a_name_that_is_none_is_an_error(run):
    status, _, err = run("run", "ImageMLP_FashionMnist8_Relu3", SET)
    assert status == 1
    assert f"did you mean {TASK}" in err


def test_reduced_precision_is_trained_into_roots_of_its_own(run, tmp_path, capsys):
    status, out, _ = run("run", TASK, SET, "--precision", "bf16")
    assert status == 0
    assert "complete cells archived: 1 of 1" in out
    assert {path.relative_to(tmp_path).parts[0] for path in curve_files(tmp_path)} == {
        "curves_bf16_synthetic"
    }
    assert "0 trials to train, 30 recorded already" in run("plan", TASK, SET, "--precision", "bf16")[1]
    assert "30 trials to train, 0 recorded already" in run("plan", TASK, SET)[1]
    archive = ["archive", TASK, SET, "--storage", str(tmp_path / "curves"), "--data=synthetic"]
    assert main([*archive, "--precision=bf16"]) == 0
    assert "curves_bf16_archives_synthetic" in capsys.readouterr().out
    assert main(archive) == 1
    status, _, err = run("run", TASK, SET, "--precision", "tf32")
    assert status == 1
    assert "tf32 is a precision of later CUDA devices" in err


def test_two_values_of_an_option_that_takes_one_are_refused(run, capsys):
    with pytest.raises(SystemExit, match="2"):
        run("plan", TASK, SET, "--precision", "bf16", "--precision=float32")
    assert "--precision: takes one value, and two were given (bf16 and float32)" in capsys.readouterr().err
