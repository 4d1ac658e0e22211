"""Every test here runs on small stand-ins."""

from __future__ import annotations

import pytest

from optsuite.trainer._programs import _shared_by_cells

from .own import OWN


@pytest.fixture(autouse=True)
def use_small_data(small_data):
    """Give small stand-ins to every test."""


@pytest.fixture(autouse=True)
def compile_anew():
    """Let no test run what another one has compiled."""
    _shared_by_cells.cache_clear()
    yield
    _shared_by_cells.cache_clear()


@pytest.fixture
def own_file(tmp_path, monkeypatch):
    """A folder with a user's file of optimizer classes, to work in."""
    (tmp_path / "own.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
