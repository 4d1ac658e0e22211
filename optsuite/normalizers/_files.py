"""Files of normalizers: the original's JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, final

from optsuite import storage
from optsuite.errors import OptsuiteError, StorageError, UnknownNameError
from optsuite.normalizers._normalizer import Normalizer
from optsuite.storage import CorruptFileError, MissingFileError


@final
class Normalizers(dict[str, Normalizer]):
    """Normalizers by task.

    Raises:
        UnknownNameError: A task has no normalizer; the message has the file and the nearest names.
    """

    def __init__(self, by_task: Mapping[str, Normalizer], url: str) -> None:
        super().__init__(by_task)
        self.url = url

    def __missing__(self, task: str) -> Normalizer:
        raise UnknownNameError(f"task (in `{self.url}`)", task, self or ["none: the file is empty"])


def load(url: str) -> Normalizers:
    """Load a file of normalizers, ours or the original's.

    Args:
        url: A path or any URL that fsspec knows.

    Raises:
        MissingFileError: There is no such file.
        CorruptFileError: It is not understood; the message has the task.
        StorageError: The storage cannot be reached.
    """
    return parse(storage.read_bytes(url), url)


def write(normalizers: Mapping[str, Normalizer], url: str, *, overwrite: bool = False) -> list[str]:
    """Add normalizers to a file, atomically; one that holds the same already is left untouched.

    Of two writers at the same time, the later may drop what the other added.

    Args:
        normalizers: Normalizers by task.
        url: URL of the file, which need not be there yet.
        overwrite: Replace normalizers of the same tasks.

    Returns:
        Names of the tasks whose normalizers were replaced by other ones, sorted.

    Raises:
        StorageError: The file has other normalizers of these tasks, or it cannot be read or written.
    """
    try:
        old = {task: _line(task, normalizer) for task, normalizer in load(url).items()}
    except MissingFileError:
        old = {}
    new = {task: _line(task, normalizer) for task, normalizer in normalizers.items()}
    taken = sorted(task for task in old.keys() & new.keys() if old[task] != new[task])
    if taken and not overwrite:
        raise StorageError(
            f"`{url}` has other normalizers of {', '.join(taken)}: pass overwrite=True to replace them"
        )
    merged = old | new
    if merged != old:
        lines = ",\n".join(merged[task] for task in sorted(merged))
        storage.write_bytes(url, f"{{\n{lines}\n}}".encode())
    return taken


def _line(task: str, normalizer: Normalizer) -> str:
    return f"{json.dumps(task)}:{json.dumps([normalizer.xs.tolist(), normalizer.ys.tolist()])}"


def parse(content: bytes, url: str) -> Normalizers:
    """Parse a file that was read.

    Args:
        content: Content of the file.
        url: URL of the file, for errors.

    Raises:
        CorruptFileError: It is not understood; the message has the task.
    """
    try:
        entries = json.loads(content)
    except ValueError as cause:
        raise CorruptFileError(f"`{url}` is no file of normalizers, which are JSON: {cause}") from cause
    if not isinstance(entries, dict):
        raise CorruptFileError(
            f'`{url}` is no file of normalizers: needed {{"task": [xs, ys], ...}}, '
            f"got a {type(entries).__name__}"
        )
    return Normalizers({task: _parse_entry(entry, task, url) for task, entry in entries.items()}, url)


def _parse_entry(entry: Any, task: str, url: str) -> Normalizer:  # noqa: ANN401 (any JSON)
    try:
        xs, ys = entry
        return Normalizer(xs, ys)
    except (OptsuiteError, TypeError, ValueError) as cause:
        raise CorruptFileError(
            f"cannot read the normalizer of `{task}` in `{url}`: needed [xs, ys]; {cause}"
        ) from cause
