"""Settings of the benchmarks: measurements of speed run when their file is named."""

from __future__ import annotations

import pytest

# `pytest benchmarks` is the matrix; `pytest benchmarks/test_step_time.py` measures.
collect_ignore = ["test_step_time.py", "test_table_speed.py", "test_trainer_speed.py"]

_LINES = pytest.StashKey[list[str]]()


@pytest.fixture
def report_line(request):
    """Print a line in the summary at the end of the session."""
    return request.config.stash.setdefault(_LINES, []).append


def pytest_terminal_summary(terminalreporter, config):
    """Print the lines that benchmarks reported."""
    if lines := config.stash.get(_LINES, []):
        terminalreporter.section("measured")
        for line in lines:
            terminalreporter.write_line(line)
