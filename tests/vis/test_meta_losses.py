"""The losses of the training of a learned optimizer."""

from __future__ import annotations

import numpy as np
import pytest

from optsuite import vis


@pytest.fixture(autouse=True)
def new_figures_without_pyplot():
    with vis.without_pyplot():
        yield


def test_every_loss_is_drawn_and_an_average_through_them():
    losses = 1 + np.exp(-np.arange(500) / 100).astype(np.float32)
    ax = vis.draw_meta_losses(losses, title="Mine")
    each, average = ax.lines
    np.testing.assert_array_equal(each.get_ydata(), losses)
    assert average.get_ydata()[0] == losses[0]
    assert np.all(np.diff(average.get_ydata()) < 0)
    assert ax.get_title() == "Mine"
    assert ax.get_xlabel() == "outer step"
    assert not ax.texts


def test_a_training_of_one_step_has_a_plot_and_stand_ins_are_named():
    ax = vis.draw_meta_losses(np.ones(1, np.float32), is_stand_in=True)
    assert vis.render(ax, "png").startswith(b"\x89PNG")
    assert [text.get_text() for text in ax.texts] == ["STAND-IN DATA"]
