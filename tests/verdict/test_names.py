"""What names of optimizers stand for."""

from __future__ import annotations

import pytest

from optsuite.errors import OptsuiteError, UnknownNameError, in_face
from optsuite.verdict._names import Contender, find_all, find_one, label_all, optimizer_of

SETS = (
    "AdamLR_500_R2",
    "AdamLR_2000_R2",
    "AdamLR_2000_R5",
    "AdamLR_cosine_2000_R5",
    "AdamWLR_2000_R5",
    "Wide_2000_R1",
)
ADAM = Contender("AdamLR", 2000)


@pytest.mark.parametrize("name", ["Adam", "AdamLR", "AdamL?"])
def test_an_optimizer_is_named_by_itself_or_its_family(name):
    assert find_one(name, SETS, 2000) == ADAM


def test_a_set_stands_for_itself():
    assert find_one("AdamLR_2000_R2", SETS) == Contender("AdamLR", 2000, 2)


def test_wrappers_follow_a_plus():
    assert find_one("Adam+cosine", SETS) == Contender("AdamLR_cosine", 2000)


def test_a_grid_is_named_as_it_is():
    assert find_one("Wide", SETS) == Contender("Wide", 2000)


def test_a_glob_stands_for_all_that_it_matches():
    families = [one.family for one in find_all("Adam*", SETS, 2000)]
    assert families == ["AdamLR", "AdamLR_cosine", "AdamWLR"]


def test_several_lengths_are_refused_and_listed():
    with pytest.raises(OptsuiteError) as caught:
        find_one("Adam", SETS)
    assert in_face(caught.value, "cli") == (
        "`Adam` was trained for 500 and 2,000 steps: say which, with --steps or the name of a set "
        "(`AdamLR_2000_R5`)"
    )


def test_several_optimizers_are_refused_and_listed():
    with pytest.raises(
        OptsuiteError, match=r"one .* needed, and `Adam\*` stands for Adam, Adam_cosine, AdamW$"
    ):
        find_one("Adam*", SETS, 2000)


def test_another_length_is_refused_with_those_there_are():
    with pytest.raises(OptsuiteError, match=r"no `Wide` of 500 steps.*it was trained for 2,000 steps"):
        find_one("Wide", SETS, 500)


def test_an_unknown_name_is_answered_with_near_ones():
    with pytest.raises(UnknownNameError, match="`Adm`: did you mean Adam"):
        find_one("Adm", SETS)


@pytest.mark.parametrize(
    ("repetitions", "chosen"), [(None, "AdamLR_2000_R5"), (2, "AdamLR_2000_R2"), (3, None)]
)
def test_the_set_with_most_seeds_is_taken_unless_said_otherwise(repetitions, chosen):
    assert Contender("AdamLR", 2000, repetitions).choose(SETS) == chosen


@pytest.mark.parametrize(
    ("family", "optimizer"),
    [
        ("AdamLR", "Adam"),
        ("AdamWLRxWD_cosine", "AdamWxWD_cosine"),
        ("Wide", "Wide"),
        ("LRLR", "LR"),
        ("LR", "LR"),
    ],
)
def test_the_name_of_the_optimizer_in_that_of_its_family(family, optimizer):
    assert optimizer_of(family) == optimizer


def test_labels_are_as_short_as_they_can_differ():
    same = [ADAM, Contender("Adam", 2000), Contender("SGDLR", 2000)]
    assert label_all(same) == ["AdamLR", "Adam", "SGD"]
    lengths = [Contender("AdamLR", 2000, 100), ADAM]
    assert label_all(lengths) == ["AdamLR_2000_R100", "AdamLR_2000_R*"]
