"""Stopping on a signal, but not before what was trained is saved."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import final

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@final
class Stop:
    """A wish to stop, which may come from a signal or from another thread."""

    def __init__(self) -> None:
        self._wish = threading.Event()

    def __bool__(self) -> bool:
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
            if self:
                raise KeyboardInterrupt
            self.set()
            name = signal.Signals(number).name
            print(
                f"\noptsuite: {name}: saving what was trained, which takes some seconds; once more to stop at once",
                file=sys.stderr,
                flush=True,
            )

        ignored = {number for number in _SIGNALS if signal.getsignal(number) is signal.SIG_IGN}
        before = {number: signal.signal(number, handle) for number in _SIGNALS if number not in ignored}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
