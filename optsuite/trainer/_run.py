"""Runs groups of trials of one task: trains each, and goes on in another way where one fails."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias

import torch

from optsuite import data
from optsuite.curves import Curve
from optsuite.errors import StoppedError, StorageError
from optsuite.hparam_sets import Config, Schedule, Trial
from optsuite.tasks import Task, get_task, is_own
from optsuite.trainer._checkpoints import Checkpoints
from optsuite.trainer._dump import Arrays
from optsuite.trainer._grid import Grid, How, group_by_spec
from optsuite.trainer._group import Group, Keeper, Unkept, checked, make_groups
from optsuite.trainer._loop import GridRun
from optsuite.trainer._memory import free_bytes, is_out_of_memory, trial_bytes
from optsuite.trainer._network import examine
from optsuite.trainer._outcome import Outcome, outcomes
from optsuite.trainer._plan import Part, Plan
from optsuite.trainer._programs import Programs
from optsuite.trainer._reproducible import reproducible
from optsuite.trainer._state import Record, RunState
from optsuite.trainer._ways import OWN_NUMBERS, check_honoured, slower, too_large, way_on

Tell: TypeAlias = Callable[[int], None]
"""A function that is told now and then how many more trial-steps are done."""

# Whether to stop is asked at least once in so many seconds, as far as steps are shorter.
_ASK_SECONDS = 5.0


class _UnfitError(Exception):
    """A state from which a run cannot go on; its cause says why."""


def train(
    task: Task | str,
    config: Config,
    schedule: Schedule,
    seed: int = 0,
    *,
    precision: str = "float32",
    mode: str | None = None,
    device: torch.device | str | None = None,
) -> Curve:
    """Train one trial; see `Trial` and `train_many`.

    >>> from optsuite import Config, Schedule
    >>> config = Config("Adam_lr0.001", "Adam", {"lr": 1e-3})
    >>> curve = train("ImageMLP_FashionMnist8_Relu32", config, Schedule(20), mode="synthetic")
    >>> curve["train/loss"].shape
    (21,)
    """
    task = get_task(task) if isinstance(task, str) else task
    trial = Trial(task.name, config, schedule, seed, precision)
    (curve,) = train_many(task, [trial], mode=mode, device=device)
    return curve


def train_many(
    task: Task | str,
    trials: Sequence[Trial],
    *,
    mode: str | None = None,
    device: torch.device | str | None = None,
) -> list[Curve]:
    """Train trials of one task, as many at once as pays and fits.

    Args:
        task: The task, or its name.
        trials: All of this task; they may differ in config, schedule and seed.
        mode: Data: auto, real or synthetic; None reads `OPTSUITE_DATA`.
        device: Where to train; None takes CUDA if there is one.

    Returns:
        One curve a trial, in the order given. A trial that diverged has NaN from there on.

    Raises:
        DataError: The data are missing or damaged.
        OutOfMemoryError: One trial alone needs more memory than there is.
    """
    task = get_task(task) if isinstance(task, str) else task
    groups = make_groups(task, trials, mode=mode, device=device)
    curves = {}
    for outcome in run(task, ((group, Unkept()) for group in groups), mode=mode, device=device):
        if isinstance(outcome.result, Exception):
            raise outcome.result
        curves[outcome.trial] = outcome.result
    return [curves[trial] for trial in trials]


def run_of_one(task: Task, trial: Trial, *, source: data.Source, device: torch.device) -> GridRun:
    """Make the training of one trial, uncompiled, for callers that keep its state themselves.

    What is done with it must be done within `reproducible`.

    Args:
        task: The task.
        trial: A trial of it.
        source: Real data or the stand-in.
        device: Where to train.
    """
    ((spec, _),) = group_by_spec([trial])
    programs = Programs(task, spec, device, How(is_compiled=False))
    return GridRun(programs, Grid((trial.seed,), (trial.config,)), source)


def run(
    task: Task,
    groups: Iterable[tuple[Group, Keeper]],
    *,
    mode: str | None = None,
    device: torch.device | str | None = None,
    tell: Tell = lambda _: None,
) -> Iterator[Outcome]:
    """Train groups of trials and give each outcome as soon as its part ends; failures do not stop the others.

    The curves of a group are a function of the group alone on the same machine, bit for bit: neither the
    groups before it matter, nor where it was stopped and resumed. A resumed group gives no outcomes of trials
    that had ended before and are recorded.

    Args:
        task: The task.
        groups: From `make_groups`, each with the keeper of its state. A group is asked for when the last one
            has ended; those that share a program are best given in a row.
        mode: As for `train_many`.
        device: As for `train_many`.
        tell: Called now and then with the number of trial-steps done since the last call, those of a state
            that is loaded included.

    Raises:
        DataError: The data are missing or damaged.
        HParamError: An optimizer class does not fit the task's parameters.
        StoppedError: A keeper asked to stop; its group's state was saved if it could be.
        StorageError: A state that was saved cannot be reached.
        UnsupportedError: The device does not have the precision that is asked for.
    """
    programs: Programs | None = None
    told: set[str] = set()

    def warn(words: str) -> None:
        if words not in told:
            told.add(words)
            warnings.warn(words, RuntimeWarning, stacklevel=2)

    for group, keeper in groups:
        where, source = checked(task, group.trials, mode, device)
        whole, spec, how = group.grid, group.spec, How(group.layout.is_compiled)
        if programs is None or (programs.spec, programs.device) != (spec, where):
            programs = Programs(task, spec, where, how)
        programs = programs.run_as(how)
        checkpoints = Checkpoints(keeper, group, programs, source, warn)
        yield from _run_group(programs, whole, checkpoints, source, tell, warn)


def _run_group(
    programs: Programs,
    whole: Grid,
    checkpoints: Checkpoints,
    source: data.Source,
    tell: Tell,
    warn: Callable[[str], None],
) -> Iterator[Outcome]:
    """Train the trials of a group, part by part, in other ways where that of the layout fails."""
    try:
        programs = _first_way(programs, whole, source)
    except Exception as error:  # noqa: BLE001 - a task of the user's may raise anything as it is counted
        yield from outcomes(programs, whole, error, source)
        return
    anew = Plan((Part(programs.how, whole),))
    plan, arrays = checkpoints.load() or (anew, {})
    tell(sum(part.grid.num_trials for part in plan.ended) * (programs.spec.schedule.num_steps + 1))
    while plan.pending:
        plan = plan.split()
        how, grid, _ = plan.pending[0]
        # What another seed has started may not fit the state.
        programs = programs.afresh(how) if arrays else programs.run_as(how)
        was_fresh = programs.are_fresh
        result: Record | Exception | None = None
        try:
            result = _train(programs, plan, arrays, checkpoints, source, tell)
        except StoppedError:
            raise
        except _UnfitError as error:
            checkpoints.set_aside(error)
            plan = anew
        except Exception as error:  # noqa: BLE001 - whatever went wrong is these trials' outcome
            on = way_on(error, programs, grid, was_fresh=was_fresh)
            if on.warning:
                warn(on.warning)
            if on.grids:
                plan = plan.go_on(on.programs.how, on.grids)
            else:
                result = too_large(programs) if is_out_of_memory(error) else error
        arrays = {}
        if result is None:
            continue
        if isinstance(result, Record) and whole.num_trials > 1 and (words := slower(programs)):
            warn(words)  # had it failed so too, that were the outcome
        yield from outcomes(programs, grid, result, source)
        plan = plan.end()
        if plan.pending:
            checkpoints.look(plan)


def _first_way(programs: Programs, whole: Grid, source: data.Source) -> Programs:
    """Check that trials can be trained, and choose the way to begin with."""
    check_honoured(programs.task, programs.spec.precision)
    if trial_bytes(programs.task) > free_bytes(programs.device):
        # Asked for so much memory, the system may end this process instead of refusing.
        raise too_large(programs)
    if is_own(programs.task) and examine(programs.task, whole.seeds[0], source):
        return programs.run_as(OWN_NUMBERS)
    return programs


def _train(
    programs: Programs, plan: Plan, arrays: Arrays, checkpoints: Checkpoints, source: data.Source, tell: Tell
) -> Record:
    """Train the first pending part, from its state if there is one."""
    device, is_cuda, grid = programs.device, programs.device.type == "cuda", plan.pending[0].grid
    if is_cuda:
        torch.cuda.reset_peak_memory_stats(device)
    with reproducible(device, programs.spec.precision):
        run = GridRun(programs, grid, source)
        state = _loaded(run, arrays) if arrays else run.begin()
        tell(state.step * grid.num_trials)
        record = _trained(
            run, state, lambda state: checkpoints.look(plan, run, state), lambda n: tell(n * grid.num_trials)
        )
    peak = torch.cuda.max_memory_allocated(device) if is_cuda else -1
    return record._replace(peak_memory_bytes=peak)


def _loaded(run: GridRun, arrays: Arrays) -> RunState:
    try:
        return run.load(arrays)
    except StorageError as error:
        raise _UnfitError(str(error)) from error


def _trained(run: GridRun, state: RunState, look: Callable[[RunState], None], tell: Tell) -> Record:
    """Train to the end, and look up from it every few seconds."""
    count = 1
    while not run.is_over(state):
        look(state)
        began, start = time.monotonic(), state.step
        state = run.advance(state, start + count)
        pace = (time.monotonic() - began) / (state.step - start)
        count = max(1, int(_ASK_SECONDS / max(pace, 1e-9)))
        tell(state.step - start)
    return run.finish(state)
