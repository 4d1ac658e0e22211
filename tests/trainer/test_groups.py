"""Groups hold each trial once, and how trials are grouped changes a curve by float rounding alone."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optsuite import trainer
from optsuite.hparam_sets import Config, Schedule, get_hparam_set, list_families
from optsuite.optimizers import WRAPPERS
from optsuite.tasks import get_task
from optsuite.trainer import Group
from optsuite.trainer._grid import split_into_grids
from optsuite.trainer._layouts_file import Layout

from .keepers import WHERE, groups_of, whole
from .own import configs_of
from .rules import RULES
from .runs import AVERAGED, KINDS, TINY, adam, assert_close, assert_identical, sgd, trials_of

SCHEDULE = Schedule(8, eval_every=4, eval_batches=1, last_eval_batches=2)
CLASSES = [f"torch.optim:{name}" for name in ("NAdam", "Adafactor", "SGD", "RMSprop", "Adam+cosine+clip+ema")]


def cut(groups, width):
    """The same trials in groups of a smaller width."""
    return [
        Group(tuple(grid.trials(group.trials[0].task_name, group.spec)), group.varying, Layout(width, False))
        for group in groups
        for grid in split_into_grids(group.trials, width)
    ]


def assert_grouping_is_rounding(configs, task=TINY, rtol=1e-4):
    """Compare four trials side by side with two and one."""
    groups = groups_of(task, trials_of(configs, (0, 1), SCHEDULE, task))
    together = whole(task, groups)
    for width in (2, 1):
        apart = whole(task, cut(groups, width))
        assert apart.keys() == together.keys()
        for trial, curve in together.items():
            assert_close(apart[trial], curve, rtol)


@pytest.mark.parametrize("rule", RULES)
def test_grouping_of_every_rule_is_rounding(rule):
    configs = [
        Config(f"x{n}", rule.name, {**rule.at_lr(lr), **rule.hparams}) for n, lr in enumerate((1e-3, 3e-3))
    ]
    assert_grouping_is_rounding(configs[: 1 + (configs[0].hparams != configs[1].hparams)])


@pytest.mark.parametrize("name", WRAPPERS)
def test_grouping_of_every_wrapper_is_rounding(name):
    assert_grouping_is_rounding(configs_of(f"SGDM+{name}", {}, 0.01, 0.03))


@pytest.mark.parametrize("name", CLASSES)
def test_grouping_of_classes_is_rounding(name):
    assert_grouping_is_rounding(configs_of(name, {}, 1e-3, 3e-3))


@pytest.mark.parametrize(
    "task", [*KINDS.values(), AVERAGED, get_task(f"ESWrapped_1pair_{TINY.name}")], ids=lambda task: task.name
)
def test_grouping_of_every_kind_of_task_is_rounding(task):
    assert_grouping_is_rounding([sgd(0.01), sgd(0.03)], task)


def test_a_part_of_a_group_keeps_what_is_lifted():
    """A group of one config is trained as when it stood beside others: its rate is a tensor still."""
    (group,) = groups_of(TINY, trials_of([adam(1e-3), adam(1e-2)], (0, 1), SCHEDULE))
    parts = cut([group], 1)
    assert {part.varying for part in parts} == {("lr",)}
    assert all(part.spec == group.spec for part in parts)


def test_the_same_groups_give_the_same_bits():
    groups = groups_of(TINY, trials_of([adam(1e-3), adam(1e-2)], (0, 1), SCHEDULE))
    once, again = whole(TINY, groups), whole(TINY, groups[::-1])
    for trial, curve in once.items():
        assert_identical(again[trial], curve)


@given(
    family=st.sampled_from([name for name in list_families() if not name.startswith("OptList")]),
    repetitions=st.integers(1, 3),
)
def test_groups_hold_each_trial_once(family, repetitions):
    trials = get_hparam_set(f"{family}_10_R{repetitions}").trials(TINY.name)
    groups = trainer.make_groups(TINY, trials, **WHERE)
    assert Counter(trial for group in groups for trial in group.trials) == Counter(trials)
    for group in groups:
        assert tuple(group.grid.trials(TINY.name, group.spec)) == group.trials
