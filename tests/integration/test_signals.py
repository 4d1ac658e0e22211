"""Signals, and the death of a session: what was trained is saved, and the next run goes on, bit for bit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from .conftest import EXTENSIONS, TASK, read_curves

NUM_STEPS = 240
SET = f"TinyLR_{NUM_STEPS}_R2"
NEEDED = 4 * (NUM_STEPS + 1)

# Each process that trains tells how many trial-steps it has done, and asks often whether to stop.
LOGGING = """
import os

from optsuite import trainer
from optsuite.trainer import _run

_run._ASK_SECONDS = float(os.environ.get("ASK_SECONDS", "0.2"))
advance = trainer.GridRun.advance


def logged(self, state, stop=None):
    after = advance(self, state, stop)
    with Path(__file__).with_name("trained.log").open("a") as file:
        file.write(f"{after.trial_steps - state.trial_steps}\\n")
    return after


trainer.GridRun.advance = logged
"""

# Where this suite runs in the background of a script, children would ignore Ctrl-C.
INTERRUPTIBLE = """
import signal
import sys

signal.signal(signal.SIGINT, signal.default_int_handler)
"""
PYTEST = INTERRUPTIBLE + "import pytest\nsys.exit(pytest.main(sys.argv[1:]))\n"
COMMAND = INTERRUPTIBLE + "import conftest\nfrom optsuite.cli import main\nsys.exit(main(sys.argv[1:]))\n"


class Sessions:
    """Starts sessions in a folder, and knows what they have trained."""

    def __init__(self, bench):
        self.bench = bench
        bench.pytester.makeconftest(EXTENSIONS + LOGGING)
        self.log = bench.path / "trained.log"

    def start(self, *args, face="pytest", storage="curves", **environment):
        if face == "pytest":
            args = self.bench.args(
                "-p", "no:hypothesispytest", "--opt-checkpoint=off", *args, sets=SET, storage=storage
            )
            script = PYTEST
        else:
            place = ["--storage", self.bench.path / storage, "--data=synthetic", "--report=off"]
            args = ["run", TASK, SET, *place, "--checkpoint=off", *args]
            script = COMMAND
        return subprocess.Popen(
            [sys.executable, "-u", "-c", script, *map(str, args)],
            cwd=self.bench.path,
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *args, **options):
        process = self.start(*args, **options)
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
        return output

    @property
    def num_trained(self):
        return sum(map(int, self.log.read_text().split())) if self.log.exists() else 0

    def wait_until_trained(self, process, count):
        while self.num_trained < count:
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.02)

    def whole(self, *args, **options):
        """Curves of a session that nobody interrupts."""
        self.run(*args, storage="whole", **options)
        self.log.unlink()
        return read_curves(self.bench.path / "whole_synthetic")


@pytest.fixture
def sessions(bench):
    return Sessions(bench)


def assert_goes_on(sessions, whole, *args, **options):
    """Run again: nothing that was trained is trained again, and all is as in an undisturbed session."""
    assert 0 < sessions.num_trained < NEEDED
    sessions.run(*args, **options)
    assert sessions.num_trained == NEEDED
    found = read_curves(sessions.bench.path / "curves_synthetic")
    assert found.keys() == whole.keys()
    for identity, curve in found.items():
        for key in ("train/loss", "eval/train/loss", "eval/test/loss"):
            np.testing.assert_array_equal(curve[key], whole[identity][key])
    assert sessions.bench.shared_files == []
    assert not list(sessions.bench.path.rglob(".optsuite_*"))


STATUS = {
    ("pytest", "SIGINT"): pytest.ExitCode.INTERRUPTED,
    ("pytest", "SIGTERM"): pytest.ExitCode.INTERRUPTED,
    ("command", "SIGINT"): 130,
    ("command", "SIGTERM"): 143,
}


@pytest.mark.slow
@pytest.mark.parametrize(("face", "name"), STATUS)
def test_a_signal_saves_what_was_trained_and_says_so(face, name, sessions):
    whole = sessions.whole(face=face)
    process = sessions.start(face=face)
    sessions.wait_until_trained(process, 40)
    process.send_signal(getattr(signal, name))
    output, _ = process.communicate(timeout=60)
    assert process.returncode == STATUS[face, name], output
    assert f"optsuite: {name}: saving what was trained, which takes some seconds; again to stop" in output
    assert "and saved; run again to go on" in output
    assert "INTERNALERROR" not in output
    assert_goes_on(sessions, whole, face=face)


@pytest.mark.slow
def test_a_second_signal_stops_at_once(sessions):
    process = sessions.start(face="command", ASK_SECONDS="1000")
    sessions.wait_until_trained(process, 1)
    process.send_signal(signal.SIGINT)
    for line in process.stdout:
        if "again to stop at once" in line:
            process.send_signal(signal.SIGINT)
            break
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "saved" not in output
    assert sessions.bench.curve_files == []


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["process", "dask", "xdist"])
def test_ctrl_c_in_a_terminal_reaches_all_processes_and_each_saves(backend, sessions):
    """A terminal interrupts the whole process group."""
    pytest.importorskip("distributed")
    args = ("-n", "2") if backend == "xdist" else (f"--opt-backend={backend}", "--opt-workers=2")
    whole = sessions.whole(*args)
    process = sessions.start(*args)
    sessions.wait_until_trained(process, 40)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=100)
    assert process.returncode == pytest.ExitCode.INTERRUPTED, output
    assert_goes_on(sessions, whole, *args)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGKILL"])
@pytest.mark.parametrize("backend", ["process", "dask", "xdist"])
def test_whatever_ends_the_session_itself_the_others_save(backend, name, sessions):
    pytest.importorskip("distributed")
    args = ("-n", "2") if backend == "xdist" else (f"--opt-backend={backend}", "--opt-workers=2")
    whole = sessions.whole(*args)
    process = sessions.start(*args)
    sessions.wait_until_trained(process, 40)
    process.send_signal(getattr(signal, name))
    process.communicate(timeout=100)  # until all of its processes have ended, which hold the pipe
    assert process.returncode != 0
    assert_goes_on(sessions, whole, *args)
