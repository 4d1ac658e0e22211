"""Ctrl-C keeps what was recorded."""

from __future__ import annotations

import re
import signal
import subprocess
import sys

import pytest

from .conftest import EXTENSIONS, SET, TASKS, TASKS_GLOB

PROGRESS_AT_ONCE = """
from optsuite.plugin import _progress

_progress._PLAIN_SECONDS = 0
"""


# Where this suite runs in the background of a script, children would ignore Ctrl-C.
INTERRUPTIBLE = """
import signal
import sys

import pytest

signal.signal(signal.SIGINT, signal.default_int_handler)
sys.exit(pytest.main(sys.argv[1:]))
"""


@pytest.fixture
def interrupted(bench):
    """Interrupt a run while its second cell trains, as its progress shows; its exit code and output."""
    # A plugin of this process alone: what conftest.py changes, runs in the test's own process would keep.
    (bench.path / "progress_at_once.py").write_text(PROGRESS_AT_ONCE)
    plugins = ["-p", "no:hypothesispytest", "-p", "progress_at_once"]
    args = bench.args("-v", *plugins, "--opt-steps=500", tasks=TASKS_GLOB, report="on")
    command = [sys.executable, "-u", "-c", INTERRUPTIBLE, *args]
    lines, was_sent = [], False
    with subprocess.Popen(
        command, cwd=bench.path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        for line in process.stdout:
            lines.append(line)
            if line.startswith(TASKS[1]) and line.endswith("left\n") and not was_sent:
                process.send_signal(signal.SIGINT)
                was_sent = True
    return process.returncode, "".join(lines)


def test_the_cells_that_ended_are_recorded_archived_and_summarised(bench, interrupted):
    code, output = interrupted
    assert code == pytest.ExitCode.INTERRUPTED, output
    assert {path.relative_to(bench.path).parts[1] for path in bench.curve_files} == {TASKS[0]}
    assert len(bench.curve_files) == 4
    name = SET.replace("_10_", "_500_")
    assert bench.archive_files == [f"curves_archives_synthetic/{TASKS[0]}/{name}.npz"]
    assert "complete cells archived: 1" in output
    assert not (bench.path / "curves_reports").exists()  # who interrupts does not want to wait for figures
    assert "KeyboardInterrupt" in output
    assert "optsuite: SIGINT: saving what was trained, which takes some seconds; again to stop" in output
    assert re.search(rf"optsuite: training of `{TASKS[1]}` was stopped at step \d+ of 500 and saved", output)
    assert len(list(bench.path.rglob("*.state.npz"))) == 1
    assert "INTERNALERROR" not in output
    assert bench.run("--opt-steps=500", "--opt-plan", tasks=TASKS_GLOB).stdout.str().count("4 recorded") == 1


# Frames of compiled code may have no line numbers.
INTERRUPTED_THERE = """
from optsuite.backends import _local


def stop(*args, **kwargs):
    raise KeyboardInterrupt


stop.__code__ = stop.__code__.replace(co_linetable=b"")
_local.run_job = stop
"""


def test_an_interrupt_of_compiled_code_is_told_as_any_other(bench):
    bench.pytester.makeconftest(EXTENSIONS + INTERRUPTED_THERE)
    command = [sys.executable, "-m", "pytest", *bench.args("-p", "no:hypothesispytest")]
    done = subprocess.run(command, cwd=bench.path, capture_output=True, text=True, check=False)
    assert done.returncode == pytest.ExitCode.INTERRUPTED, done.stdout
    assert "INTERNALERROR" not in done.stdout + done.stderr
