"""Signals, and the death of a session: what was trained is saved, and the next run goes on, bit for bit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from optsuite import trainer
from optsuite.backends import _keeper

from .conftest import EXTENSIONS, TASK, read_curves

NUM_STEPS = 240
SET = f"TinyLR_{NUM_STEPS}_R2"
NEEDED = 4 * (NUM_STEPS + 1)

# Each process that trains tells how many trial-steps it has done. Under HOLD it trains one block, then waits
# to be told to stop, so that a signal always finds it training; under HOLD=deaf it waits for ever.
LOGGING = """
import os
import time

from optsuite import trainer
from optsuite.backends import _keeper

log, hold = Path(__file__).with_name("trained.log"), os.environ.get("HOLD")
advance, should_stop = trainer.GridRun.advance, _keeper.StoreKeeper.should_stop


def logged(self, state, stop=None):
    after = advance(self, state, stop)
    with log.open("a") as file:
        file.write(f"{after.trial_steps - state.trial_steps}\\n")
    return after


def held(self):
    while hold and log.exists() and (hold == "deaf" or not should_stop(self)):
        time.sleep(0.01)
    return should_stop(self)


trainer.GridRun.advance, _keeper.StoreKeeper.should_stop = logged, held
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

    def start(self, *args, face="pytest", hold="yes"):
        """Start a session that trains one block of its cell; return when it has."""
        args = ("--checkpoint=off" if face == "command" else "--opt-checkpoint=off", *args)
        if face == "pytest":
            script, args = PYTEST, self.bench.args("-p", "no:hypothesispytest", *args, sets=SET)
        else:
            place = ["--storage", self.bench.storage, "--data=synthetic", "--report=off"]
            script, args = COMMAND, ["run", TASK, SET, *place, *args]
        process = subprocess.Popen(
            [sys.executable, "-u", "-c", script, *map(str, args)],
            cwd=self.bench.path,
            env=os.environ | {"HOLD": hold},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        while not self.num_trained:
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.02)
        return process

    @property
    def num_trained(self):
        return sum(map(int, self.log.read_text().split())) if self.log.exists() else 0

    def run(self, storage="curves"):
        """Run to the end, in this process."""
        self.bench.run("--opt-checkpoint=off", sets=SET, storage=storage).assert_outcomes(passed=2)
        return read_curves(self.bench.path / f"{storage}_synthetic")


@pytest.fixture
def sessions(bench, monkeypatch):
    for owner, name in ((trainer.GridRun, "advance"), (_keeper.StoreKeeper, "should_stop")):
        monkeypatch.setattr(owner, name, getattr(owner, name))  # which runs in this process replace
    return Sessions(bench)


def assert_goes_on(sessions):
    """Run again: nothing that was trained is trained again, and all is as in an undisturbed session."""
    assert 0 < sessions.num_trained < NEEDED
    found = sessions.run()
    assert sessions.num_trained == NEEDED
    assert sessions.bench.shared_files == []
    assert not list(sessions.bench.path.rglob(".optsuite_*"))
    whole = sessions.run("whole")
    assert found.keys() == whole.keys()
    for identity, curve in found.items():
        for key in ("train/loss", "eval/train/loss", "eval/test/loss"):
            np.testing.assert_array_equal(curve[key], whole[identity][key])


STATUS = {
    ("pytest", "SIGTERM"): pytest.ExitCode.INTERRUPTED,  # SIGINT: see test_interrupt.py
    ("command", "SIGINT"): 130,
    ("command", "SIGTERM"): 143,
}


@pytest.mark.slow
@pytest.mark.parametrize(("face", "name"), STATUS)
def test_a_signal_saves_what_was_trained_and_says_so(face, name, sessions):
    process = sessions.start(face=face)
    process.send_signal(getattr(signal, name))
    output, _ = process.communicate(timeout=60)
    assert process.returncode == STATUS[face, name], output
    assert f"optsuite: {name}: saving what was trained, which takes some seconds; again to stop" in output
    assert "and saved; run again to go on" in output
    assert "INTERNALERROR" not in output
    assert_goes_on(sessions)


@pytest.mark.slow
def test_a_second_signal_stops_at_once(sessions):
    process = sessions.start(face="command", hold="deaf")
    process.send_signal(signal.SIGINT)
    for line in process.stdout:
        if "again to stop at once" in line:
            process.send_signal(signal.SIGINT)
            break
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "saved" not in output
    assert sessions.bench.curve_files == []


# Backends that let other processes train; under xdist one of them has nothing to do.
BESIDE = {
    "process": ("--opt-backend=process", "--opt-workers=1"),
    "dask": ("--opt-backend=dask", "--opt-workers=1"),
    "xdist": ("-n", "2"),
}


@pytest.mark.slow
@pytest.mark.parametrize("backend", BESIDE)
def test_ctrl_c_in_a_terminal_reaches_all_processes_and_each_saves(backend, sessions):
    """A terminal interrupts the whole process group."""
    pytest.importorskip("distributed")
    process = sessions.start(*BESIDE[backend])
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=100)
    assert process.returncode == pytest.ExitCode.INTERRUPTED, output
    assert_goes_on(sessions)


ENDS = [("process", "SIGTERM"), ("xdist", "SIGTERM")]  # Dask's session ends its children as after Ctrl-C
ENDS += [(backend, "SIGKILL") for backend in BESIDE]


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "name"), ENDS)
def test_whatever_ends_the_session_itself_the_others_save(backend, name, sessions):
    pytest.importorskip("distributed")
    process = sessions.start(*BESIDE[backend])
    process.send_signal(getattr(signal, name))
    process.communicate(timeout=100)  # until all of its processes have ended, which hold the pipe
    assert process.returncode != 0
    assert_goes_on(sessions)
