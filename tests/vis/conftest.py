"""Figures are drawn without a display, and closed."""

import matplotlib as mpl
import pytest
from matplotlib import pyplot as plt

from tests.vis import synthetic

mpl.use("agg")


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture
def root(tmp_path):
    return str(tmp_path)


@pytest.fixture
def write(root):
    """Write an archive: `write(task, hparam set, loss_HSE, ...)`."""

    def write_below(*cell, **options):
        synthetic.write(root, *cell, **options)

    return write_below
