"""Archives that are built while other processes write curves are complete or absent."""

from __future__ import annotations

import subprocess
import sys

from examples import REPOSITORY
from test_archives import LABELS, TASK, build

from optsuite import archives, storage

ROUNDS = 8

PROGRAM = f"""
import sys, warnings
sys.path[:0] = [{str(REPOSITORY)!r}, {str(REPOSITORY / "tests")!r}]
from test_archives import LABELS, build, curves, example
warnings.simplefilter("error")
what, root = sys.argv[1:]
for number in range({ROUNDS}):
    for label in LABELS:
        for seed in (0, 1):
            if what == "build":
                build(root)
            else:
                curves.write_curve(example(label, seed, value=number), root, replace=True)
"""


def start(what, root):
    return subprocess.Popen([sys.executable, "-c", PROGRAM, what, root])


def assert_complete(archive):
    """All trials in their places, and each of one curve."""
    assert archive["opt_name"].tolist() == [[label] * 2 for label in LABELS]
    assert archive["seed"].tolist() == [[0, 1]] * 3
    number_HS = archive["train/loss"][..., :1]
    for key, array in archive.items():
        if key == "train/loss" or (key.startswith("eval/") and key.count("/") == 2):
            assert (array == number_HS).all(), key


def test_archives_are_complete_or_absent(tmp_path):
    root = str(tmp_path)
    others = [start(what, root) for what in ("write", "write", "build")]
    num_seen = 0
    while any(other.poll() is None for other in others):
        url = build(root)
        there = storage.exists(storage.archive_path(TASK, "SGDLR_20_R2", f"{root}/archives"))
        assert there or url is None
        if there:
            assert_complete(archives.load_archive(TASK, "SGDLR_20_R2", f"{root}/archives"))
            num_seen += 1
    assert [other.returncode for other in others] == [0, 0, 0]
    assert num_seen
    archive = storage.read_npz(build(root))
    assert_complete(archive)
    assert (archive["train/loss"] == ROUNDS - 1).all()
    names = sorted(path.name for path in tmp_path.rglob("*.curves"))
    assert names == sorted(archive["curve_file"].ravel().tolist())
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith((".tmp", ".bad"))]
