"""Trains a learned optimizer, and goes on with a training that was interrupted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch

from optsuite import data, storage, trainer
from optsuite._types import Params
from optsuite.curves import package_version
from optsuite.errors import HParamError, OptsuiteError, OutOfMemoryError, StorageError, parameter
from optsuite.meta._files import Files
from optsuite.meta._settings import Settings, make_plan
from optsuite.optimizers import AveragedState, Checkpoint, location_of
from optsuite.tasks import Task
from optsuite.trainer import Arrays, GridRun, RunState
from optsuite.words import counted

# Steps are trained so many seconds at a time, up to a block.
_SECONDS = 10.0
# The loss of a step is that of few inner steps, and as noisy.
_LATEST = 100


class Progress(NamedTuple):
    """A point of a training."""

    step: int
    """Number of outer steps done."""
    num_steps: int
    loss: float
    """Mean of the latest 100 losses; NaN before the first."""
    seconds_per_step: float
    """Mean over all steps; 0 before the first."""
    source: data.Source
    """Real data or the stand-in."""
    device: torch.device


def meta_train(
    settings: Settings,
    output: str,
    *,
    mode: str | None = None,
    device: torch.device | str | None = None,
    save_every_s: float = 300.0,
    restart: bool = False,
    tell: Callable[[Progress], None] = lambda _: None,
) -> Checkpoint:
    """Train a learned optimizer, and write its checkpoint, its losses as CSV, and a plot of them.

    An interrupted training goes on where it was last saved when it is called again, and ends in the same
    files, bit for bit; one that is done is not trained again.

    Args:
        settings: The settings.
        output: Path or URL of the checkpoint, which ends in `.safetensors`; the other files lie beside it.
        mode: Data: auto, real or synthetic; None reads `OPTSUITE_DATA`. With auto, all data are stand-ins
            where one dataset is missing.
        device: Where to train; None takes CUDA if there is one.
        save_every_s: Time after which the state is saved again; it is saved when the training is interrupted
            too.
        restart: Whether to begin anew where there is a state or a checkpoint. A checkpoint is replaced at the
            end; until then a training that was interrupted goes on although it is there.
        tell: Called now and then.

    Raises:
        OutOfMemoryError: The training does not fit on the device.
        OptsuiteError: The settings are wrong, the training diverged, the files that are there are of another
            training, or the output cannot be written, which is found before anything is trained.
    """
    plan = make_plan(settings)
    if settings.init and storage.is_same_file(location_of(settings.init), output):
        raise HParamError(
            f"a training cannot start from `{output}` and replace it: needed another "
            f"`{parameter('output')}` than the checkpoint of `{parameter('init')}`"
        )
    where = trainer.resolve_device(device)
    source = data.resolve_source(plan.task.dataset.dataset, mode)
    versions = {package: package_version(package) for package in ("optsuite", "torch")}
    account = {**plan.account, "data": source, "device": where.type, "versions": versions}
    files = Files(output, settings.kind, plan.architecture, account)
    saved = None if restart else files.saved()
    # The checkpoint that lies beside a state is an older one.
    if saved is None and not restart and (finished := files.finished()):
        return finished
    with trainer.reproducible(where), _memory_explained(plan.task, where):
        run = trainer.run_of_one(plan.task, plan.trial, source=source, device=where)
        state = run.begin() if saved is None else _loaded(run, saved, files)
        if saved is None:
            files.save(run.dump(state))  # what cannot be written is found before anything is trained
        state = _trained(run, state, files, save_every_s, lambda state: tell(_progress(state, source, where)))
    return files.finish(_theta(state), state.losses_TSH[:, 0, 0])


def _loaded(run: GridRun, saved: Arrays, files: Files) -> RunState:
    try:
        return run.load(saved)
    except StorageError as cause:
        raise files.damaged(cause) from cause


def _trained(
    run: GridRun, state: RunState, files: Files, save_every_s: float, tell: Callable[[RunState], None]
) -> RunState:
    """Train to the end, and save the state now and then."""
    saved_step, saved_at = state.step, time.monotonic()
    try:
        tell(state)
        while not run.is_over(state):
            count = int(_SECONDS * state.step / state.seconds) if state.step else 1
            state = run.advance(state, state.step + max(1, count))
            _check_finite(state, files)
            tell(state)
            if time.monotonic() - saved_at > save_every_s:
                files.save(run.dump(state))
                saved_step, saved_at = state.step, time.monotonic()
    except KeyboardInterrupt:
        if state.step > saved_step:
            files.save(run.dump(state))
        raise
    return state


@contextmanager
def _memory_explained(task: Task, device: torch.device) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if trainer.is_out_of_memory(error):
            length, problems = task.batch_dims
            raise OutOfMemoryError(
                f"{counted(problems, 'training')} of each task, {length} inner steps in a step, do not "
                f"fit on {device}: train fewer at a time, or shorter ones"
            ) from error
        raise


def _check_finite(state: RunState, files: Files) -> None:
    """Give up a training that has diverged, with its state, from which nothing could go on."""
    losses = state.losses_TSH[: state.step]
    # A normalised loss is finite whatever theta is.
    if not (np.isfinite(losses).all() and all(tensor.isfinite().all() for tensor in _theta(state).values())):
        files.forget()
        raise OptsuiteError(
            f"the training diverged before outer step {state.step}: train with a smaller learning rate, or "
            "clip gradients to less"
        )


def _progress(state: RunState, source: data.Source, device: torch.device) -> Progress:
    losses = state.losses_TSH[max(0, state.step - _LATEST) : state.step, 0, 0]
    mean = float(losses.mean()) if len(losses) else np.nan
    seconds_per_step = state.seconds / max(1, state.step)
    return Progress(state.step, len(state.losses_TSH), mean, seconds_per_step, source, device)


def _theta(state: RunState) -> Params:
    opt_state = state.trained.opt_state
    assert isinstance(opt_state, AveragedState)
    return {name: tensor[0, 0] for name, tensor in opt_state.average.items()}
