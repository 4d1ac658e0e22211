"""Every test here runs on small stand-ins."""

from __future__ import annotations

import pytest

from .own import OWN


@pytest.fixture(autouse=True)
def use_small_data(small_data):
    """Give small stand-ins to every test."""


@pytest.fixture
def own_file(tmp_path, monkeypatch):
    """A folder with a user's file of optimizer classes, to work in."""
    (tmp_path / "own.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
