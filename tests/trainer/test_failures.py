"""A failure is the outcome of the trials concerned, and says what to do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from optsuite import trainer
from optsuite.curves import Curve
from optsuite.errors import DataError, OptsuiteError, OutOfMemoryError, UnknownNameError
from optsuite.hparam_sets import Schedule
from optsuite.tasks import get_task
from optsuite.trainer import _memory, _run
from optsuite.trainer._memory import batches_at_once, is_out_of_memory, trial_bytes, width_limit

from .runs import KINDS, TINY, adam, assert_close, run, sgd, train, trials_of

SCHEDULE = Schedule(3, eval_batches=0)
OUT_OF_MEMORY = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")


@pytest.fixture
def break_grids(monkeypatch):
    """Make runs raise where a predicate of (program, grid) gives an error; lists the tries."""
    real = _run.GridRun

    def apply(error_of):
        tries = []

        def fake(program_of, grid, source):
            tries.append(grid.num_trials)
            if error := error_of(program_of(grid.shape), grid):
                raise error
            return real(program_of, grid, source)

        monkeypatch.setattr(_run, "GridRun", fake)
        return tries

    return apply


def halved():
    return pytest.warns(
        RuntimeWarning, match=f"trials of `{TINY.name}` do not fit side by side; half of them"
    )


@pytest.mark.parametrize("fits", [1, 4, 15, 29])
def test_what_does_not_fit_is_halved_until_it_does(fits, break_grids):
    trials = trials_of([adam(1e-3 * n) for n in range(1, 16)], seeds=[0, 1], schedule=SCHEDULE)
    expected = train(trials)
    tries = break_grids(lambda _, grid: OUT_OF_MEMORY if grid.num_trials > fits else None)
    with halved():
        curves = train(trials)
    assert list(curves) == trials
    for trial in trials:
        assert_close(curves[trial], expected[trial])
    assert tries[:2] == [30, 15]
    assert sum(n for n in tries if n <= fits) == 30
    assert all(fits == 1 or n > fits / 3 for n in tries)


@pytest.mark.parametrize(
    "error",
    [
        OUT_OF_MEMORY,
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory"),
    ],
    ids=["cuda", "python", "cpu"],
)
def test_a_trial_that_does_not_fit_alone_is_an_error_with_its_size(error, break_grids):
    assert is_out_of_memory(error)
    break_grids(lambda *_: error)
    with halved():
        outcomes = list(run(trials_of([adam(1e-3)], seeds=[0, 1], schedule=SCHEDULE)))
    assert len(outcomes) == 2
    for outcome in outcomes:
        assert isinstance(outcome.result, OutOfMemoryError)
        message = str(outcome.result)
        assert message.startswith(
            f"one trial of `{TINY.name}` alone does not fit: it needs about 0.0 GiB, cpu"
        )
        assert message.endswith("GiB free; train it on a larger device")
    with pytest.raises(OutOfMemoryError, match="alone does not fit"):
        train([outcomes[0].trial])


def test_other_errors_are_not_for_want_of_memory():
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not is_out_of_memory(ValueError("out of memory"))


def test_an_error_in_one_grid_is_that_grids_outcome(break_grids):
    mistake = ValueError("no such luck")
    break_grids(lambda program, _: mistake if program.spec.optimizer == "SGD" else None)
    trials = trials_of([adam(1e-3), sgd(0.1), sgd(0.2), adam(1e-2)], seeds=[0, 1], schedule=SCHEDULE)
    outcomes = {outcome.trial: outcome.result for outcome in run(trials)}
    assert outcomes.keys() == set(trials)
    for trial, result in outcomes.items():
        if trial.config.optimizer == "SGD":
            assert result is mistake
        else:
            assert isinstance(result, Curve)
    with pytest.raises(ValueError, match="no such luck"):
        train(trials)


def test_ctrl_c_is_nobodys_outcome(break_grids):
    break_grids(lambda *_: KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        train(trials_of([adam(1e-3)], schedule=SCHEDULE))


def test_missing_data_is_an_error_before_anything_trains(break_grids):
    tries = break_grids(lambda *_: None)
    conv = KINDS["conv"]
    with pytest.raises(DataError, match=r"CIFAR-10 not found in .* run `optsuite data fetch cifar10`"):
        trainer.train(conv, adam(1e-3), SCHEDULE, mode="real", device="cpu")
    assert tries == []


def test_unknown_mode_names_the_modes():
    with pytest.raises(UnknownNameError, match="unknown data source `reel`: did you mean real"):
        trainer.train(TINY, adam(1e-3), SCHEDULE, mode="reel", device="cpu")


def test_unknown_task_names_the_nearest():
    with pytest.raises(UnknownNameError, match=f"did you mean {TINY.name}"):
        trainer.train(TINY.name.lower(), adam(1e-3), SCHEDULE, mode="synthetic", device="cpu")


@pytest.mark.parametrize("device", ["nosuch", "cpu:x", "cuda:99"])
def test_unknown_device_is_an_error_that_names_it(device):
    with pytest.raises(
        OptsuiteError, match=rf"cannot train on device `{device}` \(.*pass cpu, cuda or cuda:N"
    ):
        trainer.train(TINY, adam(1e-3), SCHEDULE, mode="synthetic", device=device)


def test_the_device_defaults_to_what_is_there():
    assert trainer.resolve_device("cpu") == torch.device("cpu")
    assert trainer.resolve_device(None).type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_width_is_bounded_by_memory_and_at_least_one(monkeypatch):
    cpu, huge = torch.device("cpu"), get_task("ImageMLP_Cifar10_16384x16384_Relu")
    assert trial_bytes(huge) >= 8 * 4 * huge.num_params
    assert width_limit(huge, cpu) == 1
    assert width_limit(TINY, cpu) > 100
    monkeypatch.setattr("optsuite.trainer._memory.free_bytes", lambda _: 21 * trial_bytes(TINY))
    assert width_limit(TINY, cpu) == 10
    monkeypatch.setattr("optsuite.trainer._memory.free_bytes", lambda _: 0)
    assert width_limit(TINY, cpu) == 1


@pytest.mark.parametrize(
    ("eval_batches", "last_eval_batches", "room", "expected"),
    [
        (5, 10, 100, 5),
        (5, 10, 4, 1),
        (6, 10, 100, 2),
        (4, 8, 3, 2),
        (5, 7, 100, 1),
        (3, 3, 0, 1),
        (0, 1, 9, 1),
    ],
)
def test_passes_of_an_evaluation_are_alike_and_fit(
    eval_batches, last_eval_batches, room, expected, monkeypatch
):
    task, cpu = get_task("Conv_Cifar10_8_16x32"), torch.device("cpu")
    monkeypatch.setattr(_memory, "_CACHE_BYTES", room * task.activation_bytes)
    schedule = Schedule(10, eval_batches=eval_batches, last_eval_batches=last_eval_batches)
    assert batches_at_once(task, schedule, cpu) == expected


def test_a_metric_that_cannot_be_lifted_is_taken_batch_by_batch():
    def metric(outputs, batch):
        return outputs.new_tensor(float(outputs.mean()))

    task = replace(KINDS["conv"], metric_fns={"odd": metric})
    schedule = Schedule(2, eval_every=1, eval_batches=2, last_eval_batches=2)
    trials = trials_of([adam(1e-3)], schedule=schedule, task=task)
    (curve,) = train(trials, task).values()
    assert np.isfinite(curve["eval/train/odd"]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_how_many_batches_are_evaluated_at_once_changes_nothing(kind, monkeypatch):
    task = KINDS[kind]
    schedule = Schedule(4, eval_every=2, eval_batches=3, last_eval_batches=6)
    trials = trials_of([adam(1e-3)], schedule=schedule, task=task)
    at_once = train(trials, task)
    monkeypatch.setattr(_memory, "_CACHE_BYTES", 0)
    one_by_one = train(trials, task)
    assert_close(at_once[trials[0]], one_by_one[trials[0]])


def test_what_fails_compiled_is_trained_uncompiled(monkeypatch, break_grids):
    monkeypatch.setattr("optsuite.trainer._layout.compiling_pays", lambda *_, **__: True)
    monkeypatch.setattr("optsuite.trainer._functions.Compiled", lambda fn, *_, **__: fn)
    break_grids(lambda program, _: RuntimeError("no such kernel") if program.how.is_compiled else None)
    with pytest.warns(RuntimeWarning, match="failed compiled .RuntimeError: no such kernel."):
        (curve,) = train(trials_of([adam(1e-3)], schedule=SCHEDULE)).values()
    assert str(curve["trained_as"]).endswith("eager")
    assert np.isfinite(curve["train/loss"]).all()


def test_memory_that_ran_out_below_another_error_is_seen():
    with pytest.raises(RuntimeError) as caught:
        raise RuntimeError("the compiled program failed") from OUT_OF_MEMORY
    assert is_out_of_memory(caught.value)
    assert not is_out_of_memory(RuntimeError("something else"))


def test_a_trial_larger_than_the_memory_is_not_tried(monkeypatch, break_grids):
    monkeypatch.setattr("optsuite.trainer._run.free_bytes", lambda _: trial_bytes(TINY) - 1)
    tries = break_grids(lambda *_: None)
    with pytest.raises(OutOfMemoryError, match="alone does not fit"):
        train(trials_of([adam(1e-3)], schedule=SCHEDULE))
    assert not tries
