"""Suites: those of the package, a user's own, and files of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from optsuite import list_tasks, suites
from optsuite.errors import HParamError, OptsuiteError, StorageError, UnknownNameError
from optsuite.hparam_sets import get_hparam_set
from optsuite.suites import _registry, get_suite, list_suites, register_suite

FILE = """
name = "mine"
version = 2
about = "a test"
tasks = ["ImageMLP_FashionMnist8_Relu32"]
families = ["AdamLR", "SGDLR"]
reference = "AdamLR"
num_steps = 10
num_seeds = 2
"""


@pytest.fixture(autouse=True)
def forgets(monkeypatch):
    monkeypatch.setattr(_registry, "_SUITES", dict(_registry._SUITES))


@pytest.fixture
def written(tmp_path):
    """Write a file with a change of the good one, and return its path."""

    def write(old="", new=""):
        path = tmp_path / "mine.toml"
        path.write_text(FILE.replace(old, new) if old else FILE)
        return str(path)

    return write


def test_the_package_has_five_in_the_order_of_their_cost():
    assert list_suites()[:5] == ["cpu-quick", "cpu-small", "vision", "language", "published"]


@pytest.mark.parametrize("name", list_suites())
def test_all_that_a_suite_names_exists(name):
    suite = get_suite(name)
    assert set(suite.tasks) <= set(list_tasks())
    assert suite.reference in suite.families
    for family in suite.families:
        found = get_hparam_set(suite.set_of(family))
        assert (found.schedule.num_steps, found.repetitions) == (suite.num_steps, suite.num_seeds)
    assert suite.label == f"{name} v1"


def test_the_published_tasks_are_122():
    suite = get_suite("published")
    assert (len(suite.tasks), suite.num_steps) == (122, 10_000)


def test_a_small_suite_holds_the_quick_one():
    assert set(get_suite("cpu-quick").tasks) < set(get_suite("cpu-small").tasks)


def test_an_unknown_suite_names_the_near_ones():
    with pytest.raises(UnknownNameError, match="unknown suite `cpu-smal`: did you mean cpu-small"):
        get_suite("cpu-smal")


def test_a_suite_of_ones_own_is_found_by_name():
    mine = replace(get_suite("cpu-quick"), name="mine", num_steps=50)
    register_suite(mine)
    register_suite(mine)  # as a conftest that is imported twice does
    assert get_suite("mine") is mine
    assert "mine" in list_suites()


def test_a_name_is_taken_once():
    with pytest.raises(OptsuiteError, match="a suite `cpu-quick` exists already"):
        register_suite(replace(get_suite("cpu-quick"), num_steps=50))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tasks": ()}, "cannot have `tasks` \\(\\): needed names, each once"),
        ({"reference": "LionLR"}, "`reference` 'LionLR': needed one of AdamLR, SGDLR"),
        ({"num_steps": 0}, "`num_steps` 0"),
        ({"num_seeds": 0}, "`num_seeds` 0"),
        ({"name": "a b"}, "`name` 'a b': needed letters"),
    ],
)
def test_what_cannot_be_is_refused(change, words, written):
    with pytest.raises(HParamError, match=words):
        register_suite(replace(suites.get_suite(written()), **change))


def test_names_that_do_not_exist_are_told_with_near_ones(written):
    mine = get_suite(written())
    with pytest.raises(UnknownNameError, match="unknown task `ImageMLP_X`"):
        register_suite(replace(mine, tasks=("ImageMLP_X",)))
    with pytest.raises(UnknownNameError, match="unknown hparam set family `AdmLR`: did you mean AdamLR"):
        register_suite(replace(mine, families=("AdmLR",), reference="AdmLR"))


def test_a_file_is_a_suite(written):
    mine = get_suite(written())
    assert (mine.label, mine.tasks, mine.set_of("SGDLR")) == (
        "mine v2",
        ("ImageMLP_FashionMnist8_Relu32",),
        "SGDLR_10_R2",
    )


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("num_seeds = 2", "", "needs a whole number for `num_seeds` \\(got None\\)"),
        ("num_seeds = 2", "num_seeds = true", "needs a whole number for `num_seeds` \\(got True\\)"),
        ('["AdamLR", "SGDLR"]', '"AdamLR"', "needs a list of names for `families`"),
        ('["AdamLR", "SGDLR"]', "[1]", "needs a list of names for `families`"),
        ("num_seeds", "num_seed", "unknown key of the suite .* `num_seed`: did you mean num_seeds"),
        ("num_seeds = 2", "num_seeds =", "is no TOML"),
        ("SGDLR", "SGDMLRR", "unknown hparam set family"),
    ],
)
def test_a_file_that_is_none_is_told(old, new, words, written):
    with pytest.raises((HParamError, UnknownNameError), match=words):
        get_suite(written(old, new))


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(StorageError, match="there is no such file"):
        get_suite(str(tmp_path / "none.toml"))
