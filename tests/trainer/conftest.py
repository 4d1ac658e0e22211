"""Every test here runs on small stand-ins."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def use_small_data(small_data):
    """Ask for it in every test."""
