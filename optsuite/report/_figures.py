"""The figures of a report: which there are, and files of them that are drawn only if their inputs change."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import matplotlib.pyplot as plt
import numpy as np

from optsuite import storage, vis
from optsuite.curves import package_version
from optsuite.errors import StorageError
from optsuite.report._contents import Figure
from optsuite.report._svg import inline
from optsuite.statistics import Absent, Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from optsuite.normalizers import Normalizer

    _Cell: TypeAlias = Results | Absent
    _ByTask: TypeAlias = Mapping[str, Normalizer]

__all__ = ["make_figures"]

_KINDS = ("svg", "png")

_CURVES = "Training loss of the best setting of each set: mean over seeds, within their range."
_LR = "Final training loss by learning rate."
_FINAL_LOSSES = "Final training loss of the best setting of each set."
_NORMALIZED = "{}: training steps that the best baseline needs to reach the same loss."

_NOT_DRAWN = ("url", "seconds_per_step")
"""Fields of cells that no figure shows."""


class _Drawing(NamedTuple):
    """A figure to be."""

    stem: str
    caption: str
    task: str | None
    is_stand_in: bool
    draw: Callable[[], Axes]
    inputs: Sequence[object]
    """All that is drawn: cells, and normalizers by task."""


def make_figures(cells: Sequence[_Cell], normalizers: Mapping[str, _ByTask], folder: str) -> list[Figure]:
    """Draw what is new, read back what is not.

    Results on real data and on stand-ins never share a figure.

    Args:
        cells: With results and without, which figures may say.
        normalizers: By name, then by task.
        folder: Holds the files, and an index of the inputs that each was drawn from.
    """
    index = _read_index(folder)
    drawings = [*_drawings(cells, normalizers, False), *_drawings(cells, normalizers, True)]
    return [_figure(drawing, folder, index, f"f{i}") for i, drawing in enumerate(drawings)]


def _drawings(
    cells: Sequence[_Cell], normalizers: Mapping[str, _ByTask], is_stand_in: bool
) -> Iterator[_Drawing]:
    """The figures of one kind of data, those of single tasks last."""
    tasks = {one.task: None for one in cells if isinstance(one, Results) and one.is_stand_in is is_stand_in}
    cells = [
        one
        for one in cells
        if one.task in tasks and (isinstance(one, Absent) or one.is_stand_in is is_stand_in)
    ]
    suffix = "-stand-in" if is_stand_in else ""

    def drawing(
        stem: str, caption: str, task: str | None, draw: Callable[..., Axes], *inputs: object
    ) -> _Drawing:
        return _Drawing(stem + suffix, caption, task, is_stand_in, lambda: draw(*inputs), inputs)

    if len(cells) > 1:
        yield drawing("final-losses", _FINAL_LOSSES, None, vis.draw_final_losses, cells)
    for name, by_task in normalizers.items():
        if covered := [one for one in cells if one.task in by_task]:
            needed = {one.task: by_task[one.task] for one in covered}
            caption = _NORMALIZED.format(name)
            yield drawing(name, caption, None, vis.draw_normalized, covered, needed)
    for task in tasks:
        own = [one for one in cells if one.task == task]
        if all(isinstance(one, Absent) or one.best is None for one in own):
            continue  # nothing but diverged trials, which the page says
        yield drawing(f"{task}-curves", _CURVES, task, vis.draw_curves, own)
        yield drawing(f"{task}-lr", _LR, task, vis.draw_lr_sensitivity, own)


def _figure(drawing: _Drawing, folder: str, index: dict[str, str], prefix: str) -> Figure:
    """A figure with what the page needs of it; a failure costs this figure only."""
    svg = problem = ""
    try:
        svg = inline(
            _current_svg(drawing, folder, index).decode(), prefix, f"{drawing.stem}: {drawing.caption}"
        )
    except Exception as error:  # noqa: BLE001 - whatever a plot or its data raise is told on the page
        problem = f"{type(error).__name__}: {error}"
    return Figure(
        drawing.stem,
        drawing.caption,
        drawing.task,
        drawing.is_stand_in,
        svg,
        {kind.upper(): _file(folder, drawing.stem, kind) for kind in _KINDS},
        problem,
    )


def _current_svg(drawing: _Drawing, folder: str, index: dict[str, str]) -> bytes:
    """The SVG, read back if its inputs are those it was drawn from, else drawn and written."""
    url, inputs = _file(folder, drawing.stem, "svg"), _inputs(drawing)
    if drawing.stem in index:
        svg = storage.read_bytes(url)
        if index[drawing.stem] == _fingerprint(inputs, svg):
            return svg
    files = _draw(drawing)
    for kind, content in files.items():
        storage.write_bytes(_file(folder, drawing.stem, kind), content)
    index[drawing.stem] = _fingerprint(inputs, files["svg"])
    storage.write_bytes(_index_url(folder), json.dumps(index, indent=0, sort_keys=True).encode())
    return files["svg"]


def _draw(drawing: _Drawing) -> dict[str, bytes]:
    """The content of each file; leaves no figure open in pyplot."""
    open_before = plt.get_fignums()
    try:
        axes = drawing.draw()
        return {"svg": vis.render(axes, "svg"), "png": vis.render(axes, "png")}
    finally:
        for number in set(plt.get_fignums()).difference(open_before):
            plt.close(number)


def _inputs(drawing: _Drawing) -> bytes:
    """All that a figure shows, as text that is equal for equal inputs."""
    told = [package_version("optsuite"), drawing.inputs]
    return json.dumps(told, default=_plain, sort_keys=True).encode()


def _plain(value: object) -> object:
    if is_dataclass(value):
        return {name: part for name, part in vars(value).items() if name not in _NOT_DRAWN}
    if isinstance(value, Exception):
        return type(value).__name__
    array = np.asarray(value)
    return [array.dtype.str, array.shape, hashlib.sha256(array.tobytes()).hexdigest()]


def _fingerprint(inputs: bytes, svg: bytes) -> str:
    # With the drawn file, so that one of other inputs (a run that was cut short) is never taken for it.
    return hashlib.sha256(inputs + svg).hexdigest()


def _read_index(folder: str) -> dict[str, str]:
    """Fingerprints by stem of the figures whose files are there; none if the index is broken."""
    try:
        index = json.loads(storage.read_bytes(_index_url(folder)))
        there = {url for kind in _KINDS for url in storage.list_files(folder, f".{kind}")}
        return {
            stem: fingerprint
            for stem, fingerprint in index.items()
            if there.issuperset(_file(folder, stem, kind) for kind in _KINDS)
        }
    except (StorageError, ValueError, AttributeError):  # missing, no JSON, no object
        return {}


def _file(folder: str, stem: str, kind: str) -> str:
    return storage.join_url(folder, f"{stem}.{kind}")


def _index_url(folder: str) -> str:
    return storage.join_url(folder, "index.json")
