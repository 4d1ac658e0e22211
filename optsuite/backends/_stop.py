"""Stopping on a signal, but not before what was trained is saved."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import final

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@final
class Stop:
    """A wish to stop, which may come from a signal or from another thread.

    Args:
        say: Shows the user a line at once.
    """

    def __init__(self, say: Callable[[str], None] = lambda _: None) -> None:
        self._wish, self._say = threading.Event(), say

    @property
    def is_wished(self) -> bool:
        """Whether to stop."""
        return self._wish.is_set()

    def set(self) -> None:
        """Wish to stop."""
        self._wish.set()

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Take SIGINT and SIGTERM for the wish while in the block; a second one interrupts at once.

        Does nothing outside the main thread, to which alone Python gives signals.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def handle(number: int, _frame: FrameType | None) -> None:
            if self.is_wished:
                raise KeyboardInterrupt
            self.set()
            name = signal.Signals(number).name
            self._say(
                f"optsuite: {name}: saving what was trained, which takes some seconds; again to stop at once"
            )

        ignored = {number for number in _SIGNALS if signal.getsignal(number) is signal.SIG_IGN}
        before = {number: signal.signal(number, handle) for number in _SIGNALS if number not in ignored}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
