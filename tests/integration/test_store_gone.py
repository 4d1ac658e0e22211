"""A store that goes in the middle of a session: one message, an end, and nothing recorded is lost."""

from __future__ import annotations

import pytest

from .conftest import EXTENSIONS, TASKS, TASKS_GLOB, text

# The disk of the second cell's curves is full.
FULL = f"""
import errno

replace_file = Path.replace


def full(self, target):
    name = str(target)
    if "{TASKS[1]}" in name and name.endswith(".curves") and "spool" not in name and "_probe_" not in name:
        raise OSError(errno.ENOSPC, "no space left on device")
    return replace_file(self, target)


Path.replace = full

from optsuite.storage import _patience

_patience.WRITING = _patience.READING = _patience.Patience(0.5, 30)
"""


@pytest.mark.slow
@pytest.mark.parametrize("args", [(), ("-n", "1"), ("--opt-backend=process", "--opt-workers=1")], ids=str)
def test_a_disk_that_is_full_ends_the_session(args, bench, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(bench.path / "cache"))
    bench.pytester.makeconftest(EXTENSIONS + FULL)
    asked = bench.args("-p", "no:hypothesispytest", *args, tasks=TASKS_GLOB)
    result = bench.pytester.runpytest_subprocess(*asked)
    assert result.ret != 0
    printed = text(result)
    assert "no space left on device" in printed
    assert "its curve is kept in" in printed
    assert "`optsuite upload`, takes curves from there" in printed
    assert "nothing more can be recorded" in printed
    assert "INTERNALERROR" not in printed
    in_store = [path for path in bench.curve_files if "spool" not in path.parts]
    assert TASKS[1] not in {path.parts[-4] for path in in_store}
    assert any("spool" in path.parts for path in bench.curve_files)
