"""Verdicts on optimizers whose truth is known, twenty times with seeds of their own."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from optsuite import archives
from optsuite.cli import main
from optsuite.data import DATASETS
from optsuite.hparam_sets import _families, register_grid
from optsuite.verdict import judge

from .values import TASKS

pytestmark = pytest.mark.slow

STEPS, SEEDS, REPETITIONS = 100, 5, 20

GRIDS = {
    "Tuned": "Adam(lr=0.001|0.003|0.01|0.03|0.1|0.3)",
    "Mine": "torch.optim:Adam(lr=0.001|0.003|0.01|0.03|0.1|0.3)",
    "Descent": "SGD(lr=0.03|0.1|0.3|1)",
}


@pytest.fixture(scope="module")
def roots(tmp_path_factory, small_data_folder):
    """Roots of archives of five seeds: of Adam, torch's Adam under another name, half of Adam's grid, SGD."""
    folder = tmp_path_factory.mktemp("truth")
    parts = [f"{folder}/{i}" for i in range(REPETITIONS)]
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("OPTSUITE_DATA_DIR", str(small_data_folder))
        monkeypatch.setattr(_families, "_FAMILIES", dict(_families._FAMILIES))
        for name, info in list(DATASETS.items()):
            monkeypatch.setitem(DATASETS, name, replace(info, num_train=2000, num_test=500))
        for family, grid in GRIDS.items():
            register_grid(f"{family}={grid}")
            arrays = trained(f"{folder}/curves", f"{family}_{STEPS}_R{SEEDS * REPETITIONS}")
            share_out(arrays, parts, family)
            if family == "Tuned":  # the learning rates 0.003, 0.03 and 0.3
                share_out({key: values[1::2] for key, values in arrays.items()}, parts, "Half")
    return parts


def trained(root, name):
    """Train a set; return its archive."""
    options = ("--data", "synthetic", "--storage", root, "--report", "off")
    assert main(["run", TASKS[0], name, *options]) == 0
    return archives.load_archive(TASKS[0], name, f"{root}_archives_synthetic")


def share_out(arrays, parts, family):
    """Split an archive by its seeds."""
    for i, part in enumerate(parts):
        seeds = slice(i * SEEDS, (i + 1) * SEEDS)
        some = {key: values[:, seeds] for key, values in arrays.items()}
        archives.write_archive(TASKS[0], f"{family}_{STEPS}_R{SEEDS}", some, part)


def outcomes(of, roots):
    return Counter(judge(of, ["Tuned"], root=root).outcome for root in roots)


def test_adam_under_another_name_makes_no_difference(roots):
    """At 95 % each, fewer than 17 of 20 would be a chance of 2 %."""
    assert outcomes("Mine", roots)["no difference"] >= 17


def test_adam_with_half_its_grid_makes_no_difference(roots):
    """The half has the best learning rate of the whole, as it does not lie at random."""
    assert outcomes("Half", roots)["no difference"] >= 17


def test_sgd_is_worse(roots):
    assert outcomes("Descent", roots)["worse"] >= 19
