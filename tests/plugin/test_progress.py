"""Progress, with a reporter that records and a clock that is set."""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from optsuite.plugin import _progress
from optsuite.plugin._progress import Progress


class Reporter:
    """What `Progress` needs of pytest's terminal reporter."""

    def __init__(self, *, isatty):
        self.isatty = isatty
        self.writes = []

    def ensure_newline(self):
        pass

    def write_line(self, line):
        self.writes.append(f"{line}\n")

    def rewrite(self, line, **markup):
        assert markup == {"erase": True}
        self.writes.append(f"\r{line}")


class Capture:
    """Says whether capturing was off."""

    is_off = False

    @contextmanager
    def global_and_fixture_disabled(self):
        self.is_off = True
        yield
        self.is_off = False


@pytest.fixture
def clock(monkeypatch):
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(_progress, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def config(reporter, capture=None):
    plugins = {"terminalreporter": reporter, "capturemanager": capture}
    return SimpleNamespace(pluginmanager=SimpleNamespace(getplugin=plugins.get))


def train(clock, reporter, *, seconds, tells=10, total=1000):
    """Tell of equal parts of `total`, `seconds` apart."""
    with Progress(config(reporter), "cell") as progress:
        for number in range(1, tells + 1):
            clock.now += seconds
            progress.tell(total * number // tells, total)
    return reporter.writes


def test_a_terminal_has_one_line_that_is_rewritten(clock):
    writes = train(clock, Reporter(isatty=True), seconds=1, tells=4)
    assert writes == [
        "\rcell:  25%, 250 trial-steps/s, 3 s left",
        "\rcell:  50%, 250 trial-steps/s, 2 s left",
        "\rcell:  75%, 250 trial-steps/s, 1 s left",
        "\rcell: 100%, 250 trial-steps/s, 1 s left",
        "\rcell: trained, 1,000 trial-steps in 4 s, 250 trial-steps/s\n",
    ]


def test_a_terminal_is_not_rewritten_more_than_five_times_a_second(clock):
    assert len(train(clock, Reporter(isatty=True), seconds=0.01, tells=100)) <= 1 + 5


def test_elsewhere_a_line_comes_every_15_seconds(clock):
    writes = train(clock, Reporter(isatty=False), seconds=5, tells=7)
    assert len(writes) == 3  # after 15 and 30 seconds, and at the end
    assert all(line.endswith("\n") for line in writes)
    assert writes[0] == "cell:  43%, 29 trial-steps/s, 20 s left\n"


def test_a_short_run_has_its_last_line_only(clock):
    assert train(clock, Reporter(isatty=False), seconds=0.1) == [
        "cell: trained, 1,000 trial-steps in 1 s, 1,000 trial-steps/s\n"
    ]


def test_without_a_reporter_it_is_silent(clock):
    with Progress(config(None), "cell") as progress:
        clock.now += 100
        progress.tell(1, 2)


def test_nothing_trained_says_nothing():
    reporter = Reporter(isatty=True)
    with Progress(config(reporter), "cell"):
        pass
    assert reporter.writes == []


def test_what_is_interrupted_says_stopped(clock):
    reporter = Reporter(isatty=False)
    progress = Progress(config(reporter), "cell")
    clock.now += 2
    progress.tell(10, 1000)
    progress.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert reporter.writes == ["cell: stopped, 10 trial-steps in 2 s, 5 trial-steps/s\n"]


def test_steps_that_are_done_twice_do_not_break_it(clock):
    """A grid that ran out of memory is trained again in halves, which are told of again."""
    reporter = Reporter(isatty=False)
    with Progress(config(reporter), "cell") as progress:
        clock.now += 20
        progress.tell(1500, 1000)
    assert len(reporter.writes) == 2


def test_it_writes_while_capturing_is_off(clock):
    capture = Capture()
    reporter = Reporter(isatty=False)
    reporter.write_line = lambda line: reporter.writes.append(capture.is_off)
    with Progress(config(reporter, capture), "cell") as progress:
        clock.now += 20
        progress.tell(1, 2)
    assert reporter.writes == [True, True]
    assert not capture.is_off
