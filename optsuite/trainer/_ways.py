"""Ways to train a grid in place of one that failed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from optsuite.errors import OptsuiteError, OutOfMemoryError, UnsupportedError, in_words
from optsuite.tasks import Task, is_own
from optsuite.trainer._grid import Grid, How, Lifting
from optsuite.trainer._lift_mode import CannotLiftError
from optsuite.trainer._memory import free_bytes, is_out_of_memory, trial_bytes
from optsuite.trainer._network import NetworksDifferError
from optsuite.trainer._program import DrewError
from optsuite.trainer._programs import Programs

OWN_NUMBERS = How(
    is_compiled=False,
    is_one_by_one=True,
    alone_because="they draw from a generator that they would share; `noise` draws by the key",
    owns_numbers=True,
)
"""The way for trials that draw from generators."""


class WayOn(NamedTuple):
    """The way in which to go on after a grid failed."""

    programs: Programs
    grids: Sequence[Grid]
    """The grid or its parts, to be tried; none where it is given up."""
    warning: str = ""
    """Words for the user."""


def way_on(error: Exception, programs: Programs, grid: Grid, *, was_fresh: bool) -> WayOn:
    """Choose how to go on after a grid failed.

    Args:
        error: What it raised.
        programs: The programs with which it was tried.
        grid: The grid.
        was_fresh: Whether it was the first to be tried with these programs.
    """
    how, name, is_ours = programs.how, programs.task.name, isinstance(error, OptsuiteError)
    if isinstance(error, NetworksDifferError):  # from those of other grids, unless it was the first
        is_by_seed = how.is_by_seed or was_fresh or not is_own(programs.task)
        return WayOn(programs.afresh(how._replace(is_by_seed=is_by_seed)), [grid])
    if isinstance(error, CannotLiftError):
        return WayOn(programs.run_as(less_lifted(how, error)), [grid])
    if isinstance(error, DrewError):
        return WayOn(programs.run_as(OWN_NUMBERS), [grid])
    if programs.evaluate_at_once and not is_ours:
        # They are too large after all, or `vmap` cannot lift a metric of the user's.
        return WayOn(programs.run_as(how._replace(is_one_by_one=True)), [grid])
    if is_out_of_memory(error):
        if grid.num_trials == 1:
            return WayOn(programs, ())
        return WayOn(
            programs,
            grid.halves(),
            f"{grid.num_trials} trials of `{name}` do not fit side by side; half of them are tried instead",
        )
    if how.is_compiled and not is_ours:  # ours are no fault of the compiler
        return WayOn(
            programs.run_as(how._replace(is_compiled=False)),
            [grid],
            f"`{name}` failed compiled ({in_words(error)}); it is trained uncompiled instead",
        )
    if grid.num_trials > 1 and not is_ours:
        return WayOn(programs.run_as(how._replace(alone_because=in_words(error))), [grid])
    return WayOn(programs, ())


def less_lifted(how: How, error: CannotLiftError) -> How:
    """Return the way in which an object of an optimizer class steps fewer trials."""
    less: Lifting = "seeds" if how.lifting == "configs" else "none"
    return how._replace(lifting=less, not_lifted_because=str(error))


def slower(programs: Programs) -> str:
    """Tell how and why trials are trained in a slower way than they might; empty if they are not."""
    how, what = programs.how, f"trials of `{programs.task.name}` with `{programs.spec.optimizer}`"
    if how.alone_because:
        return f"{what} are trained one by one instead of side by side ({how.alone_because})"
    if how.not_lifted_because:
        whom = "config" if how.lifting == "seeds" else "trial"
        words = f"{what} are stepped by an optimizer object for each {whom} instead of one for all"
        return f"{words}, which is slower ({how.not_lifted_because})"
    return ""


def check_honoured(task: Task, precision: str) -> None:
    """Refuse a precision that would not reach all of a task.

    Raises:
        UnsupportedError: Says so.
    """
    if precision == "bf16" and task.batch_dims:
        raise UnsupportedError(
            f"`{task.name}` trains another network within a step, to which bf16 does not reach: pass "
            "float32, or tf32 on a CUDA device"
        )


def too_large(programs: Programs) -> OutOfMemoryError:
    """Make the error of a trial that does not fit alone."""
    task, device = programs.task, programs.device
    return OutOfMemoryError(
        f"one trial of `{task.name}` alone does not fit: it needs about {trial_bytes(task) / 2**30:.1f} GiB, "
        f"{device} has {free_bytes(device) / 2**30:.1f} GiB free; train it on a larger device"
    )
