"""Archiving a cell."""

from __future__ import annotations

import numpy as np
import pytest
from cells import CPU, TASK, run, run_cell

from optsuite import storage
from optsuite.archives import load_archive
from optsuite.hparam_sets import Config, Family, _families, get_hparam_set, register_family, register_grid
from optsuite.runner import archive_cell
from optsuite.sweep import Cell


def test_a_complete_cell_alone_is_archived(cell, roots, store):
    first, _ = cell.hparam_set.configs
    list(run_cell(cell, [first], roots=roots, mode="synthetic", device=CPU))
    built = archive_cell(cell, "synthetic", store)
    assert built.url is None
    assert built.why == "it lacks 2 of 4 curves: SGD_lr0.1 repetition 0, SGD_lr0.1 repetition 1"
    run(cell, roots)
    assert archive_cell(cell, "synthetic", store).url == f"{store.archives}/{TASK}/TinyLR_2_R2.npz"
    assert load_archive(TASK, "TinyLR_2_R2", root=store.archives)["train/loss"].shape == (2, 2, 3)


def test_an_archive_holds_the_trials_of_its_own_cell(roots, store, monkeypatch):
    """Families of two sessions may use one label, and so one folder, for different hyperparameters."""
    families, sessions = dict(_families._FAMILIES), []
    for name, momentum in (("OneLR", 0.5), ("TwoLR", 0.9)):
        monkeypatch.setattr(_families, "_FAMILIES", dict(families))
        config = Config("Same", "SGDM", {"lr": 0.1, "momentum": momentum})
        register_family(Family(name, "Same", lambda config=config: [config]))
        cell = Cell(TASK, get_hparam_set(f"{name}_2_R1"))
        (curve,) = run(cell, roots).values()
        sessions.append((_families._FAMILIES, cell, curve["train/loss"]))
    assert not np.array_equal(*(loss for _, _, loss in sessions))
    for registered, cell, loss in sessions:
        monkeypatch.setattr(_families, "_FAMILIES", registered)
        url = archive_cell(cell, "synthetic", store).url
        np.testing.assert_array_equal(storage.read_npz(url)["train/loss"][0, 0], loss)


@pytest.mark.parametrize(
    ("first", "second", "edited"),
    [
        ("B=SGDM(lr=0.1|0.2, momentum=0.9)", "B=SGDM(lr=0.1|0.2, momentum=0.5)", "B_lr0.1, B_lr0.2"),
        ("B=SGD(lr=0.1)", "B=Adam(lr=0.1)", "B"),
    ],
)
def test_an_archive_of_an_edited_grid_says_so(first, second, edited, roots, store, monkeypatch):
    families = dict(_families._FAMILIES)
    for grid in (first, second):
        monkeypatch.setattr(_families, "_FAMILIES", dict(families))
        register_grid(grid)
        cell = Cell(TASK, get_hparam_set("B_2_R1"))
        run(cell, roots)
        if grid == first:
            archive_cell(cell, "synthetic", store)
    with pytest.warns(UserWarning, match=f"held {edited} with other hyperparameters, and holds those of the"):
        archive_cell(cell, "synthetic", store)
    archive_cell(cell, "synthetic", store)  # which has no more to say
