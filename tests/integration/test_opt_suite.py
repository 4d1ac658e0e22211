"""--opt-suite: tasks, steps and repetitions of a suite, and the sets of the optimizers that options add."""

from __future__ import annotations

import pytest

from optsuite.suites import _registry

from .conftest import EXTENSIONS, SET, TASK, TASKS, text
from .test_opt_preset import sets_of
from .test_opt_tasks import tasks_of

SGD = "--opt-optimizer=Mine=torch.optim:SGD"
SUITE = f"""
name = "tiny"
version = 2
about = "a test"
tasks = {[*TASKS]}
families = ["TinyLR", "SGDLR"]
reference = "TinyLR"
num_steps = 10
num_seeds = 2
"""

CONFTEST = """
from optsuite import Suite, register_suite

register_suite(
    Suite(
        name="mine",
        version=1,
        about="",
        tasks=("Breaks",),
        families=("TinyLR",),
        reference="TinyLR",
        num_steps=7,
        num_seeds=1,
    )
)
"""


@pytest.fixture(autouse=True)
def forgets(monkeypatch):
    monkeypatch.setattr(_registry, "_SUITES", dict(_registry._SUITES))


@pytest.fixture
def tiny(bench):
    (bench.path / "tiny.toml").write_text(SUITE)
    return "--opt-suite=tiny.toml"


def test_it_chooses_tasks_and_sets_of_added_optimizers(bench, tiny):
    ids = bench.ids(tiny, SGD, tasks=None, sets=None)
    assert tasks_of(ids) == set(TASKS)
    assert sets_of(ids) == {"MineLR_10_R2"}


def test_grids_are_added_too(bench, tiny):
    ids = bench.ids(tiny, "--opt-grid=Few=SGD(lr=0.1|1)", tasks=None, sets=None)
    assert sets_of(ids) == {"Few_10_R2"}


def test_others_join_where_sets_are_asked_for(bench, tiny):
    ids = bench.ids(tiny, SGD, tasks=None, sets="SGDLR*")
    assert sets_of(ids) == {"MineLR_10_R2", "SGDLR_10_R2"}


def test_without_either_the_suites_own_sets_train(bench, tiny):
    assert sets_of(bench.ids(tiny, tasks=None, sets=None)) == {"TinyLR_10_R2", "SGDLR_10_R2"}


def test_a_suite_of_a_conftest_is_found_by_name(bench):
    bench.pytester.makeconftest(EXTENSIONS + CONFTEST)
    ids = bench.ids("--opt-suite=mine", tasks=None, sets=None)
    assert {name.rpartition("-")[0] for name in ids} == {"Breaks-TinyLR_7_R1"}


def test_the_plan_and_the_verdict_name_it(bench, tiny):
    bench.run(tiny, tasks=None, sets=SET).assert_outcomes(passed=4)
    result = bench.run(tiny, SGD, tasks=None, sets=None)
    result.assert_outcomes(passed=30)
    assert "suite tiny v2: 60 trials to train" in text(result)
    assert "Mine against tuned Tiny on 2 tasks" in text(result)
    assert "all 2 tasks of tiny v2" in text(result)


@pytest.mark.parametrize(
    "also", ["--opt-steps=5", "--opt-reps=1", "--opt-preset=quick", f"--opt-tasks={TASK}"]
)
def test_what_a_suite_decides_is_not_given_beside_it(also, bench, tiny):
    result = bench.run(tiny, also, tasks=None, sets=None)
    name = also[6:].partition("=")[0]
    assert f"leave out --opt-{name} (in the ini file: optsuite_{name})" in text(result)
    assert result.ret == pytest.ExitCode.USAGE_ERROR


def test_an_unknown_suite_ends_the_session_with_the_nearest_names(bench):
    result = bench.run("--opt-suite=cpu-quik", tasks=None, sets=None)
    assert "optsuite: unknown suite `cpu-quik`: did you mean cpu-quick" in text(result)
    assert "Traceback" not in text(result)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
