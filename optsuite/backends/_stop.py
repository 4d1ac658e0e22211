"""Stopping on a signal, but not before what was trained is saved."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeAlias, final

_Handler: TypeAlias = Callable[[int, FrameType | None], None]


@final
class Stop:
    """A wish to stop, which may come from a signal or from another thread.

    Args:
        say: Shows the user a line at once; called from a thread of its own, since a signal may come in the
            middle of another line.
        is_patient: Whether further signals change nothing, since whoever sends them does so for the user.
    """

    def __init__(self, say: Callable[[str], None] = lambda _: None, *, is_patient: bool = False) -> None:
        self._wish, self._say, self._is_patient = threading.Event(), say, is_patient
        self._number = signal.SIGINT
        self._has_work = False

    @property
    def is_wished(self) -> bool:
        """Whether to stop."""
        return self._wish.is_set()

    @property
    def interrupt(self) -> KeyboardInterrupt:
        """The interrupt that ends this process once all is saved; its argument is the signal's number."""
        return KeyboardInterrupt(self._number)

    def set(self) -> None:
        """Wish to stop."""
        self._wish.set()

    @contextmanager
    def saving_first(self) -> Iterator[None]:
        """Let signals wait for what is trained in the block to be saved; a second one does not."""
        self._has_work = True
        try:
            yield
        finally:
            self._has_work = False

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Take SIGINT and SIGTERM for the wish while something is to be saved; else they interrupt at once.

        Does nothing outside the main thread, to which alone Python gives signals.
        """

        def handle(number: int, _frame: FrameType | None) -> None:
            if not self._has_work or (self.is_wished and not self._is_patient):
                raise KeyboardInterrupt(number)
            if self.is_wished:
                return
            self._number = signal.Signals(number)
            self.set()
            words = f"optsuite: {self._number.name}: saving what was trained, which takes some seconds"
            threading.Thread(target=self._say, args=(f"{words}; again to stop at once",)).start()

        with _handling({signal.SIGINT: handle, signal.SIGTERM: handle}):
            yield


@contextmanager
def interrupted_by_sigterm() -> Iterator[None]:
    """Let SIGTERM interrupt the block as Ctrl-C does; the interrupt's argument is the signal's number."""

    def handle(number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt(number)

    with _handling({signal.SIGTERM: handle}):
        yield


@contextmanager
def _handling(handlers: dict[signal.Signals, _Handler]) -> Iterator[None]:
    """Have signals handled in the block, but not those that this process ignores."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heeded = [number for number in handlers if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, handlers[number]) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
