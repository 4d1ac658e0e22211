"""The figures of a report: which there are, and their files.

The name of a file holds a hash of everything it was drawn from. So a user's sessions draw it once, and never
change it. A file that they did not draw is drawn again in its place.
"""

import hashlib
import html
import json
import re
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from functools import cache
from importlib import resources
from typing import NamedTuple, TypeAlias

import numpy as np
from matplotlib.axes import Axes

from optsuite import storage, vis
from optsuite.archives import Absent
from optsuite.curves import package_version
from optsuite.errors import StorageError
from optsuite.normalizers import Normalizer
from optsuite.report._charts import best_of
from optsuite.report._contents import Contents, Figure, Group
from optsuite.report._seal import seal, unsealed
from optsuite.report._words import shown
from optsuite.statistics import Results

_Cell: TypeAlias = Results | Absent
_ByTask: TypeAlias = Mapping[str, Normalizer]

_KINDS = ("svg", "png")
# Figures have a thousandth of it.
_MOST_BYTES = 64 * 2**20

_CURVES = "Training loss of the best config of each set: mean over seeds, within their range."
_LR = "Final training loss by learning rate."
_FINAL_LOSSES = "Final training loss of the best config of each set."
_NORMALIZED = "{}: training steps that the best baseline needs to reach the same loss."
_BEST_OF = "Final loss of the best of so many settings, drawn at random."
_PROFILES = "Performance profiles over tasks and seeds."
_RANKS = "Average rank over tasks; bars join optimizers that do not differ significantly."

_DIGITS = 8
"""Number of digits of the fingerprint in a file's name."""

_NOT_DRAWN = ("url", "store", "seeds", "schedule", "seconds_per_step", "flops_per_step")
"""Fields of cells that no figure shows."""


class _Drawing(NamedTuple):
    """Figure that is not drawn yet."""

    figure: Figure
    """The figure, without its markup and its files."""
    draw: Callable[..., Axes]
    inputs: Sequence[object]
    """Arguments of `draw`: cells, normalizers by task, numbers of a verdict."""
    options: Mapping[str, object]
    """Options of `draw`; with the inputs everything that is drawn."""


def make_figures(contents: Contents, normalizers: Mapping[str, _ByTask], folder: str) -> list[Figure]:
    """Draw the figures that are new, and read back the others.

    Results on real data and on stand-ins never share a figure.

    Args:
        contents: Cells with results, and cells without, which figures may mention; a verdict about them.
        normalizers: Normalizers by name, then by task.
        folder: Folder of the files.
    """
    there = _files_in(folder)
    drawings = [
        *_verdict_drawings(contents),
        *_drawings(contents, normalizers, False),
        *_drawings(contents, normalizers, True),
    ]
    return [_figure(drawing, folder, there, f"f{i}") for i, drawing in enumerate(drawings)]


def _verdict_drawings(contents: Contents) -> Iterator[_Drawing]:
    """Give the figures of a verdict over all of its tasks."""
    verdict = contents.verdict
    if verdict is None or not verdict.standings:
        return
    is_stand_in = any(key.is_stand_in for key in contents.entries)
    places = {"places": [contents.places[one.optimizer] for one in verdict.standings]}
    if len(verdict.scores):
        profiles = {one.optimizer: one.profile for one in verdict.standings}
        figure = Figure("profiles", _PROFILES, None, is_stand_in, chart="profiles")
        yield _Drawing(figure, vis.draw_profiles, [verdict.scores, profiles], places)
    if len({entry.task for entry in verdict.entries}) > 1:
        ranks = {one.optimizer: one.rank for one in verdict.standings}
        inputs = [ranks, verdict.rank_groups, verdict.ranks_differ]
        yield _Drawing(Figure("ranks", _RANKS, None, is_stand_in), vis.draw_ranks, inputs, places)


def _drawings(
    contents: Contents, normalizers: Mapping[str, _ByTask], is_stand_in: bool
) -> Iterator[_Drawing]:
    """Give the figures of one kind of data, those of single tasks last."""
    cells: Sequence[_Cell] = contents.cells
    tasks = {one.task: None for one in cells if isinstance(one, Results) and one.is_stand_in is is_stand_in}
    cells = [
        one
        for one in cells
        if one.task in tasks and (isinstance(one, Absent) or one.is_stand_in is is_stand_in)
    ]
    suffix = "-stand-in" if is_stand_in else ""

    def drawing(
        stem: str,
        caption: str,
        task: str | None,
        draw: Callable[..., Axes],
        inputs: Sequence[object],
        options: Mapping[str, object] | None = None,
        chart: str = "",
    ) -> _Drawing:
        return _Drawing(Figure(stem + suffix, caption, task, is_stand_in, chart), draw, inputs, options or {})

    if len(cells) > 1:
        labels = {"labels": _looks(contents, cells)["labels"]}
        yield drawing("final-losses", _FINAL_LOSSES, None, vis.draw_final_losses, [cells], labels)
    for name, by_task in normalizers.items():
        if covered := [one for one in cells if one.task in by_task]:
            needed = {one.task: by_task[one.task] for one in covered}
            caption, looks = _NORMALIZED.format(name), _looks(contents, covered)
            yield drawing(name, caption, None, vis.draw_normalized, [covered, needed], looks)
    for task in tasks:
        own = [one for one in cells if one.task == task]
        if all(isinstance(one, Absent) or one.best is None for one in own):
            continue  # nothing to draw, which the page says in words
        looks = _looks(contents, own)
        yield drawing(f"{task}-curves", _CURVES, task, _draw_curves, [own], looks, "curves")
        if any(isinstance(one, Results) and vis.has_lr_line(one) for one in own):
            yield drawing(f"{task}-lr", _LR, task, vis.draw_lr_sensitivity, [own], looks, "lr")
        if tried := best_of(contents, Group(task, is_stand_in)):
            places = [contents.places[name] for name in tried]
            options = {"title": task, "places": places, "is_stand_in": is_stand_in}
            yield drawing(f"{task}-best-of", _BEST_OF, task, vis.draw_best_of, [tried], options, "best-of")


def _looks(contents: Contents, cells: Sequence[_Cell]) -> dict[str, Sequence[object]]:
    """Return names and places of the sets of a figure, which are the page's."""
    names = {
        one.hparam_set: contents.name(one) if isinstance(one, Results) else one.hparam_set for one in cells
    }
    last = len(contents.places)  # sets without results anywhere
    return {
        "labels": list(names.values()),
        "places": [contents.places.get(name, last) for name in names.values()],
    }


def _draw_curves(cells: Sequence[_Cell], labels: Sequence[str], places: Sequence[int]) -> Axes:
    """Draw the curves, and where they are short show them from an early step on."""
    num_steps = min(one.num_steps for one in cells if isinstance(one, Results))
    return vis.draw_curves(cells, initial_shift=min(500, num_steps / 20), labels=labels, places=places)


def _figure(drawing: _Drawing, folder: str, there: Container[str], prefix: str) -> Figure:
    """Return a figure as the page needs it; a failure costs this figure only."""
    figure = drawing.figure
    try:
        fingerprint = _fingerprint(drawing)
        name = f"{figure.stem}-{fingerprint[:_DIGITS]}"
        urls = {kind: storage.join_url(folder, storage.check_name(f"{name}.{kind}")) for kind in _KINDS}
        svg, problem = _read_back(urls, there, fingerprint), ""
        if svg is None:
            files = _draw(drawing)
            svg = files["svg"]
            problem = _write(files | {"svg": seal(svg, fingerprint)}, urls)
        label = f"{figure.stem}: {figure.caption}"
        markup = "" if figure.chart else inline(svg.decode(), prefix, label)
    except Exception as error:  # noqa: BLE001 - whatever a plot or its data raise is told on the page
        return figure._replace(problem=f"{type(error).__name__}: {error}", is_drawn=False)
    links = {} if problem else {kind.upper(): url for kind, url in urls.items()}
    return figure._replace(svg=markup, links=links, problem=problem)


def _read_back(urls: Mapping[str, str], there: Container[str], fingerprint: str) -> bytes | None:
    """Return the SVG, if all files of the figure are there and this user's sessions drew it."""
    if not all(url in there for url in urls.values()):
        return None
    try:
        return unsealed(storage.read_bytes(urls["svg"], most=_MOST_BYTES), fingerprint)
    except StorageError:
        return None


def _draw(drawing: _Drawing) -> dict[str, bytes]:
    """Draw a figure and return the content of each file."""
    with vis.without_pyplot():  # its backend may be missing or open windows
        axes = drawing.draw(*drawing.inputs, **drawing.options)
    return {"svg": vis.render(axes, "svg"), "png": vis.render(axes, "png")}


def _write(files: Mapping[str, bytes], urls: Mapping[str, str]) -> str:
    """Write the files and return in words what went wrong; empty if nothing did."""
    try:
        for kind, content in files.items():
            storage.write_bytes(urls[kind], content)
    except StorageError as error:
        return str(error)
    return ""


def _files_in(folder: str) -> set[str]:
    """Return URLs; none if the folder cannot be listed, so that writing says what is wrong."""
    try:
        return {url for kind in _KINDS for url in storage.list_files(folder, f".{kind}")}
    except StorageError:
        return set()


def _fingerprint(drawing: _Drawing) -> str:
    """Return 64 hexadecimal digits that are equal for figures of equal inputs, drawn by equal code."""
    told = [*_artists(), drawing.figure.stem, drawing.inputs, drawing.options]
    return _digest(json.dumps(told, default=_plain, sort_keys=True).encode())


@cache
def _artists() -> list[str]:
    """Return versions, and a hash of the code of `vis`, which may be newer than its version."""
    files = (file for file in resources.files(vis).iterdir() if file.name.endswith(".py"))
    code = b"".join(file.read_bytes() for file in sorted(files, key=lambda file: file.name))
    return [*map(package_version, ("optsuite", "matplotlib", "seaborn")), _digest(code)]


def _plain(value: object) -> object:
    if is_dataclass(value):
        return {name: part for name, part in vars(value).items() if name not in _NOT_DRAWN}
    if isinstance(value, Exception):
        return type(value).__name__
    array = np.asarray(value)
    return [array.dtype.str, array.shape, _digest(array.tobytes())]


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def inline(svg: str, prefix: str, label: str) -> str:
    """Return the markup of a figure that shares a page with others.

    Prolog, comments, metadata and style sheet (which would hold for the whole page) are left out; ids begin
    with `prefix`; text is in the page's colour and the grid in `var(--grid)`.

    Args:
        svg: Content of an SVG file of `vis.render`.
        prefix: Beginning of ids, another for each figure of a page; letters, digits and `-`.
        label: Description of the figure for people who cannot see it.
    """
    svg, label = shown(svg[svg.index("<svg") :].rstrip()), shown(label)
    svg = re.sub(r"<!--.*?-->\s*|<(metadata|style)\b.*?</\1>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<[^<>]+>", lambda tag: _inline_tag(tag[0], prefix), svg)  # text stays as it is
    return svg.replace("<svg", f'<svg role="img" aria-label="{html.escape(label)}"', 1)


def _inline_tag(tag: str, prefix: str) -> str:
    tag = re.sub(r'\bid="', f'id="{prefix}-', tag)
    tag = re.sub(r'(url\(|href=")#', rf"\g<1>#{prefix}-", tag)
    for colour, ours in ((vis.INK, "currentColor"), (vis.GRID, "var(--grid)")):
        tag = re.sub(rf"((?:fill|stroke): ?){re.escape(colour)}\b", rf"\g<1>{ours}", tag, flags=re.IGNORECASE)
    return tag
