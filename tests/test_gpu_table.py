"""The measurement that is to run where there is a GPU runs here too, as far as a CPU goes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu_table.py"


def table_of(folder, *options):
    """Run it; gives its exit status and what it wrote."""
    command = [sys.executable, SCRIPT, "--device", "cpu", "--quick", "--out", folder, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (folder / "gpu_table.json").exists(), done.stderr
    return done.returncode, json.loads((folder / "gpu_table.json").read_text())


@pytest.mark.slow
def test_a_cell_is_measured_and_written(tmp_path):
    status, table = table_of(tmp_path)
    assert status == 0
    plain, eager = table["rows"]
    assert plain["ratio"] == 1
    assert eager["ratio"] == pytest.approx(plain["us"] / eager["us"])
    assert eager["cell_s"] > 75 * 10_001 * eager["us"] / 1e6
    assert eager["time_share"] > 0
    assert {"torch", "machine", "commit", "date"} <= table.keys()
    *_, last = (tmp_path / "gpu_table.md").read_text().splitlines()
    assert last.startswith("| ImageMLP_FashionMnist8_Relu32 | eager | float32 | 75 |")
    assert last.count("| - ") == 3  # memory, of which nothing is known here, and remarks


@pytest.mark.slow
def test_a_row_that_fails_is_a_row_with_its_error(tmp_path):
    status, table = table_of(tmp_path, "--tasks", "NoSuchTask")
    assert status == 1
    assert [row["way"] for row in table["rows"]] == ["plain", "eager"]
    assert all("NoSuchTask" in row["error"] for row in table["rows"])


def test_what_there_is_no_time_for_is_named(tmp_path):
    status, table = table_of(tmp_path, "--minutes", "0")
    assert status == 0
    assert {row["error"] for row in table["rows"]} == {"left out: no time"}
