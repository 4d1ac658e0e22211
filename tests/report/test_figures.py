"""The figures: their files, drawn only if their inputs change; a broken one costs itself only."""

from __future__ import annotations

import re

import matplotlib as mpl
import numpy as np
import pytest
from examples import make_archive
from matplotlib import pyplot as plt

from optsuite import archives, report, vis
from optsuite.normalizers import Normalizer
from optsuite.report import _figures

from .conftest import SETS
from .pages import Page

NORMALIZERS = {"speedup": {task: Normalizer([0, 10, 20], [3, 2, 1]) for task in ("T", "U")}}


@pytest.fixture
def write(tmp_path, read):
    """Reads the archives, writes the page and gives its problems."""

    def write(results=None, **arguments):
        url = str(tmp_path / "report.html")
        return report.write_report(url, read() if results is None else results, **arguments).problems

    return write


@pytest.fixture
def cells(add):
    """Two tasks by two sets, on real data."""
    for task in ("T", "U"):
        for hparam_set in SETS:
            add(task, hparam_set, data_source="real")


def names(drawn):
    """Which plots were drawn, and forgets them."""
    listed = [(name, sorted({task for task, _ in cells})) for name, cells in drawn]
    drawn.clear()
    return listed


def drawings(page):
    """Number of the figures in a page; of the others it shows charts."""
    return page.html.count('<svg role="img"')


EVERYTHING = [
    ("draw_final_losses", ["T", "U"]),
    ("draw_normalized", ["T", "U"]),
    ("draw_curves", ["T"]),
    ("draw_lr_sensitivity", ["T"]),
    ("draw_curves", ["U"]),
    ("draw_lr_sensitivity", ["U"]),
]


def files(folder):
    """Names of the files, without the fingerprints that they end in."""
    return sorted(re.sub(r"-[0-9a-f]{8}(?=\.)", "", path.name) for path in folder.iterdir())


@pytest.mark.usefixtures("cells")
def test_every_figure_is_an_svg_and_a_png(write, drawn, tmp_path):
    assert write(normalizers=NORMALIZERS) == []
    assert names(drawn) == EVERYTHING
    stems = ["T-curves", "T-lr", "U-curves", "U-lr", "final-losses", "speedup"]
    expected = [f"{stem}.{kind}" for stem in stems for kind in ("png", "svg")]
    assert files(tmp_path / "figures") == expected


def test_stand_ins_have_figures_of_their_own(add, write, read, root, drawn, tmp_path):
    add(data_source="real")
    add(root=f"{root}_synthetic")
    assert write([*read(), *read(root=f"{root}_synthetic")]) == []
    assert len(drawn) == 4
    svgs = [name for name in files(tmp_path / "figures") if name.endswith(".svg")]
    assert svgs == ["T-curves-stand-in.svg", "T-curves.svg", "T-lr-stand-in.svg", "T-lr.svg"]


def test_losses_that_are_no_function_of_the_rate_have_no_such_figure(write, root, drawn):
    settings = {f"SGD_r{n}": {"lr": 0.1 * n, "momentum": 0.2 * n} for n in (1, 2)}
    archives.write_archive("T", "SGDRandom2_20_R2", make_archive(settings), root)
    assert write() == []
    assert names(drawn) == [("draw_curves", ["T"])]


def test_figures_are_told_of_missing_cells(add, write, read, drawn):
    add(data_source="real")
    assert write(read("T", SETS)) == []
    assert ("draw_curves", [("T", SETS[0]), ("T", SETS[1])]) in drawn
    assert ("draw_final_losses", [("T", SETS[0]), ("T", SETS[1])]) in drawn


def test_a_task_that_all_diverged_has_no_figures(add, write, drawn):
    add(loss=np.nan)
    assert write() == []
    assert drawn == []


def test_a_normalizer_of_other_tasks_has_no_figure(add, write, drawn):
    add("V")
    assert write(normalizers=NORMALIZERS) == []
    assert "draw_normalized" not in dict(drawn)


@pytest.mark.usefixtures("cells")
def test_the_same_results_are_not_drawn_again(write, drawn, tmp_path):
    write(normalizers=NORMALIZERS)
    page = (tmp_path / "report.html").read_text()
    drawn.clear()
    assert write(normalizers=NORMALIZERS) == []
    assert drawn == []
    again = (tmp_path / "report.html").read_text()
    assert [line for line in again.splitlines() if "<svg" in line] == [
        line for line in page.splitlines() if "<svg" in line
    ]


@pytest.mark.usefixtures("cells")
def test_what_changed_is_drawn_again(write, drawn, add):
    write(normalizers=NORMALIZERS)
    drawn.clear()
    add("U", SETS[0], loss=0.5, data_source="real")
    write(normalizers=NORMALIZERS)
    assert names(drawn) == [one for one in EVERYTHING if "U" in one[1]]
    write(normalizers=NORMALIZERS)
    assert names(drawn) == []
    write(normalizers={"speedup": {**NORMALIZERS["speedup"], "T": Normalizer([0, 9, 20], [3, 2, 1])}})
    assert names(drawn) == [("draw_normalized", ["T", "U"])]


@pytest.mark.usefixtures("cells")
@pytest.mark.parametrize("package", ["optsuite", "matplotlib", "seaborn"])
def test_other_versions_draw_again(write, drawn, monkeypatch, package):
    write()
    drawn.clear()
    version = _figures.package_version
    newer = lambda name: "99" if name == package else version(name)  # noqa: E731
    monkeypatch.setattr(_figures, "package_version", newer)
    monkeypatch.setattr(_figures, "_artists", _figures._artists.__wrapped__)
    write()
    assert len(drawn) == 5


@pytest.mark.usefixtures("cells")
def test_edited_code_of_plots_draws_again(write, drawn, monkeypatch, tmp_path):
    monkeypatch.setattr(_figures, "_artists", _figures._artists.__wrapped__)
    write()
    drawn.clear()
    write()
    assert drawn == []
    code = tmp_path / "vis"
    code.mkdir()
    (code / "_style.py").write_text("GRID = 0")
    monkeypatch.setattr(_figures.resources, "files", lambda package: code)
    write()
    assert len(drawn) == 5
    (code / "_style.py").write_text("GRID = 1")
    write()
    assert len(drawn) == 10


@pytest.mark.usefixtures("cells")
def test_pages_of_other_selections_have_files_of_their_own(write, read, drawn, tmp_path):
    """An older page keeps its figures, and going back and forth draws nothing."""

    def links(sets):
        write(read("T", sets))
        return {href for href in Page((tmp_path / "report.html").read_text()).hrefs if "T-curves" in href}

    one, both = links(SETS[0]), links(SETS)
    contents = {href: (tmp_path / href).read_bytes() for href in one | both}
    assert len(contents) == 4
    drawn.clear()
    assert [links(SETS[0]), links(SETS)] == [one, both]
    assert drawn == []
    assert contents == {href: (tmp_path / href).read_bytes() for href in one | both}


@pytest.mark.usefixtures("cells")
@pytest.mark.parametrize("kind", ["svg", "png"])
def test_a_lost_file_is_drawn_again(write, drawn, tmp_path, kind):
    write()
    drawn.clear()
    (file,) = (tmp_path / "figures").glob(f"T-lr-*.{kind}")
    file.unlink()
    assert write() == []
    assert names(drawn) == [("draw_lr_sensitivity", ["T"])]


@pytest.mark.usefixtures("cells")
@pytest.mark.parametrize("content", [b"", b"<svg><g>", b"<svg></svg><", b"\xff", b"<html></html>"])
def test_a_file_that_is_not_whole_is_drawn_again(write, drawn, tmp_path, content):
    write()
    drawn.clear()
    (file,) = (tmp_path / "figures").glob("T-lr-*.svg")
    whole = file.read_bytes()
    file.write_bytes(content)
    assert write() == []
    assert names(drawn) == [("draw_lr_sensitivity", ["T"])]
    assert file.read_bytes() == whole


@pytest.mark.usefixtures("cells")
def test_a_broken_figure_is_a_problem_and_costs_itself_only(write, drawn, tmp_path, monkeypatch):
    def broken(results, **options):
        raise ZeroDivisionError("<by> zero")

    monkeypatch.setattr(vis, "draw_curves", broken)
    assert write() == [
        "figure T-curves: ZeroDivisionError: <by> zero",
        "figure U-curves: ZeroDivisionError: <by> zero",
    ]
    page = Page((tmp_path / "report.html").read_text())
    assert page.text["tasks"].count("This figure could not be drawn: ZeroDivisionError: <by> zero") == 2
    assert drawings(page) == 1
    assert not any("T-curves" in href for href in page.hrefs)
    assert "T-curves.svg" not in files(tmp_path / "figures")


@pytest.mark.usefixtures("cells", "drawn")
def test_figures_that_cannot_be_written_are_on_the_page_all_the_same(write, tmp_path):
    (tmp_path / "file").touch()
    (problem,) = write(figures_url=f"{tmp_path}/file/figures")
    assert problem.startswith(
        f"5 figures on the page only: cannot write `{tmp_path}/file/figures/final-losses-"
    )
    page = Page((tmp_path / "report.html").read_text())
    assert drawings(page) == 1
    assert "could not be drawn" not in page.html
    assert all(href.startswith(("#", "file:///")) for href in page.hrefs)
    assert "Figures" not in page.text["files"]


@pytest.mark.usefixtures("drawn")
@pytest.mark.parametrize(
    ("figures_url", "link"),
    [
        ("{folder}/plots/", "plots/T-lr"),
        ("{folder}/../plots", "../plots/T-lr"),
        ("memory://links/plots", "memory://links/plots/T-lr"),
    ],
)
def test_a_page_links_to_its_figures(add, write, tmp_path, figures_url, link):
    add(data_source="real")
    assert write(figures_url=figures_url.format(folder=tmp_path)) == []
    hrefs = Page((tmp_path / "report.html").read_text()).hrefs
    assert any(re.fullmatch(rf"{re.escape(link)}-[0-9a-f]{{8}}\.svg", href) for href in hrefs)


@pytest.mark.usefixtures("cells")
def test_the_real_plots_fit_a_page(write, tmp_path, add):
    """With `vis` itself: ids that meet nowhere, the colours of the page, text that stays text."""
    add("U", SETS[1], loss=np.nan, data_source="real")
    assert write(normalizers=NORMALIZERS) == []
    page = Page((tmp_path / "report.html").read_text())
    assert drawings(page) == 2
    assert len(page.ids) == len(set(page.ids))
    assert {href[1:] for href in page.hrefs if href.startswith("#")} <= set(page.ids)
    assert f"fill: {vis.INK}" not in page.html
    assert f"stroke: {vis.GRID}" not in page.html
    assert "fill: currentColor" in page.html
    assert "stroke: var(--grid)" in page.html
    assert "final training loss" in page.text["overview"]
    (svg,), (png,) = ((tmp_path / "figures").glob(f"T-lr-*.{kind}") for kind in ("svg", "png"))
    assert f"fill: {vis.INK}" in svg.read_text()
    assert png.read_bytes().startswith(b"\x89PNG")
    assert page.html.count(svg.name) == page.html.count(png.name) == 1


@pytest.mark.usefixtures("cells")
def test_the_plots_need_no_backend_and_leave_pyplot_alone(write, monkeypatch):
    monkeypatch.setitem(mpl.rcParams, "backend", "module://not_installed")
    monkeypatch.setattr(plt, "_backend_mod", None)  # as before the first figure
    assert write() == []
    assert mpl.rcParams["backend"] == "module://not_installed"
    assert plt.get_fignums() == []
