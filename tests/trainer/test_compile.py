"""Compiling changes the speed of a run, and its absence nothing else."""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple
from unittest.mock import patch

import pytest
import torch
from checkpoints import written
from torch.utils._pytree import tree_leaves

from optsuite import register_optimizer
from optsuite.errors import UnsupportedError
from optsuite.hparam_sets import Config, Schedule
from optsuite.optimizers import OPTIMIZERS, Optimizer, _checkpoints
from optsuite.tasks import get_task
from optsuite.trainer import _compile, _functions, _program, group_by_spec, split_into_grids
from optsuite.trainer._batches import Batches
from optsuite.trainer._compile import Compiled
from optsuite.trainer._grid import How
from optsuite.trainer._programs import Programs

from .runs import RECURRENT, TINY, adam, assert_close, assert_identical, train, trials_of

CPU = torch.device("cpu")


@pytest.fixture
def compile_everything(monkeypatch):
    """However short the run; what is known of this machine's compiler is forgotten before and after."""
    for name in ("_MIN_CALLS", "_MIN_CALLS_OF_FEW", "_MIN_SINGLE_CALLS"):
        monkeypatch.setattr(_compile, name, 0)
    _compile.can_compile.cache_clear()
    yield
    _compile.can_compile.cache_clear()


@pytest.fixture
def two_threads():
    """Sums that two threads add up in whatever order show only here."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def no_compiler(monkeypatch, compile_everything):
    def broken(*_, **__):
        raise RuntimeError("InvalidCxxCompiler: No working C++ compiler found\nand a long trace")

    monkeypatch.setattr(_compile, "_lowered", broken)


@pytest.mark.usefixtures("no_compiler")
def test_a_missing_compiler_is_said_once():
    with pytest.warns(
        RuntimeWarning, match=r"torch cannot compile here \(RuntimeError: InvalidCxx[^\n]*\): training"
    ):
        assert not _compile.can_compile("cpu")
    assert not _compile.can_compile("cpu")  # warnings are errors


def test_without_a_compiler_training_runs_eagerly(request):
    trials = trials_of([adam(1e-3), adam(1e-2)], schedule=Schedule(5))
    expected = train(trials)
    request.getfixturevalue("no_compiler")
    with pytest.warns(RuntimeWarning, match="training runs uncompiled, which is slower"):
        curves = train(trials)
    for trial in trials:
        assert curves[trial]["trained_as"] == "1 seeds x 2 configs, eager"
        assert_identical(curves[trial], expected[trial])


def test_short_runs_are_not_compiled(monkeypatch):
    monkeypatch.setattr(_compile, "can_compile", lambda _: True)
    pays = partial(_compile.compiling_pays, TINY, device=CPU)
    assert not pays(100, is_single=False)
    assert pays(201, is_single=False)
    assert not pays(1_000, is_single=True)
    assert pays(10_000, is_single=True)


def test_tasks_that_train_another_one_are_not_compiled(monkeypatch):
    monkeypatch.setattr(_compile, "can_compile", lambda _: True)
    of_most, of_fewest = "VIT_Cifar100_skinnydeep", "LOptPES_Adafac_Fashion_OuterBS4_Length50_Trunc5"
    for name, pays in {of_most: True, of_fewest: False}.items():
        assert _compile.compiling_pays(get_task(name), 10_000, CPU, is_single=False) == pays


def test_the_compiler_is_not_tried_for_nothing(monkeypatch):
    def never(_):
        raise AssertionError("tried")

    monkeypatch.setattr(_compile, "can_compile", never)
    assert not _compile.compiling_pays(TINY, 1, CPU, is_single=False)


@pytest.mark.slow
@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(
    ("task", "configs"),
    [(TINY, [adam(1e-3), adam(3e-3)]), (RECURRENT, [adam(1e-3)]), (RECURRENT, [adam(1e-3), adam(3e-3)])],
    ids=["images-two", "text-one", "text-two"],
)
def test_a_compiled_run_agrees_with_an_eager_one(task, configs, request):
    trials = trials_of(configs, schedule=Schedule(60, eval_every=20), task=task)
    eager = train(trials, task)
    request.getfixturevalue("compile_everything")
    if not _compile.can_compile("cpu"):
        pytest.skip("no C++ compiler here")
    compiled, again = train(trials, task), train(trials, task)
    for trial in trials:
        assert str(compiled[trial]["trained_as"]).endswith("compiled")
        assert_close(compiled[trial], eager[trial])
        assert_identical(again[trial], compiled[trial])


@pytest.fixture
def uncompiled(monkeypatch):
    """Steps as they would be compiled, run as they stand, which takes no time to compile."""
    for name in ("_MIN_CALLS", "_MIN_CALLS_OF_FEW"):
        monkeypatch.setattr(_compile, name, 0)
    monkeypatch.setattr(_compile, "can_compile", lambda _: True)
    for module in (_functions, _program):
        monkeypatch.setattr(module, "Compiled", lambda fn, *_, **__: fn)


class _Memory(NamedTuple):
    params: dict[str, torch.Tensor]
    a: torch.Tensor
    b: torch.Tensor


def _forgetful(lr):
    """Steps away from where it was a step before, at two rates in turn: what it remembers changes places."""

    def init(params, *, num_steps=None):
        del num_steps
        one = torch.ones_like(next(iter(params.values())).sum())
        return _Memory(params, one, one / 2)

    def update(grads, state, params, *, loss=None):
        del loss
        updates = {
            name: -lr * state.a * grad + 0.01 * (state.params[name] - params[name])
            for name, grad in grads.items()
        }
        return updates, _Memory(params, state.b, state.a)

    return Optimizer(init, update)


@pytest.mark.usefixtures("uncompiled")
def test_nothing_is_written_over_that_an_optimizer_of_the_users_may_hand_on(request):
    with patch.dict(OPTIMIZERS):
        register_optimizer("Forgetful", _forgetful)
        configs = [Config(f"Forgetful_lr{lr}", "Forgetful", {"lr": lr}) for lr in (0.1, 0.3)]
        trials = trials_of(configs, schedule=Schedule(6, eval_every=3))
        compiled = train(trials)
        with patch.multiple(_compile, _MIN_CALLS=1000, _MIN_CALLS_OF_FEW=1000):
            eager = train(trials)
    for trial in trials:
        assert str(eager[trial]["trained_as"]).endswith("eager")
        assert str(compiled[trial]["trained_as"]).endswith("compiled")
        assert_close(compiled[trial], eager[trial])


def _steps_by(factor, init=tuple):
    """Make a factory of gradient descent whose steps are scaled by a function of the state."""

    def factory(lr):
        def update(grads, state, params, *, loss=None):
            del params, loss
            scale, state = factor(state)
            return {name: -lr * scale * grad for name, grad in grads.items()}, state

        return Optimizer(lambda params, *, num_steps=None: init(), update)

    return factory


def _counted(make_number):
    count = itertools.count(1)
    return lambda state: (make_number(0.5 ** next(count)), state)


def _remembered():
    box = [torch.tensor(1.0)]

    def factor(state):
        box[0] = box[0] * 0.5
        return box[0], state

    return factor


@contextmanager
def _trials_of_own(factory, num_steps=6):
    with patch.dict(OPTIMIZERS):
        register_optimizer("Own", factory)
        configs = [Config(f"Own_lr{lr}", "Own", {"lr": lr}) for lr in (0.1, 0.3)]
        yield trials_of(configs, schedule=Schedule(num_steps, eval_every=3))


@pytest.mark.usefixtures("compile_everything")
@pytest.mark.parametrize(
    "make_factor",
    [lambda: _counted(float), lambda: _counted(torch.tensor), _remembered],
    ids=["number", "tensor", "kept tensor"],
)
def test_an_update_that_remembers_by_itself_is_refused(make_factor):
    with (
        _trials_of_own(_steps_by(make_factor())) as trials,
        pytest.raises(
            UnsupportedError, match="the update of `Own` computes something else when it is called"
        ),
    ):
        train(trials)


def _in_turn(state):
    """Name the parts of the state in another order."""
    return state["m"], {"s": state["s"] * 0.9, "m": state["m"] * 0.5}


def _in_phases(state):
    """Rename the only part of the state after each step."""
    if "warm" in state:
        return state["warm"] * 0.1, {"main": state["warm"]}
    return state["main"], {"warm": state["main"]}


@pytest.mark.slow
@pytest.mark.usefixtures("compile_everything")
@pytest.mark.parametrize(
    ("factor", "names"), [(_in_turn, "ms"), (_in_phases, ["warm"])], ids=["order", "names"]
)
def test_a_state_of_another_form_is_not_taken_for_the_first(factor, names):
    factory = _steps_by(factor, lambda: {name: torch.tensor(1.0) for name in names})
    with _trials_of_own(factory) as trials:
        compiled = train(trials)
        with patch.multiple(_compile, _MIN_CALLS=1000, _MIN_CALLS_OF_FEW=1000):
            eager = train(trials)
    for trial in trials:
        assert str(compiled[trial]["trained_as"]).endswith("compiled")
        assert_close(compiled[trial], eager[trial])


@pytest.mark.slow
@pytest.mark.parametrize("lift", [lambda fn: fn, torch.vmap], ids=["alone", "lifted"])
def test_numbers_from_parts_of_others_are_those(lift):
    fn = lift(lambda h, b: (h * 2)[..., 1, None] * b + (1 - h).unbind(-1)[2][..., None] * b)
    h, b = torch.randn(3, 4), torch.randn(3, 1000)
    torch.testing.assert_close(Compiled(fn, "it", is_known=True)(h, b), fn(h, b))


@pytest.mark.slow
@pytest.mark.usefixtures("compile_everything")
@pytest.mark.parametrize(
    ("kind", "how"),
    [("MLPLOpt", ""), ("AdafacMLPLOpt", "GradAccum"), ("LearnableAdam", "GraftedShampoo")],
)
def test_learned_optimizers_compile_to_what_they_do_uncompiled(kind, how, tmp_path):
    """Their parameters are read once, and what is written over is none of them."""
    theta = written(tmp_path / "a.safetensors", kind)
    amounts = [{"num_average": n} for n in (1, 2)] if how == "GradAccum" else [{}]
    configs = [Config(f"a{n}", f"{kind}{how}", {"theta": theta, **more}) for n, more in enumerate(amounts)]
    trials = trials_of(configs, seeds=(0, 1), schedule=Schedule(8, eval_every=4))
    with patch.object(_checkpoints, "load", wraps=_checkpoints.load) as load:
        compiled = train(trials)
    assert load.call_count < 8
    with patch.multiple(_compile, _MIN_CALLS=1000, _MIN_CALLS_OF_FEW=1000):
        eager = train(trials)
    for trial in trials:
        assert str(compiled[trial]["trained_as"]).endswith("compiled")
        assert str(eager[trial]["trained_as"]).endswith("eager")
        assert_close(compiled[trial], eager[trial])


@torch.no_grad()
@pytest.mark.usefixtures("uncompiled")
def test_a_compiled_step_writes_over_what_it_is_given():
    ((spec, trials),) = group_by_spec(trials_of([adam(1e-3), adam(1e-2)]))
    (grid,) = split_into_grids(trials, 2)
    outcomes = {}
    for is_compiled in (False, True):
        program = Programs(TINY, spec, CPU, How(is_compiled))(grid.shape)
        given = program.start(grid)
        batch, key = next(Batches(program, grid, "train", "train", "synthetic").block(0, 1))
        stepped, _ = program.step(given, program.hparams(grid), batch, key)
        outcomes[is_compiled] = tree_leaves(given), tree_leaves(stepped)
    (before, expected), (given, stepped) = outcomes[False], outcomes[True]
    for old, one, leaf, new in zip(before, expected, given, stepped, strict=True):
        assert torch.equal(new, one)
        assert not torch.equal(new, old)
        assert new.data_ptr() == leaf.data_ptr()
