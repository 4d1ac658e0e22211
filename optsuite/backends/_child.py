"""A child process that does one job after the other, so that a crash takes no more than its own job.

It is started by its command line, and not by `multiprocessing`: workers of Dask may not have children of that
kind. Jobs go to its standard input and reports come from its standard output, pickled.
"""

import contextlib
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Mapping

from optsuite.backends._stop import Stop
from optsuite.backends._work import Report, Work, do

STOP_SECONDS = 30.0
"""Time that a child has to save what it trains before it is killed."""


class Child:
    """A child process, started when it is first needed, and again after a crash.

    Args:
        where: Name of the child, for errors.
        environment: Environment variables that differ from those of this process.
    """

    def __init__(self, where: str, environment: Mapping[str, str]) -> None:
        self._where = where
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._is_closed = False

    def do(self, work: Work, tell: Callable[[int, int], None]) -> Report:
        """Have a job done and wait for it; if the child dies, the report says so."""
        if self._is_closed:
            return Report(lost="it was cancelled")
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            pickle.dump(work, process.stdin)
            process.stdin.flush()
            while not isinstance(message := pickle.load(process.stdout), Report):  # noqa: S301 - our own child
                tell(*message)
        except (OSError, EOFError, pickle.UnpicklingError):
            return Report(lost=f"{self._where} {_ending(process.wait())}")
        return message

    def stop(self) -> None:
        """Ask the child to save what it trains and to end; `close` waits for that."""
        self._is_closed = True
        if self._process is not None:
            self._process.terminate()

    def close(self) -> None:
        """End the child, which has some time to save what it trains."""
        self.stop()
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_SECONDS)
        self.end()

    def end(self) -> None:
        """Kill the child, if it has not ended."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):  # something was still to be sent to the dead process
                if pipe is not None:
                    pipe.close()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.end()
            self._process = subprocess.Popen(
                [sys.executable, "-c", f"from {__name__} import main; main()", self._where],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, **self._environment},
            )
        return self._process


def _ending(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    name = signal.Signals(-status).name
    reason = ", often for lack of memory" if -status == signal.SIGKILL else ""
    return f"was ended by {name}{reason}"


def main() -> None:
    """Do jobs until the parent asks to stop, closes the pipe or dies; a job in progress is saved first."""
    stop = Stop()

    def end(*_: object) -> None:
        stop.set()
        if not is_busy.is_set():
            os._exit(0)
        killer = threading.Timer(STOP_SECONDS, os._exit, (1,))
        killer.daemon = True
        killer.start()

    is_busy = threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted too, and ends this process
    signal.signal(signal.SIGTERM, end)
    inbox, outbox = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # so that nothing a library prints is taken for a report
    works: queue.SimpleQueue[Work] = queue.SimpleQueue()

    def listen() -> None:
        try:
            while True:
                works.put(pickle.load(inbox))  # noqa: S301 - our own parent
        except EOFError:
            end()
        except BaseException:  # noqa: BLE001 - nobody else would end this process
            traceback.print_exc()
            os._exit(1)

    def send(message: object) -> None:
        with contextlib.suppress(BrokenPipeError):  # the parent died: what is trained is saved all the same
            pickle.dump(message, outbox)
            outbox.flush()

    threading.Thread(target=listen, daemon=True).start()
    while not stop.is_wished:
        work = works.get()
        is_busy.set()
        report = do(work, sys.argv[1], lambda done, total: send((done, total)), stop)
        is_busy.clear()
        send(report)
