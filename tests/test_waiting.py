"""Threads of a session's process spin briefly while they wait, unless the user says how they wait."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from optsuite._waiting import short_spins

VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
PYTHON = ["-c", "import optsuite; optsuite.get_task('ImageMLP_Mnist_128x128x128_Relu')"]
COMMAND = ["-m", "optsuite", "sets"]
SESSION = ["-m", "pytest", "-s", "-p", "no:cacheprovider", "--opt-plan", "test_benchmark.py"]


def told_by_openmp(words, folder, **variables):
    """Return what OpenMP says on its start that it does in a process of these words."""
    kept = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    environment = kept | {"OMP_DISPLAY_ENV": "verbose", "OPTSUITE_DATA": "synthetic"} | variables
    (folder / "test_benchmark.py").write_text("def test_benchmark(cell_config): pass\n")
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    found = [line for line in (done.stdout + done.stderr).splitlines() if "GOMP_SPINCOUNT" in line]
    assert found, done.stdout + done.stderr
    return found[0].rpartition("=")[2].strip(" '")


@pytest.mark.skipif(sys.platform != "linux", reason="another OpenMP says other things")
@pytest.mark.parametrize("words", [PYTHON, COMMAND, SESSION], ids=["python", "command", "session"])
def test_threads_spin_briefly(words, tmp_path):
    assert told_by_openmp(words, tmp_path) == "1000"


@pytest.mark.skipif(sys.platform != "linux", reason="another OpenMP says other things")
def test_threads_wait_as_the_user_says(tmp_path):
    assert told_by_openmp(PYTHON, tmp_path, GOMP_SPINCOUNT="7") == "7"


@pytest.mark.parametrize("name", VARIABLES)
def test_any_variable_of_the_user_counts(name, monkeypatch):
    for other in VARIABLES:
        monkeypatch.delenv(other, raising=False)
    assert short_spins() == {"GOMP_SPINCOUNT": "1000"}
    monkeypatch.setenv(name, "0")
    assert short_spins() == {}


def test_a_process_that_has_loaded_torch_is_left_alone():
    program = "import os, torch, optsuite; optsuite.get_task; print(os.environ.get('GOMP_SPINCOUNT'))"
    kept = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    done = subprocess.run(
        [sys.executable, "-c", program], env=kept, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "None"
