"""Ids and markers, and choosing by them."""

from __future__ import annotations

import pytest

from optsuite import get_hparam_set

from .conftest import CELL, LABELS, SET, TASK, text
from .test_opt_preset import sets_of


def test_an_id_is_task_set_and_label(bench):
    assert bench.ids() == [f"{CELL}-{label}" for label in LABELS]


def test_ids_come_in_the_order_of_the_archive(bench):
    labels = [config.label for config in get_hparam_set("AdamLR_5_R2").configs]
    assert [name.split("-", 2)[2] for name in bench.ids(sets="AdamLR_5_R2")] == labels


def test_the_marker_selects_exactly(bench):
    ids = bench.ids("--opt-preset=quick", "-m", "optsuite(opt='Adam')", sets=None)
    assert sets_of(ids) == {"AdamLR_200_R2"}


@pytest.mark.parametrize(
    ("key", "value"), [("task", TASK), ("set", SET), ("opt", "Tiny"), ("label", LABELS[1])]
)
def test_the_marker_has_every_part_of_the_id(bench, key, value):
    count = 1 if key == "label" else 2
    assert len(bench.ids("-m", f"optsuite({key}='{value}')")) == count
    assert bench.ids("-m", f"optsuite({key}='other')") == []


def test_the_marker_is_declared(bench):
    result = bench.run("--strict-markers", "--collect-only", "-q")
    assert result.ret == 0
    bench.run("--markers").stdout.fnmatch_lines(["@pytest.mark.optsuite(task, set, opt, label): *"])


def test_a_keyword_selects_all_that_hold_it(bench):
    ids = bench.ids("--opt-preset=quick", "-k", "Adam", sets=None)
    families = ("AdamLR", "AdamWLR", "RAdamLR", "AdamExpDecayLR", "AdamSqrtDecayLR", "Grad10AdamLR")
    families += ("MARSAdamWLR", "ScheduleFreeAdamWLR")
    assert sets_of(ids) == {f"{family}_200_R2" for family in families}


def test_keywords_combine(bench):
    ids = bench.ids(
        "--opt-preset=quick",
        "-k",
        "Mnist8 and SGDLR and not ESWrapped and not Free",
        tasks="*FashionMnist8*",
        sets=None,
    )
    assert {name.rpartition("-SGD_")[0] for name in ids} == {f"{TASK}-SGDLR_200_R2"}


def test_what_keywords_drop_is_not_even_collected(bench):
    for words, labels in (
        ("lr0.1", LABELS[1:]),
        ("not lr0.1", LABELS[:1]),
        ("OPTSUITE and LR0.01", LABELS[:1]),
    ):
        result = bench.run("--collect-only", "-q", "-k", words)
        assert "1 test collected" in text(result)
        assert "deselected" not in text(result)
        assert bench.ids("-k", words) == [f"{CELL}-{label}" for label in labels]


@pytest.mark.parametrize("words", ["nothing", "not lr"])
def test_keywords_that_choose_nothing_run_nothing(bench, words):
    result = bench.run("-k", words)
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    result.assert_outcomes(deselected=1)
    assert bench.results() == []


def test_keywords_may_be_given_by_a_conftest(bench):
    path = bench.path / "conftest.py"
    path.write_text(
        path.read_text()
        + """

def pytest_collection_modifyitems(items):
    for item in items:
        if item.name.endswith("lr0.01]"):
            item.add_marker("hot")
"""
    )
    assert "1/2 tests collected" in text(bench.run("--collect-only", "-q", "-k", "hot"))


def test_keywords_choose_among_what_failed_last(bench):
    path = bench.path / "test_baselines.py"
    path.write_text(path.read_text() + "\n    assert 'lr0.01' in str(cell_config)\n")
    assert bench.run().ret == pytest.ExitCode.TESTS_FAILED
    failed = bench.run("--lf", "--collect-only", "-q", "-k", "lr0.01")
    assert failed.ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_keywords_that_are_wrong_are_told_by_pytest(bench):
    result = bench.run("-k", "and and")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "Wrong expression passed to '-k'" in text(result)


def test_keywords_may_be_of_the_other_parameters_of_a_test(bench):
    path = bench.path / "test_baselines.py"
    path.write_text(
        """
import pytest


@pytest.mark.parametrize("word", ["first", "second"])
def test_baseline(cell_config, curve_store, word):
    pass
"""
    )
    result = bench.run("--collect-only", "-q", "-k", "second")
    assert "2/4 tests collected" in text(result)


def test_one_item_can_be_given_by_its_id(bench):
    result = bench.run(f"test_baselines.py::test_baseline[{CELL}-{LABELS[1]}]")
    result.assert_outcomes(passed=1)
    assert bench.labels() == {LABELS[1]}


def test_collect_only_trains_nothing(bench):
    result = bench.run("--collect-only")
    assert "2 tests collected" in text(result)
    assert bench.results() == []
