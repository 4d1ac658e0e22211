"""The examples of the guides run as they are written."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import torch

from optsuite import get_task
from optsuite.storage import read_npz

from .conftest import TASK

GUIDE = (Path(__file__).parents[2] / "docs" / "your-own.md").read_text()


def examples():
    """The Python blocks of the guide, by the heading that they stand under."""
    sections = re.split(r"^## ", GUIDE, flags=re.MULTILINE)[1:]
    titled = (section.partition("\n")[::2] for section in sections)
    return {title: re.findall(r"```python\n(.*?)```", text, re.DOTALL) for title, text in titled}


def test_own_tasks_optimizers_and_tests_run_as_the_guide_says(bench):
    blocks = examples()
    bench.pytester.makeconftest("\n".join([*blocks["Optimizer"], *blocks["Task"]]))
    bench.pytester.makepyfile(test_baselines=blocks["Tests"][0])
    result = bench.run(tasks="Linear_FashionMnist8", sets="NesterovLR_3_R1")
    result.assert_outcomes(passed=15)


def test_the_class_of_the_guide_trains_as_one_object(bench):
    bench.pytester.makepyfile(my=examples()["Classes at full speed"][0])
    bench.run("--opt-optimizer=my.py:Clipped", sets="ClippedLR_3_R1").assert_outcomes(passed=15)
    curves = list(bench.path.rglob("*.curves"))
    assert len(curves) == 15
    assert all(str(read_npz(str(curve))["trained_as"]).endswith("one optimizer object") for curve in curves)


def test_the_network_of_the_guide_says_its_roles():
    names = {"torch": torch}
    exec(examples()["Task"][1], names)
    task = replace(get_task(TASK), build=names["TwoLayers"])
    assert task.roles == {
        "first.weight": "input",
        "first.bias": "other",
        "last.weight": "output",
        "last.bias": "other",
    }


def test_the_parts_work_as_the_guide_says(environment, monkeypatch):
    monkeypatch.setenv("OPTSUITE_DATA", "synthetic")
    (block,) = examples()["Parts"]
    names = {}
    exec(block.replace("num_steps=500", "num_steps=5"), names)
    assert names["curve"]["train/loss"].shape == (6,)
    assert names["loss"].requires_grad
