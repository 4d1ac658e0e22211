"""From archives to a verdict."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from optsuite import archives, baselines, statistics, storage
from optsuite.errors import OptsuiteError, UnknownNameError
from optsuite.statistics import RULES
from optsuite.storage import CorruptFileError, MissingFileError
from optsuite.suites import Suite
from optsuite.verdict import judge, page

from .values import TASKS, archive

FAST, SLOW = (0.9, 0.3, 0.6), (1.2, 0.8, 1.0)


@pytest.fixture
def root(tmp_path):
    return str(tmp_path / "archives")


@pytest.fixture(autouse=True)
def packaged(monkeypatch):
    """Packaged baselines, by (task, set); none at first."""
    cells = {}
    monkeypatch.setattr(baselines, "available", lambda: sorted(cells))
    monkeypatch.setattr(baselines, "load", lambda task, name: cells.get((task, name)))
    return cells


def pack(cells, root, task, name, **changes):
    """Move an archive of a root to the package."""
    read = archives.read_archive(task, name, root)
    cells[task, name] = replace(
        statistics.evaluations(read), source="packaged", origin="packaged with optsuite", **changes
    )
    archives.delete_archive(name, task, root)


def both(root, mine=FAST, adam=SLOW, **options):
    for task in TASKS:
        archive(root, "MineLR", mine, task=task, **options)
        archive(root, "AdamLR", adam, task=task, **options)


def by_name(found):
    return {one.optimizer: one for one in found.standings}


def test_the_faster_is_better_and_the_slower_worse(root):
    both(root)
    found = judge("Mine", root=root)
    assert (found.of, found.reference, found.outcome) == ("Mine", "Adam", "better")
    assert [one.optimizer for one in found.standings] == ["Mine", "Adam"]
    mine = by_name(found)["Mine"]
    assert (mine.num_tasks, mine.better_on, mine.worse_on) == (2, 2, 0)
    assert mine.steps_ratio.high < 1
    back = judge("Adam", ["Mine"], root=root)
    assert back.outcome == "worse"
    assert math.isclose(by_name(back)["Adam"].steps_ratio.value, 1 / mine.steps_ratio.value)


def test_another_name_for_the_same_makes_no_difference(root):
    both(root, FAST, FAST)
    found = judge("Mine", root=root)
    assert found.outcome == "no difference"
    assert by_name(found)["Mine"].steps_ratio[:3] == (1, 1, 1)


def test_entries_tell_the_best_setting_and_its_edge(root):
    both(root, (0.9, 0.6, 0.3))
    mine, adam = judge("Mine", root=root, tasks=TASKS[:1]).entries
    assert (mine.best.label, mine.best_index, mine.best.hparams) == ("Mine_lr0.01", 2, {"lr": 0.01})
    assert mine.edge == "lr 0.01 is the largest that was tried; try 0.1 and 1"
    assert (adam.best_index, adam.edge, adam.steps_ratio) == (1, "", None)
    assert mine.final.low < mine.final.value < mine.final.high
    assert len(mine.best_of) == 3


def test_the_reference_is_adam_else_the_first_named(root):
    both(root)
    archive(root, "SGDLR", SLOW)
    archive(root, "LionLR", SLOW)
    assert judge("Mine", ["SGD", "Adam"], root=root).reference == "Adam"
    assert judge("Mine", ["*"], root=root).reference == "Adam"
    assert judge("Mine", ["SGD", "Lion"], root=root).reference == "SGD"
    assert judge("Mine", ["SGD"], reference="Lion", root=root).reference == "Lion"


def test_one_seed_is_undecided(root):
    both(root, seeds=(0,))
    found = judge("Mine", root=root)
    assert (found.outcome, found.num_seeds) == ("undecided", 1)
    assert by_name(found)["Mine"].steps_ratio.value < 1


def test_an_optimizer_that_diverges_is_worse(root):
    both(root, (math.nan,) * 3)
    found = judge("Mine", root=root)
    assert found.outcome == "worse"
    assert {entry.why_no_best for entry in found.entries if entry.optimizer == "Mine"} == {"all diverged"}


def test_seeds_that_are_shared_are_used_and_said(root):
    archive(root, "MineLR", FAST, seeds=range(6))
    archive(root, "AdamLR", SLOW, seeds=(4, 5, 6))
    found = judge("Mine", root=root)
    assert found.num_seeds == 2
    mine, adam = found.entries
    assert list(mine.evaluations.seeds) == list(adam.evaluations.seeds) == [4, 5]
    assert list(mine.notes) == ["2 of its 6 seeds are shared, and used"]


def test_one_that_lacks_seeds_stands_aside(root):
    both(root, seeds=range(4))
    archive(root, "SGDLR", SLOW, seeds=(0, 1))
    found = judge("Mine", ["Adam", "SGD"], TASKS[:1], root=root)
    assert found.missing == {f"{TASKS[0]}/SGDLR_100_R*": "lacks 2 of the 4 seeds that Mine and Adam share"}
    assert found.num_seeds == 4


def test_no_seed_in_common_is_said(root):
    archive(root, "MineLR", FAST, seeds=(0, 1))
    archive(root, "AdamLR", SLOW, seeds=(7, 9))
    found = judge("Mine", root=root)
    assert found.outcome == "undecided"
    assert list(found.missing.values()) == ["its seeds 7, 9 are not those of MineLR_100_R2 (0 to 1)"]


def test_a_task_without_the_reference_counts_for_nothing_but_its_losses(root):
    both(root)
    archives.delete_archive("AdamLR_100_R3", TASKS[1], root)
    found = judge("Mine", root=root)
    assert by_name(found)["Mine"].num_tasks == 1
    assert found.missing == {f"{TASKS[1]}/AdamLR_100_R*": "there is no archive and no packaged baseline"}
    alone = [entry for entry in found.entries if entry.task == TASKS[1]]
    assert [(entry.optimizer, entry.steps_ratio) for entry in alone] == [("Mine", None)]
    assert alone[0].final is not None


def test_no_task_with_both_is_undecided(root):
    archive(root, "MineLR", FAST, task=TASKS[0])
    archive(root, "AdamLR", SLOW, task=TASKS[1])
    found = judge("Mine", root=root, tasks=TASKS)
    assert found.outcome == "undecided"
    assert page(found)[0] == "Mine against Adam: undecided, since no task has results of both."
    assert set(found.missing) == {f"{TASKS[0]}/AdamLR_100_R*", f"{TASKS[1]}/MineLR_100_R*"}


def test_packaged_baselines_stand_in_where_there_are_no_own(root, packaged):
    both(root)
    pack(packaged, root, TASKS[0], "AdamLR_100_R3")
    found = judge("Mine", root=root)
    assert by_name(found)["Mine"].num_tasks == 2
    sources = [entry.evaluations.source for entry in found.entries if entry.optimizer == "Adam"]
    assert sorted(sources) == ["own", "packaged"]
    assert found.notes == ["Adam: packaged with optsuite"]


def test_packaged_baselines_do_not_stand_beside_stand_ins(root, packaged):
    archive(root, "AdamLR", SLOW)
    pack(packaged, root, TASKS[0], "AdamLR_100_R3")
    archive(root, "MineLR", FAST, source="synthetic")
    found = judge("Mine", root=root)
    assert found.outcome == "undecided"
    assert list(found.missing.values()) == ["there is no archive, and packaged baselines are of real data"]


def test_own_archives_of_other_data_are_not_compared(root):
    archive(root, "MineLR", FAST, source="synthetic")
    archive(root, "AdamLR", SLOW)
    found = judge("Mine", root=root)
    assert list(found.missing.values()) == [
        "trained on real data, and MineLR_100_R3 on stand-in data (synthetic)"
    ]


def test_lengths_are_not_mixed(root):
    archive(root, "MineLR", FAST, steps=100)
    archive(root, "AdamLR", SLOW, steps=50)
    with pytest.raises(OptsuiteError, match=r"no `Adam` of 100 steps.* trained for 50 steps"):
        judge("Mine", root=root)
    archive(root, "MineLR", FAST, steps=50)
    with pytest.raises(OptsuiteError, match="`Mine` was trained for 50 and 100 steps: say which"):
        judge("Mine", root=root)
    assert judge("Mine", root=root, num_steps=50).num_steps == 50
    assert judge("MineLR_50_R3", root=root).num_steps == 50


def test_a_damaged_archive_does_not_cost_the_others(root):
    both(root)
    archive(root, "SGDLR", SLOW)
    storage.write_bytes(storage.archive_path(TASKS[0], "SGDLR_100_R3", root), b"damaged")
    found = judge("Mine", ["Adam", "SGD"], root=root)
    assert found.outcome == "better"
    assert "SGDLR_100_R3.npz" in found.missing[f"{TASKS[0]}/SGDLR_100_R*"]


def test_nothing_usable_of_it_is_an_error(root):
    both(root)
    for task in TASKS:
        storage.write_bytes(storage.archive_path(task, "MineLR_100_R3", root), b"damaged")
    with pytest.raises(MissingFileError, match=f"nothing to judge: {TASKS[1]}/MineLR_100_R"):
        judge("Mine", root=root)


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        ({"of": "Mien"}, UnknownNameError, "`Mien`: did you mean Mine"),
        ({"against": ["Admm"]}, UnknownNameError, "`Admm`: did you mean Adam"),
        ({"reference": "Mine"}, OptsuiteError, r"with another one \(got `Mine` for both\)"),
        ({"against": ["Mine"]}, OptsuiteError, "nothing to compare `MineLR_100_R.` with"),
        ({"rule": "best"}, UnknownNameError, "unknown rule `best`"),
        ({"tasks": ["Conv*"]}, MissingFileError, r"no archives of Conv\* in"),
    ],
)
def test_what_cannot_be_asked(root, arguments, kind, words):
    both(root)
    with pytest.raises(kind, match=words):
        judge(**{"of": "Mine", "root": root} | arguments)


def test_an_empty_root_says_so(root):
    with pytest.raises(MissingFileError, match=r"no archives of \* in .*: train some first$"):
        judge("Mine", root=root)
    archive(f"{root}_synthetic", "MineLR", FAST, source="synthetic")
    with pytest.raises(MissingFileError, match=r"train some first; there are .* on stand-in data in "):
        judge("Mine", root=root)


def test_a_task_without_archives_says_so(root):
    with pytest.raises(MissingFileError, match="no archives of these tasks to find `Mine` among"):
        judge("Mine", root=root, tasks=TASKS)


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_judges(root, rule):
    both(root)
    found = judge("Mine", root=root, rule=rule)
    assert (found.outcome, found.rule) == ("better", RULES[rule].words)


def test_ranks_are_tested_where_there_are_three_and_two_tasks(root):
    both(root)
    for task in TASKS:
        archive(root, "SGDLR", (1.5, 1.4, 1.6), task=task)
    found = judge("Mine", ["*"], root=root)
    assert [one.rank for one in found.standings] == [1, 2, 3]
    assert 0 < found.ranks_differ < 1
    assert judge("Mine", root=root).ranks_differ is None


SUITE = Suite(
    name="tiny",
    version=3,
    about="Small.",
    tasks=TASKS,
    families=("AdamLR", "SGDLR"),
    reference="SGDLR",
    num_steps=100,
    num_seeds=3,
)


def test_a_suite_gives_tasks_opponents_length_and_seeds(root):
    both(root)
    archive(root, "MineLR", FAST, steps=50)
    archive(root, "MineLR", SLOW, seeds=range(5))
    archive(root, "SGDLR", SLOW)
    found = judge("Mine", root=root, suite=SUITE)
    assert (found.suite, found.reference, found.num_steps, found.num_seeds) == ("tiny v3", "SGD", 100, 3)
    assert found.missing == {f"{TASKS[1]}/SGDLR_100_R3": "there is no archive and no packaged baseline"}
    assert found.outcome == "better"


def test_tasks_of_a_suite_can_be_narrowed(root):
    both(root)
    archive(root, "SGDLR", SLOW)
    found = judge("Mine", root=root, suite=SUITE, tasks=["*8_Relu32"])
    assert {entry.task for entry in found.entries} == {TASKS[0]}
    with pytest.raises(MissingFileError, match="the suite has no task `Conv`; its tasks are"):
        judge("Mine", root=root, suite=SUITE, tasks=["Conv"])


def test_adding_an_opponent_leaves_the_others_ratio_alone(root):
    both(root)
    before = by_name(judge("Mine", root=root))["Mine"].steps_ratio
    for task in TASKS:
        archive(root, "SGDLR", SLOW, task=task)
    after = by_name(judge("Mine", ["*"], root=root))["Mine"].steps_ratio
    assert np.allclose(before, after)


def test_untuned_each_has_the_setting_that_ranks_best_over_all_tasks(root):
    for task, mine in zip(TASKS, ((0.9, 0.5, 0.4), (0.9, 0.5, 2.2)), strict=True):
        archive(root, "MineLR", mine, task=task)
        archive(root, "AdamLR", SLOW, task=task)
    found = judge("Mine", root=root, untuned=True)
    assert {entry.best.label for entry in found.entries} == {"Mine_lr0.001", "Adam_lr0.001"}
    assert page(found)[2] == "One setting for all tasks, Mine_lr0.001."
    assert found.notes[0] == (
        "each optimizer has one setting for all tasks, the one that ranks best over them: Mine of 3, "
        "Adam of 3; intervals do not repeat this choice, and are too narrow by it"
    )
    tuned = [entry.best.label for entry in judge("Mine", root=root).entries if entry.optimizer == "Mine"]
    assert sorted(tuned) == ["Mine_lr0.001", "Mine_lr0.01"]


def test_a_rule_whose_data_were_not_evaluated_cannot_judge(root, packaged):
    both(root)
    for task in TASKS:
        lacking = statistics.evaluations(archives.read_archive(task, "AdamLR_100_R3", root)).losses
        pack(packaged, root, task, "AdamLR_100_R3", losses={"train": lacking["train"]})
    found = judge("Mine", root=root, rule="validation")
    assert set(found.missing.values()) == {
        "not evaluated on outer_valid and test, as the rule `validation` needs"
    }


def test_who_has_fewer_tasks_is_named(root):
    both(root)
    archive(root, "SGDLR", SLOW)
    found = judge("Mine", ["*"], root=root)
    assert list(found.notes) == ["ranks over fewer than 2 tasks compare less: SGD on 1"]


def test_a_verdict_on_part_of_a_suite_says_so(root):
    both(root, seeds=(0, 1, 2))
    for task in TASKS:
        archive(root, "SGDLR", SLOW, task=task)
    whole = judge("Mine", root=root, suite=SUITE)
    assert any(line.startswith("all 2 tasks of tiny v3, 3 paired seeds, ") for line in page(whole))
    part = judge("Mine", root=root, suite=SUITE, tasks=["*8_Relu32"])
    assert page(part)[0].startswith(
        f"Mine against tuned SGD on {TASKS[0]}, 1 of the 2 tasks of tiny v3: better;"
    )
    assert "not the whole suite tiny v3: 1 of its 2 tasks; do not compare" in part.notes[0]


def test_fewer_seeds_than_the_suite_has_are_told(root):
    for family in ("MineLR", "SGDLR"):
        for task in TASKS:
            archive(root, family, FAST, task=task, seeds=(0, 1))
    found = judge("MineLR_100_R2", ["SGDLR_100_R2"], reference="SGDLR_100_R2", root=root, suite=SUITE)
    assert "not the whole suite tiny v3: 2 of its 3 seeds" in found.notes[0]


def test_a_suite_has_one_length(root):
    both(root)
    with pytest.raises(OptsuiteError, match=r"the suite tiny v3 has 100 steps \(got 50\)"):
        judge("Mine", root=root, suite=SUITE, num_steps=50)


def test_a_missing_set_of_a_known_family_is_told_and_another_is_an_error(root):
    both(root)
    found = judge("Mine", ["LionLR_100_R3"], root=root, reference="AdamLR_100_R3")
    assert set(found.missing) == {f"{task}/LionLR_100_R3" for task in TASKS}
    gone = judge("Mine", root=root, reference="LionLR_100_R3")
    assert gone.outcome == "undecided"
    with pytest.raises(UnknownNameError, match="did you mean AdamLR"):
        judge("Mine", ["AdmaLR_100_R3"], root=root)


def test_packaged_baselines_of_another_length_do_not_make_own_ones_ambiguous(root, packaged):
    archive(root, "AdamLR", SLOW, steps=50)
    pack(packaged, root, TASKS[0], "AdamLR_50_R3")
    both(root)
    assert judge("Adam", ["Mine"], root=root).num_steps == 100
    assert judge("Adam", ["Mine"], root=root, num_steps=100).outcome == "worse"


def test_one_setting_for_all_tasks_needs_one_that_all_have(root, packaged):
    both(root)
    others = tuple(archives.RecordedConfig(f"Mine_lr{lr}", {"lr": lr}) for lr in (1, 3, 10))
    pack(packaged, root, TASKS[0], "MineLR_100_R3", configs=others)
    with pytest.raises(OptsuiteError, match="one setting for all tasks needs one that all have"):
        judge("Mine", root=root, untuned=True)


def test_a_damaged_baseline_costs_its_optimizer_alone(root, packaged, monkeypatch):
    both(root)
    packaged[TASKS[0], "SGDLR_100_R3"] = None

    def load(task, name):
        raise CorruptFileError("it is not the file that came with optsuite")

    monkeypatch.setattr(baselines, "load", load)
    found = judge("Mine", ["*"], root=root)
    assert found.outcome == "better"
    assert found.missing[f"{TASKS[0]}/SGDLR_100_R*"] == "it is not the file that came with optsuite"


def test_what_was_evaluated_otherwise_is_told(root, packaged):
    both(root)
    for task in TASKS:
        schedule = replace(
            statistics.evaluations(archives.read_archive(task, "AdamLR_100_R3", root)).schedule,
            eval_batches=1,
        )
        pack(packaged, root, task, "AdamLR_100_R3", schedule=schedule, has_seeds=False)
    words = "\n".join(page(judge("Mine", root=root)))
    assert "Mine: evaluated otherwise than AdamLR_100_R3 (other steps, or other numbers of batches)" in words
    assert "Adam: its archive names no seeds, so that they are no real pairs with those of others" in words


def test_names_of_folders_do_not_reach_the_terminal_as_they_are(root):
    both(root)
    for family in ("MineLR", "AdamLR"):
        archive(root, family, FAST, task="a\x1b[31m\nb")
    lines = page(judge("Mine", root=root), by_task=True)
    assert any("a\\x1b[31m\\nb" in line for line in lines)
    assert all(line.isprintable() for line in lines)


def test_seeds_that_only_pairs_share_leave_one_out(root):
    for family, seeds in (("MineLR", (0, 1, 2)), ("OneLR", (0, 1)), ("TwoLR", (1, 2)), ("ZedLR", (0, 2))):
        archive(root, family, FAST, seeds=seeds)
    found = judge("Mine", ["*"], root=root, reference="AdamLR_100_R3")
    assert found.outcome == "undecided"
    assert found.missing[f"{TASKS[0]}/ZedLR_100_R*"] == "shares no seed with all of Mine, One, Two"
