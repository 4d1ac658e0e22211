"""Fixtures of many tests."""

from __future__ import annotations

from dataclasses import replace

import pytest

from optsuite.data import DATASETS


@pytest.fixture(scope="session")
def small_data_folder(tmp_path_factory):
    """An empty folder: what is loaded is kept by folder, so it keeps the small sets from the others."""
    return tmp_path_factory.mktemp("small")


@pytest.fixture
def small_data(small_data_folder, monkeypatch):
    """Stand-ins of a few thousand images, which take no time to generate."""
    monkeypatch.setenv("OPTSUITE_DATA_DIR", str(small_data_folder))
    monkeypatch.delenv("OPTSUITE_DATA", raising=False)
    for name, info in list(DATASETS.items()):
        monkeypatch.setitem(DATASETS, name, replace(info, num_train=2000, num_test=500))
