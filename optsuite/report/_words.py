"""Numbers, times and places in words."""

import posixpath
import re
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

_NOT_SHOWN = re.compile("[\\0-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069\\ud800-\\udfff]")


def number(value: float) -> str:
    """Return a number with four significant digits, e.g. `0.4120`, `12,350`, `1.235e-07`."""
    rounded = float(f"{value:.4g}")
    return f"{rounded:,.0f}" if 1e3 <= abs(rounded) < 1e9 else f"{rounded:#.4g}"


def moment(time: datetime) -> str:
    """Return a time in words, e.g. `2026-11-23 21:13 UTC`."""
    return f"{time:%Y-%m-%d %H:%M %Z}".rstrip()


def shown(text: str) -> str:
    """Return a text as a page may show it.

    Control characters (but tabs and line breaks), marks that turn the text around them, and halves of
    characters, which no file can hold, become U+FFFD.
    """
    return _NOT_SHOWN.sub("\N{REPLACEMENT CHARACTER}", text)


def href(url: str) -> str | None:
    """Return the URL at which a browser finds a local path; None for URLs of stores, which it cannot open."""
    if "://" not in url:
        return Path(url).absolute().as_uri()
    return url if url.startswith("file://") else None


def link(url: str, page_url: str) -> str:
    """Return a link from a page to a file; relative, so that they can move, in one bucket or top folder."""
    here, there = _parts(page_url)[:-1], _parts(url)
    if there[: len(here[:2])] != here[:2]:
        return href(url) or url
    return quote(posixpath.relpath("/".join(there[1:]), "/".join(here[1:]) or "."), errors="surrogateescape")


def _parts(url: str) -> list[str]:
    """Split a URL into its scheme (empty for a local path), folders and file."""
    scheme, mark, path = url.partition("://")
    if not mark:
        scheme, path = "", Path(url).absolute().as_posix()
    path = posixpath.normpath(path)
    return [scheme, *path.strip("/").split("/")]
