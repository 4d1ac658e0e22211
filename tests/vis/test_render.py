"""Figures as bytes."""

import io
import re

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt

from optsuite import vis


@pytest.fixture
def plot(root, write):
    loss_e = np.linspace(2, 1, 300) + 0.01 * np.random.default_rng(0).normal(size=(2, 300))
    write("Task", "SetA", loss_e[None], data_source="synthetic")
    write("Task", "SetB", loss_e[None] + 1)

    def draw(tasks="Task"):
        return vis.plot_tasks_and_sets(tasks, ["SetA", "SetB"], root=root)

    return draw


@pytest.mark.parametrize(("kind", "magic"), [("png", b"\x89PNG\r\n"), ("svg", b"<?xml")])
def test_bytes_are_of_the_format_and_the_same_every_time(plot, kind, magic):
    first = vis.render(plot(), kind)
    assert first.startswith(magic)
    assert vis.render(plot(), kind) == first


def test_figures_axes_and_grids_are_rendered(plot):
    ax = plot()
    assert vis.render(ax, "png") == vis.render(ax.figure, "png")
    assert vis.render(plot(["Task"]), "png").startswith(b"\x89PNG")
    subfigure = plt.figure().subfigures()
    assert vis.render(subfigure.subplots(), "png").startswith(b"\x89PNG")


def test_png_is_white_behind_and_svg_transparent(plot):
    image = plt.imread(io.BytesIO(vis.render(plot(), "png")))
    np.testing.assert_array_equal(image[0, 0], 1)
    svg = vis.render(plot(), "svg").decode()
    assert not re.search(r"fill: #ffffff(?!; stroke)", svg)


def test_svg_keeps_text_and_lines_and_draws_all_bands_as_one_image(plot):
    svg = vis.render(plot(), "svg").decode()
    for text in ("Task", "SetA", "SetB", "STAND-IN DATA", "training step"):
        assert f">{text}</text>" in svg
    assert svg.count("<image ") == 1
    assert len(svg) < 100_000


def test_ink_and_grid_of_an_svg_can_be_replaced(plot):
    svg = vis.render(plot(), "svg").decode()
    texts = re.findall(r"<text[^>]*>", svg)
    assert texts
    assert all(f"fill: {vis.INK}" in text for text in texts)
    # What is left: curves and their bands.
    strokes = set(re.findall(r"stroke: (#\w{6})", svg)) - {vis.INK, vis.GRID}
    assert len(strokes) == 2


def test_letters_that_no_font_has_are_no_warning(plot):
    ax = plot()
    ax.set_title("\N{GRINNING FACE}")
    assert vis.render(ax, "png").startswith(b"\x89PNG")  # warnings are errors here
    assert "\N{GRINNING FACE}" in vis.render(ax, "svg").decode()


def test_figures_without_pyplot_are_the_same_and_need_no_backend(plot, monkeypatch):
    expected = [vis.render(plot(tasks), "png") for tasks in ("Task", ["Task"])]
    plt.close("all")
    monkeypatch.setitem(mpl.rcParams, "backend", "module://not_installed")
    monkeypatch.setattr(plt, "_backend_mod", None)  # as before the first figure
    with pytest.raises(ModuleNotFoundError):
        plot()
    with vis.without_pyplot():
        assert [vis.render(plot(tasks), "png") for tasks in ("Task", ["Task"])] == expected
    assert plt.get_fignums() == []
    assert mpl.rcParams["backend"] == "module://not_installed"
    with pytest.raises(ModuleNotFoundError):  # only inside
        plot()


def test_other_formats_are_refused(plot):
    with pytest.raises(ValueError, match=r"`format` must be png or svg \(got 'pdf'\)"):
        vis.render(plot(), "pdf")
