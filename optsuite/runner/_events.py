"""Events that a runner tells its face, and how it tells them."""

import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple, ParamSpec, TypeAlias, TypeVar

from optsuite.sweep import Cell
from optsuite.trainer import Outcome

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Started(NamedTuple):
    """A cell was handed to the back end."""

    cell: Cell
    num_steps: int
    """Number of trial-steps to train."""


class Progress(NamedTuple):
    """A cell has trained on; told now and then, also from other threads."""

    cell: Cell
    num_done: int
    """Number of trial-steps that are done."""
    num_steps: int
    """Number of trial-steps in all."""


class Outcomes(NamedTuple):
    """Trials of a cell that were read from the store, or that ended."""

    cell: Cell
    outcomes: Sequence[Outcome]


class Ended(NamedTuple):
    """Every trial of a cell that was asked for has its outcome."""

    cell: Cell
    num_trained: int
    """Number of trials that were trained now."""
    num_trials: int
    """Number of trials that were to be trained."""


class Said(NamedTuple):
    """The back end has something to say at once, such as what it waits for."""

    line: str


class Warned(NamedTuple):
    """Something went wrong that does not cost a curve."""

    text: str


Event: TypeAlias = Started | Progress | Outcomes | Ended | Said | Warned
"""Anything that a runner tells."""


class Teller:
    """Tells events to a face, from one thread at a time, and remembers what stays true after the run.

    Args:
        tell: Called with each event.
        explain: Puts an error into the words of the face.

    Attributes:
        explain: Puts an error into the words of the face.
        archived: Cells that have an archive of just their curves.
        warnings: Texts of all warnings.
    """

    def __init__(self, tell: Callable[[Event], None], explain: Callable[[Exception], str]) -> None:
        self._tell, self.explain = tell, explain
        self.lock = threading.RLock()
        self.archived: list[Cell] = []
        self.warnings: list[str] = []

    def tell(self, event: Event) -> None:
        """Tell an event."""
        with self.lock:
            self._tell(event)

    def warn(self, text: str) -> None:
        """Tell and remember a warning."""
        self.warnings.append(text)
        self.tell(Warned(text))

    def attempt(self, what: str, step: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T | None:
        """Take a step that must not fail the run; where it fails, warn and return None.

        Args:
            what: What is missing if the step fails, for the warning.
            step: The step.
            args: Arguments of the step.
            kwargs: Likewise.
        """
        try:
            return step(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - the curves are recorded: nothing may fail the run now
            self.warn(f"no {what}: {self.explain(error)}")
            return None
