"""--opt-tasks."""

from __future__ import annotations

import pytest

from optsuite import list_tasks

from .conftest import SET, TASK, TASKS, TASKS_GLOB, text
from .test_opt_preset import LARGE


def tasks_of(ids):
    return {name.split("-")[0] for name in ids}


def test_a_glob_narrows_the_tasks(bench):
    assert tasks_of(bench.ids(tasks=TASKS_GLOB)) == set(TASKS)


def test_without_it_every_task_takes_part(bench):
    assert tasks_of(bench.ids("--opt-preset=full", tasks=None)) == {*list_tasks(), "Breaks"}


def test_a_task_given_by_name_joins_whatever_it_costs(bench):
    assert tasks_of(bench.ids("--opt-preset=quick", tasks=LARGE, sets="SGDLR_200_R2")) == {LARGE}


def test_a_task_that_a_conftest_registers_takes_part(bench):
    assert bench.ids(tasks="Breaks") == [f"Breaks-{SET}-SGD_lr0.01", f"Breaks-{SET}-SGD_lr0.1"]


def test_an_unknown_task_ends_the_session_with_the_nearest_names(bench):
    result = bench.run(tasks="ImageMLP_FashionMnist8_Relu3")
    assert f"optsuite: unknown task `ImageMLP_FashionMnist8_Relu3`: did you mean {TASK}" in text(result)
    assert "Traceback" not in text(result)
    assert result.ret == pytest.ExitCode.USAGE_ERROR


def test_a_glob_that_matches_nothing_ends_the_session(bench):
    result = bench.run(tasks="Zebra*")
    assert "optsuite: unknown task `Zebra*`" in text(result)
    assert result.ret == pytest.ExitCode.USAGE_ERROR


def test_given_twice_it_means_both(bench):
    ids = bench.ids(f"--opt-tasks={LARGE}", "--opt-preset=quick", sets="SGDLR_200_R2")
    assert tasks_of(ids) == {TASK, LARGE}
