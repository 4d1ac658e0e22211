"""pytest-xdist: the same curves, each cell on one worker, session work once."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest

from .conftest import BENCHMARKS, EXTENSIONS, SET, TASKS, TASKS_GLOB, read_curves, text

pytest.importorskip("xdist")

# Each trial that a worker trains is a line of a file.
COUNTING = """
from optsuite import trainer

run = trainer.run


def counting(task, groups, *args, **kwargs):
    return run(task, map(counted, groups), *args, **kwargs)


def counted(both):
    with Path(__file__).with_name("trained.txt").open("a") as file:
        file.writelines(f"{trial.id('synthetic')}\\n" for trial in both[0].trials)
    return both


trainer.run = counting
"""

ORDINARY = """
import pytest

@pytest.mark.parametrize("number", range(4))
def test_ordinary(number):
    pass
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parallel")
    (folder / "test_baselines.py").write_text(BENCHMARKS.read_text())
    (folder / "test_ordinary.py").write_text(ORDINARY)
    (folder / "conftest.py").write_text(EXTENSIONS + COUNTING)
    (folder / "pytest.ini").write_text("[pytest]\n")
    return folder


@pytest.fixture(scope="module")
def output(folder):
    """What a run on two workers printed."""
    options = [f"--opt-tasks={TASKS_GLOB}", f"--opt-sets={SET}", "--opt-data=synthetic"]
    command = [sys.executable, "-m", "pytest", "-v", "-n2", "-p", "no:hypothesispytest", *options]
    command += ["--dist=worksteal", f"--opt-storage={folder / 'curves'}", "--junitxml=junit.xml"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def workers(output, pattern):
    """The workers that ran each cell or test whose id matches."""
    found = {}
    for worker, name in re.findall(rf"\[(gw\d+)\] .*PASSED ({pattern})", output):
        found.setdefault(name, set()).add(worker)
    return found


def test_each_cell_stays_on_one_worker(output):
    where = workers(output, r"test_baselines.py::test_baseline\[\w+-\w+")
    assert len(where) == 2
    assert all(len(ran_on) == 1 for ran_on in where.values())


def test_no_trial_is_trained_twice(folder, output):
    trained = (folder / "trained.txt").read_text().split()
    assert len(trained) == len(set(trained)) == 8
    assert set(trained) == read_curves(folder).keys()


def test_under_each_every_worker_runs_everything_and_session_work_is_done_once(bench):
    result = bench.run("-n2", "--dist=each")
    result.assert_outcomes(passed=4)
    assert len(bench.curve_files) == len(read_curves(bench.path)) == 4  # no twins
    for words in ("4 trials to train", "best config", "complete cells archived: 1"):
        assert text(result).count(words) == 1


def test_ordinary_tests_run_beside_the_benchmarks(output):
    assert len(workers(output, r"test_ordinary.py::test_ordinary\[\d\]")) == 4
    assert " 8 passed" in output


def test_the_plan_is_printed_once(output):
    assert output.count("optsuite: 2 cells, ") == 1
    assert output.count("8 trials to train, 0 recorded already") == 1


def test_the_summary_is_printed_once_with_every_cell(output):
    assert output.count("best config") == 1
    for name in TASKS:
        assert re.search(rf"^{name} +{SET} +stand-in .* 0 of 4 trials$", output, re.MULTILINE)


def test_archives_are_built_once(folder, output):
    assert output.count("complete cells archived: 2") == 1
    names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*.npz"))]
    assert names == [f"curves_archives_synthetic/{name}/{SET}.npz" for name in TASKS]


def test_one_page_is_written(folder, output):
    (page,) = folder.glob("curves_reports/*/report.html")
    assert f"report: {page}" in output
    words = page.read_text()
    assert all(word in words for word in (*TASKS, SET, "SGD_lr0.1", "STAND-IN", "8 trained"))
    assert "warning" not in output


def test_junit_has_the_numbers(folder, output):
    assert (folder / "junit.xml").read_text().count('name="optsuite_final_train_loss"') == 4


@pytest.mark.parametrize("args", [(), ("-n0",), ("-p", "no:xdist")], ids=["plain", "n0", "without"])
def test_the_curves_are_those_of_a_run_without_workers(bench, folder, output, args):
    bench.run(*args, tasks=TASKS_GLOB).assert_outcomes(passed=4)
    alone, parallel = read_curves(bench.path), read_curves(folder)
    assert len(alone) == 8
    assert alone.keys() == parallel.keys()
    for name, curve in alone.items():
        assert curve.keys() == parallel[name].keys()
        for key in ("train/loss", "eval/test/loss"):
            np.testing.assert_allclose(curve[key], parallel[name][key], rtol=1e-5)


def test_a_plan_is_all_that_opt_plan_gives(bench):
    result = bench.run("-n1", "--opt-plan")
    assert "INTERNALERROR" not in text(result)
    assert text(result).count("4 trials to train") == 1
    assert result.ret == 0
    assert bench.results() == []


def test_a_place_that_cannot_be_written_ends_the_session(bench):
    (bench.path / "file").touch()
    result = bench.run("-n1", storage="file/here")
    assert "INTERNALERROR" not in text(result)
    assert "cannot write to `" in text(result)
    assert result.ret == pytest.ExitCode.USAGE_ERROR


def test_an_unknown_task_ends_the_session(bench):
    result = bench.run("-n1", tasks="ImageMLP_FashionMnist8_Relu3")
    assert "INTERNALERROR" not in text(result)
    assert "unknown task `ImageMLP_FashionMnist8_Relu3`: did you mean" in text(result)
    assert result.ret not in (pytest.ExitCode.OK, pytest.ExitCode.INTERNAL_ERROR)
