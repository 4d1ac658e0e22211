"""The fixtures in a user's own tests."""

from __future__ import annotations

import pytest

from .conftest import CELL, TASK, TASKS, TASKS_GLOB, text


@pytest.fixture
def own(bench):
    """Replace the benchmarks by a test file of the user's."""

    def write(source):
        (bench.path / "test_baselines.py").unlink()
        bench.pytester.makepyfile(test_own=source)
        return bench

    return write


def test_all_work_together(own):
    bench = own("""
        import optsuite
        from optsuite.plugin import CellConfig, CurveStore

        def test_it(task, cell_config, trials, curve_store):
            assert isinstance(cell_config, CellConfig) and isinstance(curve_store, CurveStore)
            assert task is optsuite.get_task(cell_config.task_name)
            assert [trial.seed for trial in trials] == [0, 1]
            assert {trial.config for trial in trials} == {cell_config.config}
            curves = curve_store.curves(cell_config)
            assert [curve.seed for curve in curves] == [0, 1]
            assert all(curve["train/loss"].shape == (11,) for curve in curves)
    """)
    result = bench.run("-v")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines([f"test_own.py::test_it?{CELL}-SGD_lr0.01? *PASSED*"])
    assert len(bench.archive_files) == 1


def test_curves_are_trained_once_for_all_tests(own):
    bench = own("""
        def test_first(cell_config, curve_store):
            test_first.curves = curve_store.curves(cell_config)

        def test_second(cell_config, curve_store):
            assert curve_store.curves(cell_config)
    """)
    result = bench.run()
    result.assert_outcomes(passed=4)
    assert text(result).count(f"{CELL}: trained") == 1
    assert "4 trials to train" in text(result)
    assert "0 of 4 trials" in text(result)


def test_a_test_of_the_task_alone_runs_once_a_task(own):
    bench = own("""
        def test_it(task):
            assert task.num_params > 0
    """)
    result = bench.run("-v", tasks=TASKS_GLOB)
    result.assert_outcomes(passed=2)
    for name in TASKS:
        result.stdout.fnmatch_lines([f"test_own.py::test_it?{name}? PASSED*"])
    assert bench.results() == []


def test_trials_alone_bring_the_config(own):
    bench = own("""
        import optsuite

        def test_it(trials, task):
            assert {trial.task_name for trial in trials} == {task.name}
    """)
    result = bench.run()
    result.assert_outcomes(passed=2)
    assert bench.curve_files == []


def test_a_test_that_trains_nothing_of_its_config_has_no_results(own):
    bench = own("""
        def test_it(cell_config):
            assert cell_config.id
    """)
    result = bench.run()
    result.assert_outcomes(passed=2)
    assert bench.archive_files == []
    assert TASK not in text(result).partition(" best config ")[2]


def test_a_failed_assertion_about_a_curve_is_the_tests_own(own):
    bench = own("""
        def test_it(cell_config, curve_store):
            assert curve_store.curves(cell_config)[0]["train/loss"][-1] < 0.1, "too slow"
    """)
    result = bench.run()
    result.assert_outcomes(failed=2)
    assert "too slow" in text(result)
    assert len(bench.archive_files) == 1  # the curves are recorded all the same
    assert TASK in text(result)


def test_fixtures_of_the_same_name_are_left_alone(own):
    bench = own("""
        import pytest

        @pytest.fixture
        def task():
            return "mine"

        def test_own_fixture(task):
            assert task == "mine"

        @pytest.mark.parametrize(("cell_config", "other"), [(1, 2), (3, 4)])
        def test_own_parameter(cell_config, other):
            assert cell_config < other
    """)
    bench.run().assert_outcomes(passed=3)
