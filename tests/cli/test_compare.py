"""compare and history, through the entry point."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from nights import SET, TASK, losses, write

from optsuite.cli import main
from optsuite.comparison import COLUMNS, read_history, record_night

ROOT = Path(__file__).parents[2]

INSTALLATION = """#!{python}
import shutil, sys

words = sys.argv[1:]
assert words[:6] == ["-P", "-m", "optsuite", "run", "{task}", "{set}"], words
options = dict(zip(words[6::2], words[7::2]))
assert options["--report"] == "off"
round = options["--archives"].split("/")[-2]
ending = "_synthetic" if options["--data"] == "synthetic" else ""
shutil.copytree(f"{prepared}/{{round}}", options["--archives"] + ending)
"""


@pytest.fixture
def stores(tmp_path):
    return str(tmp_path / "a"), str(tmp_path / "b")


@pytest.fixture
def run(capsys):
    """Run a command: its status, and what it printed."""

    def run(*args):
        capsys.readouterr()
        status = main([str(arg) for arg in args])
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def installation(tmp_path):
    """Make a stand-in of a Python interpreter with optsuite, which takes so long for a step."""

    def make(name, seconds):
        path, prepared = tmp_path / name, tmp_path / f"{name}.prepared"
        for number in (1, 2):
            write(prepared / f"{number:02}", losses(), seconds=seconds * (1 + number / 1000))
        words = {"python": sys.executable, "prepared": prepared, "task": TASK, "set": SET}
        path.write_text(INSTALLATION.format(**words))
        path.chmod(0o755)
        return path

    return make


def test_the_status_says_whether_anything_changed(stores, run):
    for root in stores:
        write(root, losses())
    assert run("compare", *stores)[0] == 0
    write(stores[1], losses() * 1.5)
    status, out, _ = run("compare", *stores, TASK, SET)
    assert status == 3
    assert out.splitlines()[1] == f"real changes of loss: {TASK}/{SET}"
    write(stores[1], losses(), version="2")
    assert run("compare", *stores)[0] == 1
    assert run("compare", *stores, "Nothing")[0] == 1


def test_bad_usage_has_another_status(stores, run):
    with pytest.raises(SystemExit) as stop:
        run("compare", stores[0])
    assert stop.value.code == 2


def test_json_is_printed_or_written(stores, run, tmp_path):
    for root in stores:
        write(root, losses())
    status, out, _ = run("compare", *stores, "--json", "-o", tmp_path / "told.json")
    told = json.loads(out)
    assert (status, told["exit_status"], told["cells"][0]["is_identical"]) == (0, 0, True)
    assert json.loads((tmp_path / "told.json").read_text()) == told


@pytest.mark.parametrize(("seconds", "status"), [(1e-3, 0), (1.05e-3, 4), (0.9e-3, 0)])
def test_installations_that_take_turns_compare_in_speed(stores, run, installation, seconds, status):
    pythons = installation("base", 1e-3), installation("head", seconds)
    found = run("compare", *stores, TASK, SET, "--train", *pythons, "--rounds", "2", "--data", "synthetic")
    assert found[0] == status
    assert found[2].splitlines() == ["round 1 of 2", "round 2 of 2"]
    told = json.loads(
        run("compare", *stores, "--json")[1]
    )  # they are known to have taken turns afterwards, too
    slowdown = told["cells"][0]["slowdown"]
    assert slowdown["ratio"]["value"] == pytest.approx(seconds / 1e-3)
    assert slowdown["num_rounds"] == 2
    assert slowdown["least"] < 1.01


@pytest.mark.parametrize(
    "told", ["[]", '{"job": "x"}', '{"job": "x", "archives": []}', '{"archives": ["01"]}']
)
def test_a_damaged_list_of_rounds_is_an_error(stores, run, told):
    for root in stores:
        write(root, losses())
    (Path(stores[1]) / "rounds.json").write_text(told)
    status, _, err = run("compare", *stores)
    assert status == 1
    assert "rounds.json` does not say which rounds there are" in err


def test_a_round_that_one_side_lost_counts_for_neither(stores, run):
    for root, names in zip(stores, (["1", "2", "3"], ["1", "2"]), strict=True):
        for name in names:
            write(f"{root}/{name}", losses(), seconds=float(name))
        (Path(root) / "rounds.json").write_text(json.dumps({"job": "x", "archives": names}))
    told = json.loads(run("compare", *stores, "--json")[1])
    assert told["cells"][0]["slowdown"]["num_rounds"] == 2
    assert told["cells"][0]["slowdown"]["ratio"]["value"] == 1


def test_stores_that_did_not_take_turns_do_not_compare_in_speed(stores, run):
    for seconds, root in enumerate(stores, 1):
        write(root, losses(), seconds=seconds)
    status, out, _ = run("compare", *stores, "--json")
    assert (status, json.loads(out)["cells"][0]["slowdown"]) == (0, None)


def test_an_installation_that_fails_is_named(stores, run, installation, tmp_path):
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho no such data >&2; exit 3\n")
    broken.chmod(0o755)
    status, _, err = run("compare", *stores, TASK, SET, "--train", installation("base", 1), broken)
    assert status == 1
    assert (
        f"{broken} -P -m optsuite run {TASK} {SET} --data real` failed with exit status 3: no such data"
        in err
    )


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("a", "b", "python", "--rounds", "1"), "at least 2 rounds are needed"),
        (("a", "b", "nothing"), "`nothing` is neither a Python interpreter nor a folder"),
        (("a", "b", "."), "`.` is neither a Python interpreter nor a folder"),  # it has no source
        (("a", "b", "./text"), "`{here}/text` cannot be run: Exec format error"),
        (("a", "a", "python"), "a folder for each side (got `a` for both)"),
        (("a", "s3://bucket/b", "python"), "a folder on this machine (got `s3://bucket/b`)"),
    ],
)
def test_rounds_that_cannot_be_say_why(run, tmp_path, monkeypatch, words, why):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text").write_text("no program")
    (tmp_path / "text").chmod(0o755)
    a, b, python, *options = words
    python = {"python": sys.executable, "./text": tmp_path / "text"}.get(python, python)
    status, _, err = run("compare", a, b, TASK, SET, "--train", python, python, *options)
    assert status == 1
    assert why.format(here=tmp_path) in err


def test_rounds_do_not_mix_with_what_is_there(stores, run, installation):
    write(stores[0], losses())
    python = installation("base", 1)
    status, _, err = run("compare", *stores, TASK, SET, "--train", python, python)
    assert status == 1
    assert f"`{stores[0]}` is not empty" in err


@pytest.mark.slow
def test_two_folders_of_source_take_turns(stores, tmp_path):
    cell = (TASK, "SGDLR_20_R1", "--data", "synthetic")
    command = [
        sys.executable,
        "-m",
        "optsuite",
        "compare",
        *stores,
        *cell,
        "--train",
        ROOT,
        ROOT,
        "--rounds",
        "2",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "1 cell compared, 1 identical bit for bit" in done.stdout
    assert "no cell is slower" in done.stdout


def test_a_history_has_a_row_for_each_cell_and_night(stores, run, tmp_path):
    file = tmp_path / "history.csv"
    for root in stores:
        write(root, losses())
    write(stores[0], losses(), hparam_set="SGDLR_20_R5")
    status, out, _ = run("history", *stores, *stores, "-o", file, "--commit", "abc")
    assert (status, out.split()) == (0, [str(file), str(tmp_path / "history.png")])
    write(stores[0], losses() * 2)
    assert run("history", stores[0], "-o", file, "--commit", "0123")[0] == 0
    table = pd.read_csv(file, dtype={"commit": str})
    assert tuple(table) == COLUMNS
    assert list(table["commit"]) == ["abc"] * 3 + ["0123"] * 2
    assert table["best_loss"][3] == pytest.approx(2 * table["best_loss"][0])
    assert (tmp_path / "history.png").read_bytes().startswith(b"\x89PNG")


def test_a_history_reads_as_it_was_written(stores, tmp_path):
    file = str(tmp_path / "history.csv")
    write(stores[0], np.full((3, 5, 5), np.nan), seconds=np.nan)
    for commit in ("0123", "0456"):
        written = record_night(stores[:1], file, commit=commit)
    read = read_history(file)
    assert list(read["commit"]) == list(written["commit"]) == ["0123", "0456"]
    assert read[["best_loss", "seconds_per_step"]].isna().all(axis=None)
    assert list(read["diverged"]) == [15, 15]


def test_a_history_says_what_is_wrong(stores, run, tmp_path):
    write(stores[0], losses())
    assert "is written as `.csv`" in run("history", stores[0], "-o", tmp_path / "history.txt")[2]
    assert "no archives in" in run("history", stores[1], "-o", tmp_path / "history.csv")[2]
    (tmp_path / "history.csv").write_text("night,task\n1,2\n")
    status, _, err = run("history", stores[0], "-o", tmp_path / "history.csv")
    assert status == 1
    assert "is not a history" in err
