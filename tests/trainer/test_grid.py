"""Trials are sorted into programs and laid out in grids."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optsuite.hparam_sets import Config, Schedule, get_hparam_set, list_families
from optsuite.trainer._grid import Grid, group_by_spec, split_into_grids

from .runs import SHORT, TINY, adam, sgd, trials_of

CONFIGS = [adam(10.0**-n) for n in range(20)]
ragged = st.sets(st.tuples(st.integers(0, 19), st.integers(0, 9)), min_size=1)
widths = st.integers(1, 250)


def cover(grids):
    return [(config, seed) for grid in grids for config in grid.configs for seed in grid.seeds]


@given(cells=ragged, width=widths, random=st.randoms(use_true_random=False))
def test_grids_cover_each_trial_once_and_are_never_too_wide(cells, width, random):
    trials = [trials_of([CONFIGS[h]], [s])[0] for h, s in sorted(cells)]
    random.shuffle(trials)
    grids = split_into_grids(trials, width)
    assert Counter(cover(grids)) == Counter((t.config, t.seed) for t in trials)
    for grid in grids:
        assert 1 <= grid.num_trials <= width
        assert grid.shape == (len(grid.seeds), len(grid.configs))


@given(num_configs=st.integers(1, 20), num_seeds=st.integers(1, 10), width=widths)
def test_full_grids_come_in_few_shapes(num_configs, num_seeds, width):
    """Each shape is a program to compile."""
    grids = split_into_grids(trials_of(CONFIGS[:num_configs], range(num_seeds)), width)
    assert len({grid.shape for grid in grids}) <= 4
    if width >= num_configs * num_seeds:
        assert len(grids) == 1
    if width >= num_configs:
        assert all(len(grid.configs) == num_configs for grid in grids)
    # Equal shapes may cost thrice the least number of cuts along each axis.
    least = -(-num_configs // width) * -(-num_seeds // max(1, width // num_configs))
    assert len(grids) <= 9 * least


@pytest.mark.parametrize(
    ("width", "shapes"),
    [
        (75, [(5, 15)]),
        (1000, [(5, 15)]),
        (74, [(3, 15), (2, 15)]),
        (44, [(1, 15)] * 5),
        (15, [(1, 15)] * 5),
        (14, [(1, 5)] * 15),
        (5, [(1, 5)] * 15),
        (1, [(1, 1)] * 75),
    ],
)
def test_a_published_set_is_cut_between_seeds_then_between_configs(width, shapes):
    grids = split_into_grids(get_hparam_set("AdamLR_10000_R5").trials(TINY.name), width)
    assert [grid.shape for grid in grids] == shapes


def test_a_repeated_trial_is_trained_once():
    trials = trials_of([adam(1e-3)]) * 3
    assert cover(split_into_grids(trials, 10)) == [(adam(1e-3), 0)]


def test_trials_of_an_optimizer_class_share_a_program_whatever_its_arguments():
    """Arguments are no part of it; another class or schedule is another program."""
    nesterov = Config("nesterov", "torch.optim:SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True})
    plain = Config("plain", "torch.optim:SGD", {"lr": 1})
    other = Config("other", "torch.optim:NAdam", {"betas": (0.9, 0.99)})
    trials = [*trials_of([plain, other, nesterov], [0, 1]), *trials_of([plain], schedule=Schedule(7))]
    groups = list(group_by_spec(trials))
    assert [(spec.optimizer, spec.schedule.num_steps, len(group)) for spec, group in groups] == [
        ("torch.optim:SGD", SHORT.num_steps, 4),
        ("torch.optim:NAdam", SHORT.num_steps, 2),
        ("torch.optim:SGD", 7, 1),
    ]
    assert {(*spec.shared, *spec.varying) for spec, _ in groups} == {()}


@given(num_configs=st.integers(1, 20), num_seeds=st.integers(1, 10))
def test_halves_are_a_grid_in_two_parts(num_configs, num_seeds):
    grid = Grid(tuple(range(num_seeds)), tuple(CONFIGS[:num_configs]))
    if grid.num_trials == 1:
        return
    halves = grid.halves()
    assert Counter(cover(halves)) == Counter(cover([grid]))
    # Whole seeds or, of one seed, whole configs: so the larger part is two thirds at most.
    assert max(half.num_trials for half in halves) <= grid.num_trials * 2 / 3


def test_equal_numbers_stay_floats_and_differing_ones_are_lifted():
    configs = [
        Config(f"Adam{n}", "Adam", {"lr": 10.0**-n, "beta1": 0.9, "beta2": 1 - 0.1**n}) for n in (1, 2)
    ]
    trials = trials_of(configs, seeds=[0, 1])
    ((spec, members),) = group_by_spec(trials)
    assert members == trials
    assert spec.shared == {"beta1": 0.9}
    assert type(spec.shared["beta1"]) is float
    assert sorted(spec.varying) == ["beta2", "lr"]
    assert (spec.optimizer, spec.schedule) == ("Adam", SHORT)


def test_a_single_config_lifts_nothing():
    ((spec, _),) = group_by_spec(trials_of([adam(1e-3)], seeds=[0, 1, 2]))
    assert spec.shared == {"lr": 1e-3}
    assert spec.varying == ()


def test_different_optimizers_schedules_and_structures_never_share_a_program():
    trials = [
        *trials_of([adam(1e-3), adam(1e-2), sgd(1e-3)]),
        *trials_of([adam(1e-3), sgd(1e-3)], schedule=replace(SHORT, num_steps=61)),
        *trials_of([adam(1e-3)], schedule=replace(SHORT, eval_every=21)),
        *trials_of([Config("a", "RMSProp", {"lr": 0.1})]),
        *trials_of([Config("b", "RMSProp", {"lr": 0.1, "momentum": 0.9})]),
        *trials_of([Config("c", "RMSProp", {"lr": 0.1, "momentum": 0.9, "nesterov": True})]),
    ]
    groups = list(group_by_spec(trials))
    assert sorted(len(members) for _, members in groups) == [1, 1, 1, 1, 1, 1, 1, 2]
    for spec, members in groups:
        for trial in members:
            assert trial.config.optimizer == spec.optimizer
            assert trial.schedule == spec.schedule
            assert set(trial.config.hparams) == {*spec.shared, *spec.varying}


def test_whole_numbers_are_lifted_and_words_part_programs():
    numbers = [Config(f"n{n}", "AdamGradAccum", {"lr": 0.1, "num_average": n}) for n in (1, 2, 4)]
    ((spec, _),) = group_by_spec(trials_of(numbers))
    assert (spec.shared, spec.varying) == ({"lr": 0.1}, ("num_average",))
    words = [
        Config(f"{w}{lr}", "Shampoo", {"lr": lr, "graft_type": w})
        for w in ("SGD", "ADAGRAD")
        for lr in (1, 2)
    ]
    specs = [spec for spec, _ in group_by_spec(trials_of(words))]
    assert [spec.shared for spec in specs] == [{"graft_type": "SGD"}, {"graft_type": "ADAGRAD"}]
    assert {spec.varying for spec in specs} == {("lr",)}


def test_groups_keep_every_trial():
    sets = [get_hparam_set(f"{family}_{n}_R2") for family in list_families() for n in (10, 20)]
    trials = list(itertools.chain.from_iterable(s.trials(TINY.name) for s in sets))
    grouped = [members for _, members in group_by_spec(trials)]
    assert Counter(t for members in grouped for t in members) == Counter(trials)
    assert {t.schedule for t in grouped[0]} <= {Schedule(10), Schedule(20)}
