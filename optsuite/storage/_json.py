"""JSON from anywhere, within bounds."""

from __future__ import annotations

import json
import math
from typing import Any

from optsuite.errors import StorageError
from optsuite.storage._errors import CorruptFileError
from optsuite.storage._files import read_bytes, write_bytes

MOST_JSON = 2**24
"""Largest size of JSON that is parsed, in bytes: 16 MiB, of which Python makes at most about 500 MB."""

_MOST_LEVELS, _MOST_DIGITS = 64, 300


def parse_json(content: bytes | str, what: str) -> Any:  # noqa: ANN401 - any JSON
    """Parse JSON that anyone may have written.

    Args:
        content: UTF-8, of at most 16 MiB.
        what: Name of the file, for the error.

    Raises:
        CorruptFileError: It is no JSON, or odd: not UTF-8, too long, nested more than 64 deep, with a number
            that is not finite or of more than 300 digits, or with a key twice.
    """
    try:
        if len(content) > MOST_JSON:
            raise ValueError(f"needed at most {MOST_JSON:,} bytes, got {len(content):,}")
        text = content if isinstance(content, str) else content.decode()
        value = json.loads(
            text,
            parse_float=_finite,
            parse_int=_integer,
            parse_constant=_no_constant,
            object_pairs_hook=_without_repeats,
        )
        _check_levels(value)
        json.dumps(value, ensure_ascii=False).encode()  # half of a surrogate pair cannot be written anywhere
    except (ValueError, RecursionError) as cause:
        raise CorruptFileError(
            f"`{what}` is not readable JSON ({type(cause).__name__}: {str(cause)[:200]}): "
            "delete it or make it again"
        ) from cause
    return value


def read_json(url: str, *, most: int = MOST_JSON, missing: str = "there is no such file") -> Any:  # noqa: ANN401
    """Read a JSON file, as `parse_json` does.

    Args:
        url: The file.
        most: Largest size of the file, in bytes.
        missing: End of the error's message where there is no such file.

    Raises:
        MissingFileError: There is no such file.
        CorruptFileError: It is too large or no JSON.
        StorageError: The storage cannot be reached.
    """
    return parse_json(read_bytes(url, most=most, missing=missing), url)


def write_json(url: str, value: Any) -> None:  # noqa: ANN401
    """Write a JSON file atomically, with the folders that it needs.

    Raises:
        StorageError: The value holds what JSON has no word for (also NaN), or the file cannot be written.
    """
    try:
        text = json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False)
        content = text.encode()
    except (TypeError, ValueError, RecursionError) as cause:
        raise StorageError(f"cannot write `{url}` as JSON: {cause}") from cause
    write_bytes(url, content)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:30]} is no finite number")
    return value


def _integer(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise ValueError(f"needed a number of at most {_MOST_DIGITS} digits, got {len(text)}")
    return int(text)


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is no finite number")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("a key is there twice")
    return value


def _check_levels(value: object) -> None:
    """Raise ValueError for JSON so deep that code which walks it may run out of stack."""
    level = [value]
    for _ in range(_MOST_LEVELS):
        level = [
            child
            for node in level
            if isinstance(node, dict | list)
            for child in (node.values() if isinstance(node, dict) else node)
        ]
        if not level:
            return
    raise ValueError(f"it is nested more than {_MOST_LEVELS} deep")
