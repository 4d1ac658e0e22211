"""An empty data folder for every test, and datasets that expect a handful of examples."""

from __future__ import annotations

from dataclasses import replace

import pytest

from optsuite.data import DATASETS

from .published import NUM_TEST, NUM_TRAIN


@pytest.fixture(autouse=True)
def data_folder(tmp_path, monkeypatch):
    """An empty data folder, and no dataset found elsewhere on the machine."""
    monkeypatch.setenv("OPTSUITE_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("OPTSUITE_DATA", raising=False)
    for name, info in list(DATASETS.items()):
        monkeypatch.setitem(DATASETS, name, replace(info, system_folders=()))
    return tmp_path


@pytest.fixture
def shrink(monkeypatch):
    """Make a dataset expect NUM_TRAIN and NUM_TEST examples."""

    def apply(name):
        small = replace(DATASETS[name], num_train=NUM_TRAIN, num_test=NUM_TEST)
        monkeypatch.setitem(DATASETS, name, small)
        return small

    return apply
