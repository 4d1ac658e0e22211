"""Mutated curves and archives give a named error or sound results, within bounds of memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from curve_examples import example, put
from examples import TASK, make_archive, sgd
from mutations import mutated

from optsuite import archives, curves, storage
from optsuite.archives import Absent
from optsuite.curves import Curve
from optsuite.errors import StorageError
from optsuite.statistics import read_cells, summarize_curves
from optsuite.storage import CorruptFileError
from optsuite.tables import archive_table, curves_table, summarize_results

COUNTS = [50, pytest.param(2500, marks=pytest.mark.slow)]
MOST_BYTES = 2**24  # at a time, of the files of a few KiB
SOME = 20  # of which one is shown in a table


@pytest.fixture(autouse=True)
def bounded(request):
    """Measure the memory that a few take; to trace it for all would take minutes."""
    if request.node.get_closest_marker("slow"):
        yield
        return
    tracemalloc.start()
    yield
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < MOST_BYTES


def attempt(read, *args):
    try:
        return read(*args)
    except StorageError as error:
        return error


@pytest.mark.parametrize("count", COUNTS)
def test_mutated_curves_are_corrupt_or_sound(count):
    root = f"memory://mutated_{count}"
    url = curves.write_curve(example(), root)
    content, rng = storage.read_bytes(url), np.random.default_rng(count)
    sound = 0
    for _ in range(count):
        put(url, mutated(content, rng))
        read = attempt(curves.read_curve, url)
        if isinstance(read, StorageError):
            assert isinstance(read, CorruptFileError)
            assert url in str(read)
            assert str(read).isprintable()
            continue
        curve = Curve(read)
        assert summarize_curves([curve, example()]).num_trials == 2
        assert (curve.task_name, curve.num_steps, curve["train/loss"].shape) == (TASK, 100, (101,))
        if sound % SOME == 0:
            curves_table("*", "*", root)
        sound += 1
    assert sound < count / 2


@pytest.mark.parametrize("count", COUNTS)
def test_mutated_archives_are_unreadable_or_sound(count):
    root, cell = f"memory://mutated_archives_{count}", (TASK, "SGDLR_20_R2")
    url = archives.write_archive(*cell, make_archive(sgd(0.1, 1)), root)
    content, rng = storage.read_bytes(url), np.random.default_rng(count)
    sound = 0
    for i in range(count):
        put(url, mutated(content, rng))
        (read,) = read_cells([cell], root)
        if i % SOME == 0:
            summarize_results([read])
        if isinstance(read, Absent):
            assert isinstance(read.error, CorruptFileError | archives.NotEvaluatedError)
            assert str(read.error).isprintable()
            continue
        if sound % SOME == 0:
            table = attempt(archive_table, *cell, root)
            assert url in str(table) if isinstance(table, StorageError) else len(table)
        sound += 1
    assert sound < count
