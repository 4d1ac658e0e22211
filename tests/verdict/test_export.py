"""Verdicts for machines and for papers."""

from __future__ import annotations

import json
import math

import pandas as pd
import pytest

from optsuite import storage
from optsuite.errors import OptsuiteError
from optsuite.verdict import exit_status, table, to_json, to_latex, write
from optsuite.verdict._export import escaped

from .values import TASKS, entry, standing, verdict, verdict_on_two

BETTER = verdict_on_two((0.83, 0.79, 0.9), "better", (2, 0))


@pytest.mark.parametrize(
    ("outcome", "status"), [("better", 0), ("no difference", 3), ("worse", 4), ("undecided", 5)]
)
def test_the_exit_status_is_the_outcome(outcome, status):
    value = verdict_on_two((1, 0.9, 1.1), outcome)
    assert exit_status(value) == json.loads(to_json(value))["exit_status"] == status


def test_json_has_the_documented_keys():
    told = json.loads(to_json(BETTER))
    assert list(told) == [
        *("format", "of", "reference", "outcome", "exit_status", "suite", "num_suite_tasks"),
        *("rule", "num_steps", "num_seeds"),
        *("standings", "entries", "scores", "ranks_differ", "rank_groups", "missing", "notes"),
    ]
    assert (told["format"], told["of"], told["outcome"]) == (1, "Mine", "better")
    ratio = {"value": 0.83, "low": 0.79, "high": 0.9, "level": 0.95}
    assert told["standings"][0]["steps_ratio"] == told["entries"][0]["steps_ratio"] == ratio
    assert told["entries"][0]["best"] == {"label": "Mine_lr0.003", "hparams": {"lr": 0.003}}
    assert (told["scores"], told["standings"][0]["profile"]) == ([1], [[0], [0], [0]])
    assert told["entries"][0]["seeds"] == [0, 1, 2, 3, 4]


def test_what_is_no_number_is_null():
    value = verdict_on_two((math.inf, math.nan, math.nan), "undecided")
    told = json.loads(to_json(value), parse_constant=pytest.fail)
    assert told["standings"][0]["steps_ratio"] == {"value": None, "low": None, "high": None, "level": 0.95}


def test_the_table_has_a_row_for_each_optimizer():
    rows = table(BETTER)
    assert list(rows["optimizer"]) == ["Mine", "Adam"]
    assert rows.loc[0, ["steps_ratio", "steps_ratio_low", "steps_ratio_high"]].tolist() == [0.83, 0.79, 0.9]
    assert rows.loc[1, ["steps_ratio"]].isna().all()
    basis = rows.loc[0, ["tasks", "seeds", "data_source", "num_steps", "reference"]].tolist()
    assert basis == [2, 5, "real", 2000, "Adam"]


def test_by_task_it_has_a_row_for_each_optimizer_and_task():
    rows = table(BETTER, by_task=True)
    assert list(zip(rows["task"], rows["optimizer"], strict=True)) == [
        (task, name) for task in TASKS for name in ("Mine", "Adam")
    ]
    assert rows.loc[0, ["setting", "final", "final_low"]].tolist() == ["Mine_lr0.003", 0.4, 0.39]


@pytest.mark.parametrize(("form", "read"), [("csv", pd.read_csv), ("parquet", pd.read_parquet)])
@pytest.mark.parametrize("by_task", [False, True])
def test_tables_are_written_as_their_names_end(tmp_path, form, read, by_task):
    url = str(tmp_path / f"verdict.{form}")
    write(BETTER, url, by_task=by_task)
    written = read(url)
    assert list(written["optimizer"]) == list(table(BETTER, by_task=by_task)["optimizer"])
    assert written["steps_ratio"].tolist()[0] == 0.83


def test_json_and_latex_are_written_too(tmp_path):
    for form, text in (("json", to_json(BETTER) + "\n"), ("tex", to_latex(BETTER))):
        url = str(tmp_path / f"verdict.{form}")
        write(BETTER, url)
        assert storage.read_bytes(url).decode() == text


def test_another_ending_is_refused():
    with pytest.raises(OptsuiteError, match=r"written as .json, .csv, .parquet, .tex \(got `a.xlsx`\)"):
        write(BETTER, "a.xlsx")


def test_latex_is_a_tabular_of_booktabs():
    assert to_latex(BETTER).splitlines() == [
        r"% 2 tasks, 5 seeds, 2,000 steps; chosen and judged by the last training loss; intervals of 95\%",
        r"\begin{tabular}{rlrrrr}",
        r"\toprule",
        r"Rank & Optimizer & Steps & 95\,\% & Better on & Worse on \\",
        r"\midrule",
        r"1.5 & \textbf{Mine} & 0.83 & [0.79, 0.90] & 2/2 & 0 \\",
        r"1.5 & Adam & 1 & reference & -- & -- \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_latex_shows_names_as_they_are():
    assert escaped("a_b & 50% #1 $x$ {y} ~ ^ \\ <z> |") == (
        r"a\_b \& 50\% \#1 \$x\$ \{y\} \textasciitilde{} \textasciicircum{} \textbackslash{} "
        r"\textless{}z\textgreater{} \textbar{}"
    )
    assert escaped("one\ntwo") == "one two"


def test_latex_of_one_seed_and_of_no_number():
    nan = math.nan
    rows = [standing("Mine", 1, (0.8, nan, nan), "undecided"), standing("SGD_x", nan, None, "undecided")]
    value = verdict([entry("MineLR", (0.8, nan, nan))], rows, num_seeds=1)
    assert to_latex(value).splitlines()[5:7] == [
        r"1.0 & \textbf{Mine} & 0.80 & -- & 0/2 & 0 \\",
        r"-- & SGD\_x & -- & -- & 0/2 & 0 \\",
    ]
