"""pytest and `optsuite run` leave the same files."""

from __future__ import annotations

import re

import numpy as np
import pytest

from optsuite.cli import main
from optsuite.storage import read_npz

from .conftest import TASK, text

ADAM = "AdamLR_10_R1"
MEASURED = {"seconds_per_step", "peak_memory_bytes", "curve_file"}
"""Keys of curves and archives that hold times, or the space that this process takes besides."""


class Faces:
    """Runs the same cell from either face, each into a root of its own."""

    def __init__(self, bench, capsys):
        self._bench, self._capsys = bench, capsys
        self.roots = [bench.path / "pytest", bench.path / "command"]

    def run(self):
        """Run both; what they said."""
        options = ("--opt-preset=full", "--opt-device=cpu")
        by_pytest = self._bench.run(*options, sets=ADAM, storage="pytest/curves", report="on")
        self._capsys.readouterr()
        storage = self.roots[1] / "curves"
        main(["run", TASK, ADAM, f"--storage={storage}", "--data=synthetic", "--device=cpu"])
        return text(by_pytest), " ".join(self._capsys.readouterr().out.split())

    def assert_the_same_files(self):
        by_pytest, by_command = ({plain(p, root): p for p in files(root)} for root in self.roots)
        assert by_pytest.keys() == by_command.keys()
        for name, path in by_pytest.items():
            other = by_command[name]
            if path.suffix in (".curves", ".npz"):
                assert_same_arrays(read_npz(str(path)), read_npz(str(other)))
            elif path.suffix == ".html":
                assert words(path, self.roots[0]) == words(other, self.roots[1])
            else:
                assert path.read_bytes() == other.read_bytes(), name
        return sorted(by_pytest)


@pytest.fixture
def faces(bench, capsys):
    return Faces(bench, capsys)


def files(root):
    return [path for path in root.rglob("*") if path.is_file()]


def plain(path, root):
    """A path without the times in its name, and without what tells pages apart."""
    return re.sub(r"\d{8}_\d{6}_(?:\w{4}(?=/))?", "TIME_", str(path.relative_to(root)))


def assert_same_arrays(one, other):
    assert one.keys() == other.keys()
    for key in one.keys() - MEASURED:
        np.testing.assert_array_equal(one[key], other[key], key)


def words(path, root):
    """The page without times, places and what was typed."""
    page = path.read_text().replace(str(root), "ROOT")
    page = re.sub(r'\d{4}-\d\d-\d\d \d\d:\d\d[^<"]*|\d+ (?:s|min)\b', "TIME", page)
    page = re.sub(r"(?:pytest|optsuite) [^<]*--[^<]*", "COMMAND", page)
    page = re.sub(r'("seconds":)[\d.e-]+', r"\1SPEED", page)  # of a step, in the data of charts
    return re.sub(r'(data-order=")[\d.e+-]+(">)[\d.,]+(?=</td>\s*<td[^>]*>1</td>)', r"\1SPEED\2SPEED", page)


def test_they_leave_the_same_files(faces):
    for words in faces.run():
        assert "complete cells archived: 1" in words
    names = faces.assert_the_same_files()
    assert {name.partition("/")[0] for name in names} == {
        "curves_synthetic",
        "curves_archives_synthetic",
        "curves_reports",
    }
    assert f"curves_archives_synthetic/speedup_over_adam_{ADAM.partition('_')[2]}.json" in names
    assert len([name for name in names if name.endswith(".curves")]) == 15
    assert len([name for name in names if name.endswith("report.html")]) == 1


def test_neither_counts_an_older_archive_of_a_cell_that_lost_a_curve(faces):
    faces.run()
    for root in faces.roots:
        curve = next(path for path in files(root) if path.suffix == ".curves" and "lr0.1" in str(path))
        curve.write_bytes(b"damaged")
        for page in root.rglob("report.html"):
            page.unlink()
    for words in faces.run():
        assert "complete cells archived: 0" in words
    told = []
    for root in faces.roots:
        (page,) = root.rglob("report.html")
        gaps = re.search(r'<section id="gaps">(.*?)</section>', page.read_text(), re.DOTALL)[1]
        assert f"<li>{TASK}-{ADAM}</li>" in gaps
        told.append(gaps.replace(str(root), "ROOT"))
    advice = [re.sub("--(?:opt-)?rerun", "--rerun", words) for words in told]
    assert re.sub(r"\d{8}_\d{6}", "", advice[0]) == re.sub(r"\d{8}_\d{6}", "", advice[1])
