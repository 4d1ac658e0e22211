"""Archiving a cell."""

from __future__ import annotations

import numpy as np
from cells import CPU, TASK, run, run_cell

from optsuite import storage
from optsuite.archives import load_archive
from optsuite.hparam_sets import Config, Family, get_hparam_set, register_family
from optsuite.runner import archive_cell
from optsuite.sweep import Cell


def test_a_complete_cell_alone_is_archived(cell, roots, store):
    first, _ = cell.hparam_set.configs
    list(run_cell(cell, [first], roots=roots, mode="synthetic", device=CPU))
    assert archive_cell(cell, "synthetic", store) is None
    run(cell, roots)
    assert archive_cell(cell, "synthetic", store) == f"{store.archives}/{TASK}/TinyLR_2_R2.npz"
    assert load_archive(TASK, "TinyLR_2_R2", root=store.archives)["train/loss"].shape == (2, 2, 3)


def test_an_archive_holds_the_trials_of_its_own_cell(roots, store):
    """Two families may use one label, and so one folder, for different hyperparameters."""
    for name, momentum in (("OneLR", 0.5), ("TwoLR", 0.9)):
        config = Config("Same", "SGDM", {"lr": 0.1, "momentum": momentum})
        register_family(Family(name, "Same", lambda config=config: [config]))
    cells = [Cell(TASK, get_hparam_set(f"{name}_2_R1")) for name in ("OneLR", "TwoLR")]
    losses = []
    for cell in cells:
        (curve,) = run(cell, roots).values()
        losses.append(curve["train/loss"])
    assert not np.array_equal(*losses)
    for cell, loss in zip(cells, losses, strict=True):
        url = archive_cell(cell, "synthetic", store)
        np.testing.assert_array_equal(storage.read_npz(url)["train/loss"][0, 0], loss)
