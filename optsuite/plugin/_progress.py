"""Progress of a cell: a line that is rewritten on a terminal, a new line now and then elsewhere."""

import time
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType

import pytest

from optsuite.words import duration

_TERMINAL_SECONDS, _PLAIN_SECONDS = 0.2, 15.0


def uncaptured(config: pytest.Config) -> AbstractContextManager[None]:
    """Return a context in which what is printed while a test runs goes to the terminal."""
    capture = config.pluginmanager.getplugin("capturemanager")
    shown: AbstractContextManager[None] = capture.global_and_fixture_disabled() if capture else nullcontext()
    return shown


class Progress(AbstractContextManager["Progress"]):
    """Shows how far one cell has trained; silent on xdist's workers.

    Args:
        config: pytest's, for its terminal.
        name: Name of the cell.
    """

    def __init__(self, config: pytest.Config, name: str) -> None:
        self._config = config
        self._reporter = config.pluginmanager.getplugin("terminalreporter")
        self.name = name
        self._is_rewriting = bool(self._reporter and self._reporter.isatty)
        self._began = self._told = time.monotonic()
        self._done = 0

    def tell(self, done: int, total: int) -> None:
        """Show how many of all trial-steps are done, unless that was shown a moment ago."""
        self._done = done
        now = time.monotonic()
        if done and now - self._told >= (_TERMINAL_SECONDS if self._is_rewriting else _PLAIN_SECONDS):
            self._told = now
            rate = done / (now - self._began)
            left = duration((total - done) / rate)
            self._write(
                f"{self.name}: {done / total:4.0%}, {rate:,.0f} trial-steps/s, {left} left", end=False
            )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._done:
            seconds = time.monotonic() - self._began
            rate = f"{self._done / seconds:,.0f} trial-steps/s"
            word = "trained" if error is None else "stopped"
            self._write(
                f"{self.name}: {word}, {self._done:,} trial-steps in {duration(seconds)}, {rate}", end=True
            )

    def _write(self, line: str, *, end: bool) -> None:
        if not self._reporter:
            return
        with uncaptured(self._config):
            self._reporter.ensure_newline()
            if self._is_rewriting:
                self._reporter.rewrite(line + ("\n" if end else ""), erase=True)
            else:
                self._reporter.write_line(line)
