"""Normalizers that archived cells allow."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, TypeAlias

from optsuite import storage
from optsuite.archives import Absent, list_hparam_sets_for_task, read_each
from optsuite.errors import OptsuiteError
from optsuite.hparam_sets import split_name
from optsuite.normalizers._definitions import Definition, definition_names, get_definition
from optsuite.normalizers._fit import Envelope, envelope, fit
from optsuite.normalizers._normalizer import Normalizer, Normalizers, load, write

_Cells: TypeAlias = Iterable[tuple[str, str]]
"""(task, hparam set) of each."""

_Wanted: TypeAlias = list[tuple[Definition, str]]
"""Definitions, each with a task."""


class Updated(NamedTuple):
    """Outcome of `update`."""

    urls: dict[str, str]
    """Files that are there now, by name of the definition."""
    problems: list[str]
    """Reasons why normalizers whose archives are all there could not be made, and which were replaced."""


def update(cells: _Cells, root: str | None = None) -> Updated:
    """Make the normalizers that archived cells allow, in place of older ones of the same tasks.

    A normalizer is made for the task and the length of a cell if all of its archives are there, whoever made
    them.

    Args:
        cells: (task, hparam set) of each.
        root: Root of the archives and of the files; `storage.archives_dir()` if `None`.

    Raises:
        StorageError: The archives cannot be listed.
    """
    wanted = _wanted(cells)
    complete = _complete(wanted, root)
    problems: list[str] = []
    envelopes = _read_envelopes(complete, root, problems)
    made: dict[Definition, dict[str, Normalizer]] = {}
    for definition, task in complete:
        read = {name: envelopes[task, name] for name in definition.sets if (task, name) in envelopes}
        if len(read) == len(definition.sets):
            with _collected(problems):
                made.setdefault(definition, {})[task] = fit(task, read, definition.num_knots)
    for definition, normalizers in made.items():
        with _collected(problems):
            url = definition.url(root)
            if replaced := write(normalizers, url, overwrite=True):
                problems.append(f"replaced the normalizers of {', '.join(replaced)} in `{url}`")
    return Updated(_urls(wanted, root), problems)


def load_for(
    cells: _Cells, root: str | None = None, problems: list[str] | None = None
) -> dict[str, Normalizers]:
    """Load the normalizers of the lengths of cells.

    Args:
        cells: (task, hparam set) of each.
        root: Root of the files; `storage.archives_dir()` if `None`.
        problems: List to which the files that cannot be read are added. `None`: the first one raises.

    Returns:
        Normalizers by name of the definition, where there is a file of it.

    Raises:
        StorageError: The files cannot be listed, or one cannot be read.
    """
    loaded = {}
    for name, url in _urls(_wanted(cells), root).items():
        with _collected(problems):
            loaded[name] = load(url)
    return loaded


def _wanted(cells: _Cells) -> _Wanted:
    """Return every definition of the length of a cell, with its task."""
    lengths = dict.fromkeys((task, *parts[1:]) for task, name in cells if (parts := split_name(name)))
    return [(get_definition(name), task) for task, *length in lengths for name in definition_names(*length)]


def _complete(wanted: _Wanted, root: str | None) -> _Wanted:
    """Return those whose archives are all there."""
    tasks = list(dict.fromkeys(task for _, task in wanted))
    listings = storage.thread_map(lambda task: list_hparam_sets_for_task(task, root), tasks)
    archived = dict(zip(tasks, listings, strict=True))
    return [(definition, task) for definition, task in wanted if {*definition.sets} <= {*archived[task]}]


def _read_envelopes(
    complete: _Wanted, root: str | None, problems: list[str]
) -> dict[tuple[str, str], Envelope]:
    """Return the envelopes, by (task, hparam set), of the archives that can be read, each read once."""
    cells = list(dict.fromkeys((task, name) for definition, task in complete for name in definition.sets))
    read = read_each(cells, envelope, root)
    problems += [str(one.error) for one in read if isinstance(one, Absent)]
    return {cell: one for cell, one in zip(cells, read, strict=True) if isinstance(one, Envelope)}


def _urls(wanted: _Wanted, root: str | None) -> dict[str, str]:
    """Return the files that are there, by name of the definition."""
    root = storage.archives_dir() if root is None else storage.clean_root(root)
    there = storage.list_files(root, ".json")
    urls = {definition.name: definition.url(root) for definition, _ in wanted}
    return {name: url for name, url in urls.items() if url in there}


@contextmanager
def _collected(problems: list[str] | None) -> Iterator[None]:
    try:
        yield
    except OptsuiteError as problem:
        if problems is None:
            raise
        problems.append(str(problem))
