"""The ini names: the same options, and the command line wins."""

from __future__ import annotations

import pytest

from .conftest import SET, TASK, text


def plan(bench, *args, **ini):
    lines = "\n".join(f"optsuite_{name} = {value}" for name, value in ini.items())
    bench.pytester.makeini(f"[pytest]\n{lines}\n")
    return bench.run("--opt-plan", *args, tasks=None, sets=None, data=None, storage=None)


@pytest.mark.parametrize(
    ("ini", "words"),
    [
        ({"preset": "full"}, "preset full"),
        ({"sets": "TinyLR_7_R3"}, "6 trials"),
        ({"data": "synthetic"}, "STAND-IN"),
        ({"steps": "9", "reps": "4"}, "8 trials"),
        (
            {"storage": "/tmp/of-the-ini"},
            "curves in /tmp/of-the-ini_synthetic, archives in /tmp/of-the-ini_ar",
        ),
        ({"archives": "/tmp/archived"}, "archives in /tmp/archived_synthetic"),
        ({"device": "cpu"}, "on cpu"),
        ({"rerun": "all"}, "4 trials to train, 0 recorded"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_every_option_has_an_ini_name(bench, ini, words):
    result = plan(bench, **{"tasks": TASK, "sets": SET, "data": "synthetic"} | ini)
    assert result.ret == 0
    assert words in text(result)
    assert "optsuite: 1 cell," in text(result)


def test_the_command_line_wins(bench):
    result = plan(bench, "--opt-reps=1", tasks=TASK, sets=SET, reps="3", data="synthetic")
    assert "2 trials to train" in text(result)


@pytest.mark.parametrize(
    ("ini", "words"),
    [
        ({"preset": "fast"}, "optsuite_preset must be one of auto, quick, full (got 'fast')"),
        ({"data": "fake"}, "optsuite_data must be one of auto, real, synthetic (got 'fake')"),
        ({"rerun": "some"}, "optsuite_rerun must be one of missing, failed, all (got 'some')"),
        ({"steps": "0"}, "optsuite_steps: a whole number of at least 1 is needed (got '0')"),
        ({"reps": "x"}, "optsuite_reps: a whole number of at least 1 is needed (got 'x')"),
        ({"tasks": "Nope"}, "unknown task `Nope`"),
        ({"device": "toaster"}, "cannot train on device `toaster`"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_bad_value_is_a_usage_error(bench, ini, words):
    result = plan(bench, **{"tasks": TASK, "sets": SET} | ini)
    assert words in text(result)
    assert result.ret == pytest.ExitCode.USAGE_ERROR


def test_globs_are_separated_by_spaces(bench):
    result = plan(bench, tasks=TASK, sets=f"{SET} TinyLR_7_R3 SGDLR_*", data="synthetic")
    assert "optsuite: 3 cells" in text(result)
    assert result.ret == 0


@pytest.mark.parametrize("words", [["--opt-reps=1", "--opt-reps", "3"], ["--opt-reps=1", "--opt-reps=03"]])
def test_two_values_of_an_option_that_takes_one_are_a_usage_error(bench, words):
    result = plan(bench, *words, tasks=TASK, sets=SET, data="synthetic")
    assert "--opt-reps: takes one value, and two were given (1 and " in text(result)
    assert result.ret == pytest.ExitCode.USAGE_ERROR


def test_the_same_value_twice_is_one(bench):
    result = plan(bench, "--opt-reps=1", "--opt-reps=1", tasks=TASK, sets=SET, data="synthetic")
    assert "2 trials to train" in text(result)


def test_the_command_line_wins_over_addopts(bench):
    bench.pytester.makeini("[pytest]\naddopts = --opt-reps=3\noptsuite_data = synthetic\n")
    result = bench.run("--opt-plan", "--opt-reps=1", data=None, storage=None)
    assert "2 trials to train" in text(result)
