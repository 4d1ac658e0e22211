"""verdict, through the entry point."""

from __future__ import annotations

import json
import math

import pandas as pd
import pytest
from verdict.values import TASKS, archive

from optsuite.choices import RULES
from optsuite.cli import main
from optsuite.statistics import RULES as ALL_RULES

FAST, SLOW = (0.9, 0.3, 0.6), (1.2, 0.8, 1.0)


@pytest.fixture
def root(tmp_path):
    root = str(tmp_path / "archives")
    for task in TASKS:
        archive(root, "MineLR", FAST, task=task)
        archive(root, "AdamLR", SLOW, task=task)
        archive(root, "SGDLR", (math.nan, 1.8, 1.6), task=task)
    return root


@pytest.fixture
def run(root, capsys):
    """Run the command on the archives: its status, and what it printed."""

    def run(*args):
        capsys.readouterr()
        status = main(["verdict", *args, "--archives", root])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def test_it_answers_in_three_lines_a_table_and_a_basis(run):
    status, out, err = run("--of", "Mine", "--against", "Adam", "SGD")
    lines = out.splitlines()
    assert (status, err) == (0, "")
    assert lines[0].startswith("Mine against tuned Adam on 2 tasks: better; it reaches Adam's final loss in ")
    assert lines[1] == (
        "Better on 2 of 2 tasks, worse on 0, no difference on 0; average rank 1 of 3 optimizers."
    )
    assert lines[2:4] == ["Best lr 0.001, not at the edge of its grid.", ""]
    assert [line.split()[:2] for line in lines[4:8]] == [
        ["rank", "optimizer"],
        ["1", "Mine"],
        ["2", "Adam"],
        ["3", "SGD"],
    ]
    assert lines[9] == "2 tasks, 3 paired seeds, 100 steps, real data, intervals of 95%"
    assert lines[10].startswith("best setting chosen and judged by the last ")


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("Mine", "--against", "Adam"), 0),
        (("Adam", "--against", "Mine"), 4),
        (("Mine", "--against", "S*"), 0),
    ],
)
def test_the_exit_status_is_the_outcome(run, arguments, status):
    assert run("--of", *arguments)[0] == status


def test_no_difference_and_undecided_have_statuses_of_their_own(root, run):
    archive(root, "SameLR", SLOW)
    archive(root, "OnceLR", SLOW, seeds=(0,))
    assert run("--of", "Same")[0] == 3
    assert run("--of", "Once")[0] == 5


def test_by_task(run):
    out = run("--of", "Mine", "--by-task")[1].splitlines()
    assert [line for line in out if line in TASKS] == sorted(TASKS)


def test_tasks_are_narrowed(run):
    out = run(TASKS[0], "--of", "Mine")[1]
    assert out.startswith(f"Mine against tuned Adam on {TASKS[0]}: better")


def test_json_is_all_that_is_printed(run):
    status, out, _ = run("--of", "Mine", "--json")
    assert json.loads(out)["exit_status"] == status == 0


def test_it_is_written_too(run, tmp_path):
    url = tmp_path / "verdict.csv"
    assert "better" in run("--of", "Mine", "-o", str(url))[1]
    assert list(pd.read_csv(url)["optimizer"]) == ["Mine", "Adam"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--of", "Mien"), "error: unknown optimizer among those with archives `Mien`: did you mean Mine"),
        (
            ("--of", "Mine", "-o", "a.txt"),
            "error: a verdict is written as .json, .csv, .parquet, .tex (got `a.txt`)",
        ),
        (("--of", "Mine", "--suite", "cpu-quik"), "error: unknown suite `cpu-quik`: did you mean cpu-quick"),
        (("--of", "Mine", "--steps", "7"), "error: there is no `Mine` of 7 steps"),
    ],
)
def test_errors_say_what_to_do(run, arguments, words):
    status, out, err = run(*arguments)
    assert (status, out) == (1, "")
    assert err.startswith(words)


def test_several_lengths_are_told_with_the_option(root, run):
    archive(root, "MineLR", FAST, steps=50)
    assert "say which, with --steps or the name of a set" in run("--of", "Mine")[2]


def test_help_has_the_statuses_and_examples(capsys):
    with pytest.raises(SystemExit):
        main(["verdict", "--help"])
    out = capsys.readouterr().out
    assert "0 better than the reference, 3 no difference, 4 worse, 5 undecided; 1 error, 2 bad usage" in out
    assert "optsuite verdict --of Mine --against Adam SGDM" in out


def test_the_rules_are_those_of_the_statistics():
    assert tuple(ALL_RULES) == RULES


def test_results_on_stand_ins_are_pointed_to(run, root, capsys):
    archive(f"{root}_synthetic", "OtherLR", FAST, source="synthetic")
    archive(f"{root}_synthetic", "AdamLR", SLOW, source="synthetic")
    status, _, err = run("--of", "Other")
    assert (status, err) == (
        1,
        f"error: there is no archive of `Other` in `{root}`, but there is one on stand-in data: "
        f"pass --archives {root}_synthetic\n",
    )
    assert main(["verdict", "--of", "Other", "--archives", root, "--data", "synthetic"]) == 0
    assert "stand-in data" in capsys.readouterr().out
