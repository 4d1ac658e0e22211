"""Runs trials of one task: shares them out to grids, trains these, and goes on where one fails."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import torch

from optsuite import data
from optsuite.curves import Curve
from optsuite.errors import OptsuiteError, OutOfMemoryError, UnsupportedError, in_words
from optsuite.hparam_sets import Config, Schedule, Trial
from optsuite.tasks import Task, get_task, is_own
from optsuite.trainer._adapter import check_fit
from optsuite.trainer._grid import Grid, How, Lifting, group_by_spec, split_into_grids
from optsuite.trainer._layout import choose_layout
from optsuite.trainer._layouts_file import Layout
from optsuite.trainer._lift_mode import CannotLiftError
from optsuite.trainer._loop import GridRun, train_grid
from optsuite.trainer._memory import free_bytes, is_out_of_memory, trial_bytes
from optsuite.trainer._network import NetworksDifferError, examine
from optsuite.trainer._outcome import Outcome, outcomes
from optsuite.trainer._program import DrewError
from optsuite.trainer._programs import Programs
from optsuite.trainer._reproducible import check_precision, reproducible, resolve_device
from optsuite.trainer._state import Record

Tell: TypeAlias = Callable[[int], None]
"""A function that is told now and then how many more trial-steps are done."""

_OWN_NUMBERS = How(
    is_compiled=False,
    is_one_by_one=True,
    alone_because="they draw from a generator that they would share; `noise` draws by the key",
    owns_numbers=True,
)


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
    layouts = choose_layouts(task, trials, mode=mode, device=device)
    curves = {}
    for outcome in run(task, trials, layouts=layouts, mode=mode, device=device):
        if isinstance(outcome.result, Exception):
            raise outcome.result
        curves[outcome.trial] = outcome.result
    return [curves[trial] for trial in trials]


def choose_layouts(
    task: Task, trials: Sequence[Trial], *, mode: str | None = None, device: torch.device | str | None = None
) -> tuple[Layout, ...]:
    """Choose how `run` is to lay out trials; where the run is long enough, what is fast is measured.

    Args:
        task: The task.
        trials: As for `run`.
        mode: As for `run`.
        device: As for `run`.

    Returns:
        A layout for each group of trials that share a program; plain data, of use wherever `run` is given the
        same trials on such a device.

    Raises:
        DataError: The data are missing or damaged.
        HParamError: An optimizer class does not fit the task's parameters.
        UnsupportedError: The device does not have the precision that is asked for.
    """
    where, source = _checked(task, trials, mode, device)
    layouts = []
    for spec, members in group_by_spec(trials):
        try:
            with reproducible(where, spec.precision):
                layouts.append(_layout_of(Programs(task, spec, where, How(False)), members, source))
        except Exception:  # noqa: BLE001 - a task of the user's may raise anything, and will again as it runs
            layouts.append(Layout(len(members), is_compiled=False))
    return tuple(layouts)


def _layout_of(programs: Programs, trials: Sequence[Trial], source: data.Source) -> Layout:
    try:
        return choose_layout(programs, trials, source)
    except CannotLiftError as error:
        return _layout_of(programs.run_as(_less_lifted(programs.how, error)), trials, source)


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
    trials: Sequence[Trial],
    *,
    layouts: Sequence[Layout],
    mode: str | None = None,
    device: torch.device | str | None = None,
    tell: Tell = lambda _: None,
) -> Iterator[Outcome]:
    """Train trials and give each outcome as soon as its grid ends; failures do not stop the others.

    With the same layouts, a rerun on the same machine gives the same curves, bit for bit.

    Args:
        task: The task.
        trials: As for `train_many`.
        layouts: From `choose_layouts` for these trials.
        mode: As for `train_many`.
        device: As for `train_many`.
        tell: Called now and then with the number of trial-steps done since the last call.

    Raises:
        DataError: The data are missing or damaged.
        HParamError: An optimizer class does not fit the task's parameters.
        UnsupportedError: The device does not have the precision that is asked for.
    """
    where, source = _checked(task, trials, mode, device)
    groups = list(group_by_spec(trials))
    if len(layouts) != len(groups):
        raise OptsuiteError(
            f"{len(groups)} layouts needed, got {len(layouts)}: pass what `choose_layouts` gives for them"
        )
    for (spec, members), layout in zip(groups, layouts, strict=True):
        programs = Programs(task, spec, where, How(layout.is_compiled))
        for grid, result in _run_group(programs, members, layout.width, source, tell):
            yield from outcomes(programs, grid, result, source)


def _checked(
    task: Task, trials: Sequence[Trial], mode: str | None, device: torch.device | str | None
) -> tuple[torch.device, data.Source]:
    """Find the device and the data source, and check that the trials can be trained there."""
    if strangers := {trial.task_name for trial in trials} - {task.name}:
        raise OptsuiteError(f"trials of `{task.name}` needed, got trials of {sorted(strangers)}")
    for config in {trial.config.optimizer: trial.config for trial in trials}.values():
        check_fit(task, config)
    where = resolve_device(device)
    for precision in {trial.precision for trial in trials}:
        check_precision(precision, where)
    return where, data.resolve_source(task.dataset.dataset, mode)


def _run_group(
    programs: Programs, trials: Sequence[Trial], width: int, source: data.Source, tell: Tell
) -> Iterator[tuple[Grid, Record | Exception]]:
    """Train the trials of a group, grid by grid, in other ways where that of the layout fails."""
    pending, is_told = split_into_grids(trials, width), len(trials) == 1
    try:
        _check_honoured(programs.task, programs.spec.precision)
        if trial_bytes(programs.task) > free_bytes(programs.device):
            # Asked for so much memory, the system may end this process instead of refusing.
            raise _too_large(programs)
        if is_own(programs.task) and examine(programs.task, trials[0].seed, source):
            programs = programs.run_as(_OWN_NUMBERS)
    except Exception as error:  # noqa: BLE001 - a task of the user's may raise anything as it is counted
        yield from ((grid, error) for grid in pending)
        return
    while pending:
        grid, *others = programs.how.parts(pending.pop(0))
        pending = [*others, *pending]
        try:
            record = _run_grid(programs, grid, source, tell)
        except Exception as error:  # noqa: BLE001 - whatever went wrong is these trials' outcome
            programs, parts = _way_on(error, programs, grid)
            if not parts:
                yield grid, _too_large(programs) if is_out_of_memory(error) else error
            pending = [*parts, *pending]
        else:
            if not is_told and (words := _slower(programs)):  # had it failed so too, that were the outcome
                warnings.warn(words, RuntimeWarning, stacklevel=2)
                is_told = True
            yield grid, record


def _check_honoured(task: Task, precision: str) -> None:
    if precision == "bf16" and task.batch_dims:
        raise UnsupportedError(
            f"`{task.name}` trains another network within a step, to which bf16 does not reach: pass "
            "float32, or tf32 on a CUDA device"
        )


def _way_on(error: Exception, programs: Programs, grid: Grid) -> tuple[Programs, Sequence[Grid]]:
    """Choose the programs to go on with after a grid failed, and its parts to try; none to give it up."""
    how, name, is_ours = programs.how, programs.task.name, isinstance(error, OptsuiteError)
    if isinstance(error, NetworksDifferError):
        return programs.run_as(how._replace(is_by_seed=True)), [grid]
    if isinstance(error, CannotLiftError):
        return programs.run_as(_less_lifted(how, error)), [grid]
    if isinstance(error, DrewError):
        return programs.run_as(_OWN_NUMBERS), [grid]
    if programs.evaluate_at_once and not is_ours:
        # They are too large after all, or `vmap` cannot lift a metric of the user's.
        return programs.run_as(how._replace(is_one_by_one=True)), [grid]
    if is_out_of_memory(error):
        if grid.num_trials == 1:
            return programs, ()
        words = (
            f"{grid.num_trials} trials of `{name}` do not fit side by side; half of them are tried instead"
        )
        warnings.warn(words, RuntimeWarning, stacklevel=2)
        return programs, grid.halves()
    if how.is_compiled and not is_ours:  # ours are no fault of the compiler
        words = f"`{name}` failed compiled ({in_words(error)}); it is trained uncompiled instead"
        warnings.warn(words, RuntimeWarning, stacklevel=2)
        return programs.run_as(how._replace(is_compiled=False)), [grid]
    if grid.num_trials > 1 and not is_ours:
        return programs.run_as(how._replace(alone_because=in_words(error))), [grid]
    return programs, ()


def _less_lifted(how: How, error: CannotLiftError) -> How:
    less: Lifting = "seeds" if how.lifting == "configs" else "none"
    return how._replace(lifting=less, not_lifted_because=str(error))


def _slower(programs: Programs) -> str:
    """Tell how and why trials are trained in a slower way than they might; empty if they are not."""
    how, what = programs.how, f"trials of `{programs.task.name}` with `{programs.spec.optimizer}`"
    if how.alone_because:
        return f"{what} are trained one by one instead of side by side ({how.alone_because})"
    if how.not_lifted_because:
        whom = "config" if how.lifting == "seeds" else "trial"
        words = f"{what} are stepped by an optimizer object for each {whom} instead of one for all"
        return f"{words}, which is slower ({how.not_lifted_because})"
    return ""


def _run_grid(programs: Programs, grid: Grid, source: data.Source, tell: Tell) -> Record:
    device, is_cuda = programs.device, programs.device.type == "cuda"
    if is_cuda:
        torch.cuda.reset_peak_memory_stats(device)
    with reproducible(device, programs.spec.precision):
        record = train_grid(programs, grid, source, lambda steps: tell(steps * grid.num_trials))
    peak = torch.cuda.max_memory_allocated(device) if is_cuda else -1
    return record._replace(peak_memory_bytes=peak)


def _too_large(programs: Programs) -> OutOfMemoryError:
    task, device = programs.task, programs.device
    return OutOfMemoryError(
        f"one trial of `{task.name}` alone does not fit: it needs about {trial_bytes(task) / 2**30:.1f} GiB, "
        f"{device} has {free_bytes(device) / 2**30:.1f} GiB free; train it on a larger device"
    )
