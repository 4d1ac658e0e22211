"""The examples of the guides run as they are written."""

from __future__ import annotations

import re
from pathlib import Path

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


def test_the_parts_work_as_the_guide_says(environment, monkeypatch):
    monkeypatch.setenv("OPTSUITE_DATA", "synthetic")
    (block,) = examples()["Parts"]
    names = {}
    exec(block.replace("num_steps=500", "num_steps=5"), names)
    assert names["curve"]["train/loss"].shape == (6,)
    assert names["loss"].requires_grad
