"""contest and suites, through the entry point."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from optsuite import baselines, tasks
from optsuite.cli import main
from optsuite.data import DATASETS
from optsuite.hparam_sets import _families
from optsuite.suites import _registry

TASK = "ImageMLP_FashionMnist8_Relu32"

SUITE = f"""
name = "tiny"
version = 3
about = "a test"
tasks = ["{TASK}"]
families = ["SGDLR", "AdamLR"]
reference = "SGDLR"
num_steps = 10
num_seeds = 2
"""

OWN = """
import torch


class Mine(torch.optim.SGD):
    def __init__(self, params, lr=1e-5):
        super().__init__(params, lr=lr)
"""


@pytest.fixture(autouse=True)
def small_stand_ins(monkeypatch, tmp_path_factory):
    monkeypatch.setattr(tasks, "_TASKS", dict(tasks._TASKS))
    monkeypatch.setattr(_families, "_FAMILIES", dict(_families._FAMILIES))
    monkeypatch.setattr(_registry, "_SUITES", dict(_registry._SUITES))
    monkeypatch.setenv("OPTSUITE_DATA_DIR", str(tmp_path_factory.getbasetemp()))
    monkeypatch.delenv("OPTSUITE_DATA", raising=False)
    for name, info in list(DATASETS.items()):
        small = replace(info, num_train=2000, num_test=500, system_folders=())
        monkeypatch.setitem(DATASETS, name, small)


@pytest.fixture
def files(tmp_path):
    (tmp_path / "tiny.toml").write_text(SUITE)
    (tmp_path / "my.py").write_text(OWN)
    return tmp_path


@pytest.fixture
def contest(files, capsys):
    """Hold a contest on the store: its status, and what it printed."""

    def run(optimizer, *args, data="synthetic"):
        capsys.readouterr()
        places = ["--storage", str(files / "curves"), "--device=cpu"]
        places += [] if "--report=on" in args else ["--report=off"]
        suite = [] if "--suite" in args else ["--suite", str(files / "tiny.toml")]
        status = main(["contest", optimizer, *suite, *args, *places, *([f"--data={data}"] if data else [])])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def trained(out):
    """Sets that were trained, by what was printed."""
    lines = [line for line in out.splitlines() if line.startswith(f"{TASK}-") and line.endswith("trained")]
    return sorted(line.removeprefix(f"{TASK}-").partition(":")[0] for line in lines)


def test_the_optimizer_and_the_reference_are_trained_and_judged(contest, files):
    status, out, _ = contest(f"{files}/my.py:Mine")
    assert trained(out) == ["MineLR_10_R2", "SGDLR_10_R2"]
    assert out.startswith("Mine against SGD, Adam on tiny v3\n")
    assert "Mine against tuned SGD" in out
    assert "the 1 task of tiny v3, 2 paired seeds" in out
    assert f"missing: {TASK}/AdamLR_10_R2: there is no archive" in out
    assert status == 3  # they are the same


def test_what_is_recorded_is_not_trained_again(contest, files):
    first, _, _ = contest(f"{files}/my.py:Mine")
    again, out, _ = contest(f"{files}/my.py:Mine")
    assert "0 trials to train, 60 recorded already" in out
    assert trained(out) == []
    assert first == again


def test_who_has_no_results_is_left_out_unless_named(contest, files):
    _, out, _ = contest(f"{files}/my.py:Mine")
    assert (
        "without results on some tasks, which are left out: Adam; name one with --opponents to train it"
    ) in out
    _, out, _ = contest(f"{files}/my.py:Mine", "--opponents", "Adam")
    assert trained(out) == ["AdamLR_10_R2"]
    assert "without results" not in out
    assert "Mine against SGD, Adam on tiny v3" in out


def test_a_glob_names_nobody(contest, files):
    _, out, _ = contest(f"{files}/my.py:Mine", "--opponents", "Ada*")
    assert trained(out) == ["MineLR_10_R2", "SGDLR_10_R2"]
    status, _, err = contest(f"{files}/my.py:Mine", "--opponents", "Xy*")
    assert (status, "unknown opponent `Xy*`: valid names are AdamLR" in err) == (1, True)


def test_another_reference_is_trained(contest, files):
    _, out, _ = contest(f"{files}/my.py:Mine", "--reference", "Adam")
    assert trained(out) == ["AdamLR_10_R2", "MineLR_10_R2"]
    assert "Mine against tuned Adam" in out


def test_json_alone_is_on_stdout(contest, files):
    status, out, err = contest(f"{files}/my.py:Mine", "--json")
    told = json.loads(out)
    assert (told["suite"], told["exit_status"]) == ("tiny v3", status)
    assert "30 of 30 trials trained" in err


def test_one_setting_is_the_default_of_the_class(contest, files):
    _, out, _ = contest(f"{files}/my.py:Mine", "--untuned")
    assert f"{TASK}-MineUntuned_10_R2: 2 of 2 trials trained" in out
    assert "each optimizer has one setting for all tasks" in out


def test_one_setting_may_be_given(contest, files):
    _, out, _ = contest(f"Careful={files}/my.py:Mine(lr=0.1)", "--untuned")
    assert "Careful against SGD, Adam on tiny v3" in out
    assert f"{TASK}-Careful_10_R2: 2 of 2 trials trained" in out


def test_a_grid_competes_by_its_name(contest, files):
    _, out, _ = contest("Few", "--grid", f"Few={files}/my.py:Mine(lr=0.1|0.01)")
    assert f"{TASK}-Few_10_R2: 4 of 4 trials trained" in out


def test_a_rule_of_the_package_competes_by_its_name(contest):
    _, out, _ = contest("Adam")
    assert trained(out) == ["AdamLR_10_R2", "SGDLR_10_R2"]


def test_who_is_the_reference_too_is_told(contest):
    status, _, err = contest("SGD")
    assert (status, "`SGDLR` is the reference of the contest too: choose another" in err) == (1, True)


@pytest.mark.parametrize(
    ("optimizer", "args", "words"),
    [
        ("Adm", (), "unknown optimizer `Adm`: did you mean Adam"),
        ("Adam", ("--suite", "cpu-smal"), "unknown suite `cpu-smal`: did you mean cpu-small"),
        ("Adam", ("--opponents", "SGDD"), "unknown optimizer `SGDD`: did you mean SGD"),
        ("my.py:Mine", ("--untuned",), "my.py"),
        ("Adam", ("--untuned",), "`Adam` needs `lr`"),
    ],
)
def test_what_does_not_exist_is_told_before_anything_trains(optimizer, args, words, contest, files):
    status, out, err = contest(optimizer, *args)
    assert (status, out) == (1, "")
    assert words in err
    assert not (files / "curves").exists()


def test_missing_data_are_told_unless_stand_ins_are_asked_for(contest, files):
    status, out, err = contest(f"{files}/my.py:Mine", data=None)
    assert (status, out) == (1, "")
    assert "optsuite data fetch fashion_mnist" in err
    assert "pass --data synthetic" in err


def test_stand_ins_have_no_baselines_and_say_so_first(contest, files, monkeypatch):
    monkeypatch.setattr(
        baselines, "available", lambda task=None: [(TASK, "AdamLR_10_R2"), (TASK, "SGDLR_10_R2")]
    )
    _, out, _ = contest(f"{files}/my.py:Mine")
    assert out.index("stand-in data: the baselines that come with optsuite") < out.index("trials trained")
    assert trained(out) == ["MineLR_10_R2", "SGDLR_10_R2"]


def test_an_output_that_cannot_be_written_is_told_before_anything_trains(contest, files):
    (files / "file").write_text("")
    for output in (f"{files}/file/verdict.json", f"{files}/verdict.txt"):
        status, out, err = contest(f"{files}/my.py:Mine", "-o", output)
        assert (status, out, output in err) == (1, "", True)
    assert not (files / "curves").exists()


def test_an_optimizer_that_fails_on_one_task_is_judged_on_the_others(contest, files):
    failing = (
        OWN
        + """
    def step(self):
        if max(p.numel() for group in self.param_groups for p in group["params"]) > 5000:
            raise ValueError("too large")
        super().step()
"""
    )
    (files / "failing.py").write_text(failing)
    other = "ImageMLP_FashionMnist16_Relu32"
    (files / "tiny.toml").write_text(SUITE.replace(f'"{TASK}"', f'"{TASK}", "{other}"'))
    status, out, err = contest(f"{files}/failing.py:Mine", "--untuned")
    assert status == 1
    assert "too large" in err
    assert f"MineUntuned against SGD on {TASK}, 1 of the 2 tasks of tiny v3: " in out
    assert f"{other}/MineUntuned_10_R2: there is no archive" in out


def test_suites_are_listed(capsys):
    assert main(["suites"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["name", "tasks", "steps", "seeds", "baselines", "data", "purpose"]
    assert [row.split()[0] for row in rows][:2] == ["cpu-quick", "cpu-small"]
    assert "missing: fashion_mnist" in rows[0]


def test_suites_are_told_as_json(capsys):
    assert main(["suites", "cpu-q*", "--json", "--cost"]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert (told["name"], told["version"], told["num_steps"]) == ("cpu-quick", 1, 2000)
    assert "AdamLR_2000_R5" in told["sets"]
    assert told["missing_data"] == ["fashion_mnist"]
    assert told["seconds"] > 0


def test_the_page_begins_with_the_verdict(contest, files):
    _, out, _ = contest(f"{files}/my.py:Mine", "--report=on")
    (page,) = files.glob("curves_reports/*/report.html")
    assert f"report: {page}" in out
    assert "Mine against tuned SGD" in page.read_text()
