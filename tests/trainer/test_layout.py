"""Layouts are measured where that pays, kept, and change a curve by rounding alone."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from optsuite import trainer
from optsuite.hparam_sets import Config, Schedule
from optsuite.storage import thread_map
from optsuite.trainer import _layout, _layouts_file
from optsuite.trainer._compile import can_compile
from optsuite.trainer._grid import How
from optsuite.trainer._layouts_file import Layout, layouts_file
from optsuite.trainer._programs import Programs

from .runs import KINDS, TINY, adam, assert_close, nadam, run, train, trials_of

CPU = torch.device("cpu")
TRIALS = trials_of([adam(1e-3 * n) for n in range(1, 16)], seeds=range(5))
SOME = trials_of([adam(1e-3), adam(3e-3), adam(1e-2)], seeds=[0, 1], schedule=Schedule(12, eval_batches=1))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def long_runs(monkeypatch, cache):
    """Measure however short the run."""
    monkeypatch.setattr(_layout, "_MIN_SECONDS", 0.0)
    monkeypatch.setattr(_layout, "_SHARE", 1e9)
    monkeypatch.setattr(_layout, "_TRY_SECONDS", 0.0)


@pytest.fixture
def measured(monkeypatch, long_runs):
    """Lists the layouts that were measured; the wider is the faster, whatever else runs on this machine."""
    real, seen = _layout._Measured._seconds, []

    def seconds(self, layout, **options):
        seen.append(layout)
        real(self, layout, **options)
        return 1 / layout.width

    monkeypatch.setattr(_layout._Measured, "_seconds", seconds)
    return seen


class Made(_layout._Measured):
    """Costs that are given, where a second of a trial-step is long enough to measure all."""

    def __init__(self, seconds, trials=TRIALS):
        ((spec, _),) = trainer.group_by_spec(trials)
        programs = Programs(TINY, spec, CPU, How(is_compiled=False))
        super().__init__(programs, trials, "synthetic")
        self.seconds, self.asked = seconds, []

    def _seconds(self, layout, tries=1):
        self.asked.append(layout)
        return 1e3 * self.seconds(layout)


def choose(seconds, start, most=1000):
    made = Made(seconds)
    return made.best(Layout(start, is_compiled=False), most), made.asked


@given(st.integers(1, 75), st.integers(1, 75), st.integers(1, 75))
def test_widths_ascend_by_a_factor_and_hold_the_first(start, most, num_trials):
    trials = TRIALS[:num_trials]
    widths = _layout._widths(trials, start, most)
    sizes = [trainer.split_into_grids(trials, width)[0].num_trials for width in widths]
    assert start in widths
    assert max(widths) <= max(most, start)
    assert all(b >= 2 * a for a, b in itertools.pairwise(sizes))


@settings(max_examples=50)
@given(st.sampled_from([1, 5, 15, 75]), st.floats(0.5, 80), st.floats(0.3, 3))
def test_the_fastest_width_is_found_where_cost_falls_and_then_rises(start, fastest, slope):
    def seconds(layout):
        return 1 + slope * abs(np.log2(layout.width / fastest))

    best, _ = choose(seconds, start)
    costs = {width: seconds(Layout(width, False)) for width in _layout._widths(TRIALS, start, 1000)}
    default = costs[start] * _layout._MARGIN
    assert seconds(best) == min(costs.values()) or default <= min(costs.values())


def test_the_default_is_left_only_for_what_is_clearly_faster():
    assert choose(lambda layout: 0.95 if layout.width < 15 else 1.0, 15)[0].width == 15
    assert choose(lambda layout: 0.85 if layout.width < 15 else 1.0, 15)[0].width < 15


def test_what_only_seemed_fast_is_found_out():
    """The default layout was measured while something else slowed the machine."""
    calls = itertools.count()
    slowed = {15: lambda: 2.0 if next(calls) < 2 else 1.0}  # its uncompiled estimate, and its first time
    assert choose(lambda layout: slowed.get(layout.width, lambda: 1.2)(), 15)[0].width == 15


def test_what_does_not_fit_is_never_chosen_and_nothing_wider_is_tried():
    best, asked = choose(lambda layout: np.inf if layout.width > 20 else 1 / layout.width, 5)
    assert trainer.split_into_grids(TRIALS, best.width)[0].num_trials == 15
    assert len({layout.width for layout in asked if layout.width > 20}) == 1
    assert max(layout.width for layout in choose(lambda _: 1.0, 5, most=5)[1]) == 5


def test_measuring_ends_when_it_has_taken_its_share(monkeypatch):
    clock = iter(range(0, 10**9, 10**6))
    monkeypatch.setattr(_layout.time, "monotonic", lambda: next(clock))
    asked = choose(lambda layout: 1 / layout.width, 1)[1]
    assert {layout.width for layout in asked} == {1}


def test_short_runs_measure_nothing(cache):
    train(SOME)
    assert not layouts_file().exists()


@pytest.mark.parametrize("config", [adam, nadam])
def test_what_was_measured_is_kept_and_curves_are_the_same(config, measured, monkeypatch):
    trials = trials_of([config(1e-3), config(3e-3)], seeds=[0, 1], schedule=Schedule(12, eval_batches=1))
    with monkeypatch.context() as short:
        short.setattr(_layout, "_MIN_SECONDS", 1e9)
        expected = train(trials)
    curves = train(trials)
    for trial in trials:
        assert_close(curves[trial], expected[trial])
    (kept,) = json.loads(layouts_file().read_text()).values()
    assert Layout(**kept) in measured
    assert len({layout.width for layout in measured}) == 2
    measured.clear()
    train(trials)
    assert not measured
    train(trials_of([config(1e-3)], task=KINDS["conv"], schedule=Schedule(3)), KINDS["conv"])
    assert measured


def test_what_is_known_is_used_as_far_as_it_fits(long_runs, monkeypatch):
    train(SOME)
    (name,) = json.loads(layouts_file().read_text())

    def trained_as(width):
        layouts_file().write_text(json.dumps({name: {"width": width, "is_compiled": False}}))
        return {str(curve["trained_as"]) for curve in train(SOME).values()}

    assert trained_as(1) == {"1 seeds x 1 configs, eager"}
    assert trained_as(3) == {"1 seeds x 3 configs, eager"}
    assert trained_as(1000) == {"2 seeds x 3 configs, eager"}
    monkeypatch.setattr(_layout, "width_by_memory", lambda *_: 3)
    assert trained_as(1000) == {"1 seeds x 3 configs, eager"}


@pytest.mark.slow
@pytest.mark.skipif(not can_compile("cpu"), reason="no compiler")
def test_compiled_and_not_compiled_are_compared(measured, monkeypatch):
    monkeypatch.setattr(_layout, "compiling_pays", lambda *_, **__: True)
    train(SOME[:1])
    assert {layout.is_compiled for layout in measured} == {True, False}


def test_memory_that_runs_out_while_measuring_is_no_failure(long_runs, monkeypatch):
    real = _layout._Measured._seconds_of

    def seconds_of(self, grid, program, tries):
        if grid.num_trials > 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        return real(self, grid, program, tries)

    monkeypatch.setattr(_layout._Measured, "_seconds_of", seconds_of)
    monkeypatch.setattr(_layout, "width_limit", lambda *_: 1)
    assert {str(curve["trained_as"]) for curve in train(SOME).values()} == {"1 seeds x 1 configs, eager"}


BAD_LAYOUTS = [
    *("{", "[]", '{"a": {"width": 1}}', '{"a": 3}', '{"a": {"width": "x"}}', "[" * 100_000, "\0"),
    *(
        f'{{"a": {{"width": {n}, "is_compiled": false}}}}'
        for n in ("Infinity", "1e999", 10**400, 10**9, 0, -1)
    ),
    '{"a": {"width": 1, "is_compiled": 0}}',
]


@pytest.mark.parametrize("text", BAD_LAYOUTS)
def test_a_file_that_cannot_be_read_is_told_and_written_anew(text, long_runs):
    layouts_file().parent.mkdir(parents=True)
    layouts_file().write_text(text)
    with pytest.warns(RuntimeWarning, match="measured before cannot be read .* and are measured again"):
        train(SOME)
    assert len(json.loads(layouts_file().read_text())) == 1


def test_no_home_costs_no_curve(long_runs, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(_layouts_file, "cache_dir", partial(_raise, RuntimeError("no home directory")))
    with pytest.warns(RuntimeWarning, match="no home directory"):
        assert len(train(SOME)) == len(SOME)


def _raise(error):
    raise error


def test_layouts_of_uncompiled_runs_are_not_those_of_compiled_ones(long_runs, monkeypatch):
    train(SOME)
    monkeypatch.setattr(_layout, "compiling_pays", lambda *_, **__: True)
    monkeypatch.setattr("optsuite.trainer._functions.Compiled", lambda fn, *_, **__: fn)
    train(SOME)
    assert len(json.loads(layouts_file().read_text())) == 2


def test_what_no_longer_steps_is_not_measured(long_runs, tmp_path, monkeypatch):
    (tmp_path / "own.py").write_text(
        "import torch\nclass Broken(torch.optim.Optimizer):\n"
        "    def __init__(self, params, lr): super().__init__(params, {'lr': lr})\n"
        "    def step(self): raise ArithmeticError('not today')\n"
    )
    monkeypatch.chdir(tmp_path)
    trials = trials_of([Config("x", "own.py:Broken", {"lr": 0.1})], schedule=Schedule(3))
    (outcome,) = run(trials)
    assert "not today" in str(outcome.result)
    assert not layouts_file().exists()


def test_a_folder_that_cannot_be_written_costs_no_curve(long_runs, tmp_path):
    (tmp_path / "optsuite" / "layouts.json").mkdir(parents=True)  # in the way
    with (
        pytest.warns(RuntimeWarning, match="cannot be read"),
        pytest.warns(RuntimeWarning, match="a measured layout cannot be kept"),
    ):
        assert len(train(SOME)) == len(SOME)


def test_a_broken_task_fails_in_its_own_words(long_runs):
    def broken(*_):
        raise ZeroDivisionError("of the task")

    task = replace(TINY, loss_fn=broken)
    outcomes = list(run(SOME, task))
    assert [str(outcome.result) for outcome in outcomes] == ["of the task"] * len(SOME)


def test_many_that_keep_at_once_lose_nothing(cache):
    names = [f"task {number}" for number in range(20)]
    thread_map(lambda name: _layouts_file.keep_layout(name, Layout(len(name), is_compiled=False)), names)
    assert sorted(_layouts_file.read_layouts()) == sorted(names)
