"""Trains trials of one task, many as one program.

The only place that calls `torch.compile`, or `vmap` over trials. A trial's curve is a function of (task,
config, schedule, seed, data source, device kind): which trials ran beside it changes it by float rounding
only.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch

from optsuite import data
from optsuite.curves import Curve, make_curve
from optsuite.errors import OptsuiteError, OutOfMemoryError, UnsupportedError, in_words
from optsuite.hparam_sets import Config, Schedule, Trial
from optsuite.optimizers import get_row
from optsuite.tasks import Task, get_task
from optsuite.trainer._adapter import TorchProgram
from optsuite.trainer._compile import is_long
from optsuite.trainer._grid import Grid, Rule, group_by_rule, split_into_grids
from optsuite.trainer._layout import choose_layout
from optsuite.trainer._loop import Record, train_grid
from optsuite.trainer._memory import free_bytes, is_out_of_memory, trial_bytes, width_limit
from optsuite.trainer._program import Program, PureProgram
from optsuite.trainer._reproducible import reproducible

__all__ = [
    "Outcome",
    "Rule",
    "check_precision",
    "group_by_rule",
    "is_long",
    "resolve_device",
    "run",
    "split_into_grids",
    "train",
    "train_many",
    "trial_bytes",
    "width_limit",
]

Tell = Callable[[int], None]
"""Is told now and then how many more trial-steps are done."""


class Outcome(NamedTuple):
    """What became of one trial: a curve, or the error that kept it from being trained."""

    trial: Trial
    result: Curve | Exception
    is_new: bool = True
    """False of a curve that was recorded before."""


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
    curves = {}
    for outcome in run(task, trials, mode=mode, device=device):
        if isinstance(outcome.result, Exception):
            raise outcome.result
        curves[outcome.trial] = outcome.result
    return [curves[trial] for trial in trials]


def run(
    task: Task,
    trials: Sequence[Trial],
    *,
    mode: str | None = None,
    device: torch.device | str | None = None,
    tell: Tell = lambda _: None,
) -> Iterator[Outcome]:
    """Train trials and give each outcome as soon as its program ends; failures do not stop the others.

    Args:
        task: The task.
        trials: As for `train_many`.
        mode: As for `train_many`.
        device: As for `train_many`.
        tell: Is told now and then how many more trial-steps are done.

    Raises:
        DataError: The data are missing or damaged.
        UnsupportedError: The device has not the precision that is asked for.
    """
    if strangers := {trial.task_name for trial in trials} - {task.name}:
        raise OptsuiteError(f"trials of `{task.name}` needed, got trials of {sorted(strangers)}")
    where = resolve_device(device)
    for precision in {trial.precision for trial in trials}:
        check_precision(precision, where)
    source = data.resolve_source(task.dataset.dataset, mode)
    for rule, members in group_by_rule(trials):
        for grid, result in _run_grids(task, rule, members, source, where, tell):
            yield from _outcomes(task, rule, grid, result, source, where)


def resolve_device(device: torch.device | str | None) -> torch.device:
    """The device to train on: the one asked for, else CUDA if there is one.

    Raises:
        OptsuiteError: It does not exist here.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        where = torch.device(device)
        torch.empty(0, device=where)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise OptsuiteError(
            f"cannot train on device `{device}` ({reason}): pass cpu, cuda or cuda:N"
        ) from error
    return where


def check_precision(precision: str, device: torch.device) -> None:
    """Whether a device has a precision.

    Raises:
        UnsupportedError: It has not.
    """
    if precision == "tf32" and not (device.type == "cuda" and torch.cuda.is_tf32_supported()):
        raise UnsupportedError(
            f"tf32 is a precision of later CUDA devices, not of `{device}`: pass float32 or bf16"
        )


class _Setup(NamedTuple):
    """How a grid was run; part of its curves."""

    record: Record
    trained_as: str
    peak_memory_bytes: int


def _run_grids(
    task: Task,
    rule: Rule,
    trials: Sequence[Trial],
    source: data.Source,
    device: torch.device,
    tell: Tell,
) -> Iterator[tuple[Grid, _Setup | Exception]]:
    """Train grids of the layout that is chosen; halve those that do not fit after all."""
    kind = {"pure": PureProgram, "torch": TorchProgram}[get_row(rule.optimizer).program]
    programs: dict[tuple[tuple[int, int], bool], Program] = {}
    one_by_one = False

    def make(shape: tuple[int, int], is_compiled: bool) -> Program:
        if (shape, is_compiled) not in programs:
            programs[shape, is_compiled] = kind(
                task, rule, shape, device, compile=is_compiled, one_by_one=one_by_one
            )
        return programs[shape, is_compiled]

    try:
        is_too_large = trial_bytes(task) > free_bytes(device)
        with _training(device, rule.precision):
            layout = choose_layout(task, rule, trials, device, source, make)
    except Exception as error:  # noqa: BLE001 - a task of the user's may raise anything
        yield from ((grid, error) for grid in split_into_grids(trials, len(trials)))
        return
    pending, compile_ = split_into_grids(trials, layout.width), layout.is_compiled
    # What was only measured must not decide how errors are met.
    for key in programs.keys() - {(grid.shape, compile_) for grid in pending}:
        del programs[key]

    def program_of(shape: tuple[int, int]) -> Program:
        return make(shape, compile_)

    while pending:
        grid = pending.pop(0)
        try:
            if is_too_large:  # ask for it and the system may end this process instead of refusing
                raise _too_large(task, device)
            how = "compiled" if compile_ else "eager"
            with _training(device, rule.precision):
                record, peak = _run_grid(program_of, grid, source, device, tell)
            yield grid, _Setup(record, f"{len(grid.seeds)} seeds x {len(grid.configs)} configs, {how}", peak)
        except Exception as error:  # noqa: BLE001 - whatever went wrong is these trials' outcome
            is_at_once = any(program.batches_at_once > 1 for program in programs.values())
            if is_at_once and not isinstance(error, OptsuiteError):
                # Too large after all, or a metric of the user's that `vmap` cannot lift.
                one_by_one, pending = True, [grid, *pending]
                programs.clear()
            elif is_out_of_memory(error):
                if grid.num_trials > 1:
                    pending = [*grid.halves(), *pending]
                else:
                    yield grid, error if is_too_large else _too_large(task, device)
            elif compile_ and not isinstance(error, OptsuiteError):  # ours are no fault of the compiler
                warnings.warn(_uncompilable(task, error), RuntimeWarning, stacklevel=2)
                compile_, pending = False, [grid, *pending]
                programs.clear()
            else:
                yield grid, error


def _uncompilable(task: Task, error: Exception) -> str:
    return f"`{task.name}` failed compiled ({in_words(error)}); it is trained uncompiled instead"


def _run_grid(
    program_of: Callable[[tuple[int, int]], Program],
    grid: Grid,
    source: data.Source,
    device: torch.device,
    tell: Tell,
) -> tuple[Record, int]:
    """What a grid recorded, and its peak of memory on a GPU, else -1."""
    is_cuda = device.type == "cuda"
    if is_cuda:
        torch.cuda.reset_peak_memory_stats(device)
    record = train_grid(program_of, grid, source, lambda steps: tell(steps * grid.num_trials))
    return record, torch.cuda.max_memory_allocated(device) if is_cuda else -1


@contextmanager
def _training(device: torch.device, precision: str) -> Iterator[None]:
    """What holds while programs run."""
    generators = [device] if device.type == "cuda" else []  # optimizer classes may draw from torch's
    with reproducible(device, precision), torch.random.fork_rng(devices=generators):
        yield


def _too_large(task: Task, device: torch.device) -> OutOfMemoryError:
    return OutOfMemoryError(
        f"one trial of `{task.name}` alone does not fit: it needs about {trial_bytes(task) / 2**30:.1f} GiB, "
        f"{device} has {free_bytes(device) / 2**30:.1f} GiB free; train it on a larger device"
    )


def _outcomes(
    task: Task,
    rule: Rule,
    grid: Grid,
    result: _Setup | Exception,
    source: data.Source,
    device: torch.device,
) -> Iterator[Outcome]:
    for s, seed in enumerate(grid.seeds):
        for h, config in enumerate(grid.configs):
            trial = Trial(task.name, config, rule.schedule, seed, rule.precision)
            if isinstance(result, Exception):
                yield Outcome(trial, result)
            elif failure := result.record.failures.get((s, h)):
                yield Outcome(trial, failure)
            else:
                yield Outcome(trial, _curve(task, trial, (s, h), result, source, device))


def _curve(
    task: Task,
    trial: Trial,
    place: tuple[int, int],
    setup: _Setup,
    source: data.Source,
    device: torch.device,
) -> Curve:
    record, schedule = setup.record, trial.schedule
    kind = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return make_curve(
        task_name=task.name,
        opt_name=trial.config.label,
        **vars(schedule),
        seed=trial.seed,
        train_loss=record.train_loss_TSH[:, *place],
        eval_metrics={k: v[:, *place] for k, v in record.eval_metrics_ESH.items()},
        data_source=source,
        config_text=_config_text(trial, source, device),
        accelerator_platform=device.type,
        accelerator_kind=kind,
        accelerator_devs=1,
        trial_id=trial.id(source),
        extra={
            "trained_as": setup.trained_as,
            **({} if trial.precision == "float32" else {"precision": trial.precision}),
            "seconds_per_step": record.seconds / record.trial_steps,
            "peak_memory_bytes": setup.peak_memory_bytes,
            "flops_per_step": task.flops_per_step,
        },
    )


def _config_text(trial: Trial, source: str, device: torch.device) -> str:
    settings = {
        "task": trial.task_name,
        "label": trial.config.label,
        "optimizer": trial.config.optimizer,
        "hparams": dict(trial.config.hparams),
        "schedule": vars(trial.schedule),
        "seed": trial.seed,
        "data_source": source,
        "precision": trial.precision,
        "device": device.type,
    }
    return json.dumps(settings, indent=1)
