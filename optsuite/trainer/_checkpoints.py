"""The state of a group while it trains: when it is saved, how it is read again, and when to stop."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import final

import numpy as np

from optsuite import data
from optsuite.errors import OptsuiteError, StoppedError, StorageError, in_words
from optsuite.storage import CorruptFileError
from optsuite.trainer._dump import Arrays
from optsuite.trainer._group import Group, Keeper
from optsuite.trainer._identity import check_identity, identity
from optsuite.trainer._lift_mode import CannotLiftError
from optsuite.trainer._loop import GridRun
from optsuite.trainer._plan import Plan, plan_from, plan_text
from optsuite.trainer._programs import Programs
from optsuite.trainer._seal import digest, text_of
from optsuite.trainer._state import RunState

# A save takes at most this share of the time that passes until the next.
_SHARE = 0.02

# Arrays beside those of a run.
_PLAN, _DIGEST, _GROUP = "plan", "plan_digest", "group"


@final
class Checkpoints:
    """Saves the state of a group now and then, and reads it again.

    Saves lie as many seconds apart as the keeper asks for, or more where they would take over 2 % of the
    time.

    Args:
        keeper: Where the state is kept.
        group: The group.
        programs: The programs of the group.
        source: Real data or the stand-in.
        warn: Tells the user something, once.
    """

    def __init__(
        self,
        keeper: Keeper,
        group: Group,
        programs: Programs,
        source: data.Source,
        warn: Callable[[str], None],
    ) -> None:
        self._keeper, self._group, self._warn = keeper, group, warn
        layout = {"layout": "compiled" if group.layout.is_compiled else "eager"}
        about = identity(programs.task, programs.spec, group.grid, programs.device, source)
        self._identity = {**about, **layout}
        self._saved_at, self._cost = time.monotonic(), 0.0
        self._why_not = ""

    def load(self) -> tuple[Plan, Arrays] | None:
        """Read what was saved: the parts of the group, and the state of the first that is pending.

        The state is empty if that part had not begun. What does not fit is set aside.

        Raises:
            StorageError: What was saved cannot be reached.
        """
        try:
            arrays = self._keeper.load()
        except CorruptFileError as error:
            self.set_aside(error)
            return None
        try:
            return None if arrays is None else self._loaded(arrays)
        except StorageError as error:
            self.set_aside(error)
            return None

    def _loaded(self, arrays: Arrays) -> tuple[Plan, Arrays]:
        text = text_of(arrays, _PLAN)
        if digest(arrays[_PLAN]) != text_of(arrays, _DIGEST):
            raise StorageError("the plan of a group is damaged: its digest differs")
        check_identity(self._identity, text_of(arrays, _GROUP))
        plan = plan_from(text, self._group.grid)
        recorded, spec = set(self._keeper.recorded()), self._group.spec
        plan = plan.resumed(lambda grid: recorded.issuperset(grid.trials(self._identity["task"], spec)))
        return plan, {name: array for name, array in arrays.items() if name not in (_PLAN, _DIGEST, _GROUP)}

    def set_aside(self, error: Exception) -> None:
        """Put what was saved out of the way, since training begins anew, and tell why."""
        self._keeper.set_aside(str(error))

    def look(self, plan: Plan, run: GridRun | None = None, state: RunState | None = None) -> None:
        """Stop if that is asked for, else save if it is time.

        Args:
            plan: The parts of the group.
            run: The run of the first pending part; None if it has not begun.
            state: Its state.

        Raises:
            StoppedError: Says at which step, and whether the state was saved.
        """
        if self._keeper.should_stop():
            raise self._stopped(plan, run, state)
        wait = max(self._keeper.every_s, self._cost / _SHARE)
        if not self._why_not and time.monotonic() - self._saved_at >= wait:
            self._save(plan, run, state)

    def _stopped(self, plan: Plan, run: GridRun | None, state: RunState | None) -> StoppedError:
        step, last = 0 if state is None else state.step, self._group.spec.schedule.num_steps
        words = f"training of `{self._identity['task']}` was stopped at step {step} of {last}"
        if not step and not plan.ended:
            return StoppedError(f"{words}; run again to train it")
        if why_not := self._why_not or self._save(plan, run, state):
            return StoppedError(f"{words} and not saved ({why_not}); run again to begin anew")
        return StoppedError(f"{words} and saved; run again to go on")

    def _save(self, plan: Plan, run: GridRun | None, state: RunState | None) -> str:
        """Save the state, and tell why it could not be; empty if it was."""
        began = time.monotonic()
        try:
            why_not = self._dumped_and_kept(plan, run, state)
        finally:
            self._saved_at = time.monotonic()
            self._cost = self._saved_at - began
        return why_not

    def _dumped_and_kept(self, plan: Plan, run: GridRun | None, state: RunState | None) -> str:
        try:
            arrays = {} if run is None or state is None else run.dump(state)
        except CannotLiftError as error:  # which the next steps will find too, and go on in another way
            return str(error)
        except Exception as error:  # noqa: BLE001 - code of the user's; that it cannot be saved stops nothing
            self._why_not = str(error) if isinstance(error, OptsuiteError) else in_words(error)
            name = self._identity["task"]
            self._warn(f"a kill loses what trials of `{name}` have trained: {self._why_not}")
            return self._why_not
        text = np.array(plan_text(plan, self._group.grid))
        about = {_PLAN: text, _DIGEST: np.array(digest(text)), _GROUP: np.array(json.dumps(self._identity))}
        try:
            self._keeper.save({**about, **arrays})
        except StorageError as error:
            self._warn(f"a checkpoint cannot be saved, and training goes on: {error}")
            return str(error)
        return ""
