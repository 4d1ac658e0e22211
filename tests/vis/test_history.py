"""The history of a store, night by night."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from optsuite import vis


@pytest.fixture(autouse=True)
def new_figures_without_pyplot():
    with vis.without_pyplot():
        yield


def history(num_nights, num_cells=1, device="cpu"):
    return pd.DataFrame(
        {
            "night": f"2026-01-{night + 1:02}T02:00:00+00:00",
            "task": f"Task{cell}",
            "set": "AdamLR_20_R5",
            "data_source": "real",
            "device": device,
            "best_loss": 0.5 + 0.01 * night * (cell + 1),
            "seconds_per_step": 1e-3 if night else np.nan,
        }
        for night in range(num_nights)
        for cell in range(num_cells)
    )


def labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_nights_are_drawn_against_their_median():
    losses, seconds = vis.draw_history(history(3)).flat
    np.testing.assert_allclose(losses.lines[0].get_ydata(), [-100 * 0.01 / 0.51, 0, 100 * 0.01 / 0.51])
    np.testing.assert_allclose(seconds.lines[0].get_ydata(), [np.nan, 0, 0])
    assert [tick.get_text() for tick in losses.get_xticklabels()] == ["01-01", "01-02", "01-03"]


def test_the_cells_that_vary_most_are_named():
    losses, _ = vis.draw_history(history(4, num_cells=10)).flat
    assert labels(losses) == [f"Task{cell}\nAdamLR_20_R5" for cell in (9, 8, 7, 6, 5, 4)]
    assert len(losses.lines) == 11


def test_times_of_several_devices_are_lines_of_their_own():
    moved = pd.concat([history(2), history(4, device="cuda")[2:]], ignore_index=True)
    losses, seconds = vis.draw_history(moved).flat
    assert (len(losses.lines), len(seconds.lines)) == (2, 3)


def test_one_night_has_a_figure():
    assert vis.render(vis.draw_history(history(1)), "png").startswith(b"\x89PNG")
