"""Counts and times in words, for terminals and pages."""

import re
from collections.abc import Sequence


def counted(count: int, noun: str) -> str:
    """Return a count with its noun: `1 cell`, `1,200 cells`."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def listed(names: Sequence[str], most: int) -> str:
    """Return names in a row, no more than `most` of them: `a, b and 3 more`."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def shown(text: str, most: int = 80) -> str:
    """Return text from a file so that it can stand in a message: short, and without control characters."""
    short = text if len(text) <= most else f"{text[:most]}..."
    return short if short.isprintable() else ascii(short)


def duration(seconds: float) -> str:
    """Return a time in words: `12 s`, `3 min 20 s`, `5 h 10 min`."""
    whole = max(1, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def seconds_in(text: str) -> float:
    """Return the number of seconds in a time such as `90s`, `45m`, `2h`, `1h30m` or `0.5h`.

    Raises:
        ValueError: The text is no such time, or the time is 0.
    """
    match = re.fullmatch(r"(?:([\d.]+)h)?(?:([\d.]+)m)?(?:([\d.]+)s)?", text.replace(" ", ""), re.ASCII)
    try:
        parts = [float(part or 0) for part in match.groups()] if match else []
    except ValueError:
        parts = []
    seconds = sum(part * unit for part, unit in zip(parts, (3600, 60, 1), strict=False))
    if not seconds:
        raise ValueError(f"a time such as 90s, 45m, 2h or 1h30m is needed (got {text!r})")
    return seconds


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return lines that show rows in columns, as wide as their longest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
