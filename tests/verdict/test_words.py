"""What a verdict says."""

from __future__ import annotations

import math

import pytest

from optsuite.statistics import Interval
from optsuite.verdict import lines, page

from .values import TASKS, entry, evaluations, standing, verdict, verdict_on_two


def first(value):
    return lines(value)[0]


def test_better():
    value = verdict_on_two((0.83, 0.79, 0.9), "better", (2, 0))
    assert lines(value) == [
        "Mine against tuned Adam on 2 tasks: better; it reaches Adam's final loss in 0.83 of the steps "
        "[0.79, 0.90].",
        "Better on 2 of 2 tasks, worse on 0, no difference on 0; average rank 1.5 of 2 optimizers.",
        "Best lr 0.003, not at the edge of its grid.",
    ]


def test_worse_says_how_soon_the_reference_is_there():
    assert first(verdict_on_two((4, 2, 5), "worse", (0, 2))) == (
        "Mine against tuned Adam on 2 tasks: worse; Adam reaches Mine's final loss in 0.25 of the steps "
        "[0.20, 0.50]."
    )


def test_no_difference():
    assert first(verdict_on_two((0.98, 0.91, 1.04), "no difference")) == (
        "Mine against tuned Adam on 2 tasks: no difference; it reaches Adam's final loss in 0.98 of the "
        "steps [0.91, 1.04]."
    )


def test_one_seed_is_undecided_and_shows_no_counts():
    value = verdict_on_two((0.83, math.nan, math.nan), "undecided", num_seeds=1)
    assert lines(value)[:2] == [
        "Mine against tuned Adam on 2 tasks: undecided; it reaches Adam's final loss in 0.83 of the steps, "
        "but one seed gives no interval; train two or more, better five.",
        "Ahead on 2 of 2 tasks, by estimates alone; average rank 1.5 of 2 optimizers.",
    ]
    (row,) = (line for line in page(value) if line.startswith("1.5   Mine"))
    assert row.split("  ")[-1].strip() == "lr 0.003"
    assert "0.83 (one seed)" in row


def test_one_task_tells_the_losses():
    mine = standing("Mine", 1, (0.83, 0.79, 0.9), "better", num_tasks=1, better_on=1)
    entries = [entry("MineLR", (0.83, 0.79, 0.9)), entry("AdamLR", final=(0.44, 0.43, 0.45))]
    value = verdict(entries, [mine, standing("Adam", 2, num_tasks=1)])
    assert lines(value)[:2] == [
        "Mine against tuned Adam on ImageMLP_FashionMnist8_Relu32: better; it reaches Adam's final loss in "
        "0.83 of the steps [0.79, 0.90].",
        "Final loss 0.4000 [0.3900, 0.4100] against 0.4400 [0.4300, 0.4500]; rank 1 of 2 optimizers.",
    ]


def test_a_reference_of_one_setting_is_not_tuned():
    single = evaluations("AdamLR", lrs=(0.001,))
    entries = [entry("MineLR", (0.9, 0.8, 1.1)), entry("AdamLR", evaluations=single, best=0)]
    value = verdict(entries, [standing("Mine", 1, (0.9, 0.8, 1.1)), standing("Adam", 2)])
    assert first(value).startswith("Mine against Adam on ")


def test_no_task_in_common_is_undecided():
    value = verdict(
        [entry("MineLR"), entry("SGDLR")],
        [standing("Mine", math.nan, None, "undecided", num_tasks=0)],
        missing={f"{TASKS[0]}/AdamLR_2000_R*": "there is no archive of AdamLR_2000_R*"},
    )
    assert lines(value)[:2] == [
        "Mine against Adam: undecided, since no task has results of both.",
        "It has results on 1 task.",
    ]
    assert page(value)[-1] == (f"missing: {TASKS[0]}/AdamLR_2000_R*: there is no archive of AdamLR_2000_R*")


def test_all_trials_of_it_diverged():
    entries = [entry("MineLR", (200, 200, 200), best=None), entry("AdamLR")]
    mine = standing("Mine", 2, (200, 200, 200), "worse", num_tasks=1, worse_on=1)
    value = verdict(entries, [standing("Adam", 1, num_tasks=1), mine])
    assert lines(value) == [
        f"Mine against tuned Adam on {TASKS[0]}: worse, since each of its settings diverged.",
        "Better on 0 of 1 task, worse on 1, no difference on 0, diverged on 1; average rank 2 of 2 "
        "optimizers.",
        "No best setting: each diverged with a seed.",
    ]


def test_the_edge_comes_with_advice():
    advice = "lr 0.01 is the largest that was tried; try 0.03 and 0.1"
    entries = [
        entry("MineLR", (0.9, 0.8, 1.1), best=2, edge=advice),
        entry("MineLR", (0.9, 0.8, 1.1), task=TASKS[1], best=0),
    ]
    value = verdict(entries, [standing("Mine", 1, (0.9, 0.8, 1.1)), standing("Adam", 2)])
    assert lines(value)[2] == (
        f"Best lr 0.001 to 0.01, by task, at the edge of its grid on 1 of 2 tasks: {advice}."
    )


def test_one_setting_is_told_without_an_edge():
    single = evaluations("MineLR", lrs=(0.003,))
    value = verdict(
        [entry("MineLR", (0.9, 0.8, 1.1), evaluations=single, best=0), entry("AdamLR")],
        [standing("Mine", 1, (0.9, 0.8, 1.1)), standing("Adam", 2)],
    )
    assert lines(value)[2] == "One setting for all tasks, Mine_lr0.003."


def test_the_basis_says_how_many_what_and_how():
    value = verdict_on_two(
        (0.83, 0.79, 0.9), "better", (2, 0), suite="cpu-quick v1", num_suite_tasks=2, notes=("a note",)
    )
    assert page(value)[-3:] == [
        "all 2 tasks of cpu-quick v1, 5 paired seeds, 2,000 steps, real data, intervals of 95%",
        "best setting chosen and judged by the last training loss",
        "a note",
    ]


@pytest.mark.parametrize(
    ("p_value", "words"),
    [
        (0.2, "ranks are not shown to differ (Friedman's test, p = 0.2)"),
        (
            0.0012,
            "ranks differ by more than chance (Friedman's test, p = 0.0012); Nemenyi's does not tell Mine "
            "from Adam",
        ),
    ],
)
def test_ranks_that_differ(p_value, words):
    groups = (("Mine", "Adam"), ("SGD",))
    value = verdict_on_two((0.9, 0.8, 1.1), "no difference", ranks_differ=p_value, rank_groups=groups)
    assert page(value)[-1] == words


def test_equal_notes_and_causes_are_told_once():
    entries = [
        entry("MineLR", (0.9, 0.8, 1.1), task=task, notes=("3 of its 5 seeds are shared, and used",))
        for task in TASKS
    ]
    missing = {f"{task}/SGDLR_2000_R*": "there is no archive" for task in TASKS}
    value = verdict(entries, [standing("Mine", 1, (0.9, 0.8, 1.1))], missing=missing)
    assert page(value)[-2:] == [
        f"Mine: 3 of its 5 seeds are shared, and used ({TASKS[0]}, {TASKS[1]})",
        "missing: SGDLR_2000_R* on 2 tasks: there is no archive",
    ]


def test_the_table_stands_by_rank_and_in_a_hundred_columns():
    name = "AdamWxWD_cosine_clip0p5"
    rows = [standing(name, 1, (0.123, 0.1, 0.15), "better", better_on=2), standing("Adam", 2)]
    mine = standing("Mine", 3, (12.3, 11, 150), "worse", worse_on=2)
    value = verdict(
        [entry(f"{name}LR", (1, 1, 1)), entry("MineLR", (1, 1, 1)), entry("AdamLR")], [*rows, mine]
    )
    shown = page(value, by_task=True)
    start = shown.index("") + 1
    assert shown[start : start + 4] == [
        "rank  optimizer                steps to Adam's loss  better  worse  best setting",
        "1     AdamWxWD_cosine_clip0p5  0.12 [0.10, 0.15]     2 of 2  0      lr 0.003",
        "2     Adam                     1 (reference)                        lr 0.003",
        "3     Mine                     12.3 [11.0, 150]      0 of 2  2      lr 0.003",
    ]
    assert max(map(len, shown[start : shown.index("", start)])) <= 100


def test_tasks_list_optimizers_by_their_final_loss():
    entries = [
        entry("MineLR", (4, 3, 5), final=(0.5, 0.4, 0.6)),
        entry("AdamLR"),
        entry("SGDLR", (200, 200, 200), best=None),
    ]
    value = verdict(entries, [standing("Mine", 2, (4, 3, 5), "worse"), standing("Adam", 1)])
    shown = page(value, by_task=True)
    start = shown.index(TASKS[0])
    assert shown[start - 1 : start + 4] == [
        "  optimizer  final loss               steps to Adam's loss  best setting",
        TASKS[0],
        "  Adam       0.4000 [0.3900, 0.4100]  1 (reference)         lr 0.003",
        "  Mine       0.5000 [0.4000, 0.6000]  4.00 [3.00, 5.00]     lr 0.003",
        "  SGD        all diverged             diverged              all diverged",
    ]


@pytest.mark.parametrize(
    ("low", "high", "words"), [(0.4, math.inf, "[0.4000, diverged]"), (math.nan, math.nan, "(one seed)")]
)
def test_limits_that_are_no_numbers_are_words(low, high, words):
    entries = [entry("MineLR", (1, 0.9, 1.1), final=Interval(0.45, low, high)), entry("AdamLR")]
    value = verdict(entries, [standing("Mine", 2, (1, 0.9, 1.1))])
    assert any(f"0.4500 {words}" in line for line in page(value, by_task=True))


def test_a_reference_that_diverged_is_told():
    entries = [entry("MineLR", (0.01, 0.01, 0.01)), entry("AdamLR", best=None)]
    mine = standing("Mine", 1, (0.01, 0.01, 0.01), "better", num_tasks=1, better_on=1)
    value = verdict(entries, [mine, standing("Adam", 2, num_tasks=1)])
    assert first(value) == (
        f"Mine against tuned Adam on {TASKS[0]}: better, since each setting of Adam diverged."
    )
    both = [entry("MineLR", (1, 1, 1), best=None), entry("AdamLR", best=None)]
    value = verdict(both, [standing("Mine", 1.5, (1, 1, 1)), standing("Adam", 1.5)])
    assert first(value).endswith(
        ": no difference, since each of its settings diverged, as each of Adam's did."
    )


def test_tasks_on_which_the_reference_diverged_are_counted():
    entries = [
        entry("MineLR", (0.1, 0.01, 0.8)),
        entry("AdamLR"),
        entry("MineLR", (0.01, 0.01, 0.01), task=TASKS[1]),
        entry("AdamLR", best=None, task=TASKS[1]),
    ]
    mine = standing("Mine", 1, (0.1, 0.01, 0.8), "better", better_on=2)
    value = verdict(entries, [mine, standing("Adam", 2)])
    assert ", no difference on 0, Adam diverged on 1; average rank" in lines(value)[1]
