"""Numbers, times and places in words."""

import posixpath
from datetime import datetime
from pathlib import Path
from urllib.parse import quote


def number(value: float) -> str:
    """Return a number with four significant digits, e.g. `0.4120`, `12,350`, `1.235e-07`."""
    rounded = float(f"{value:.4g}")
    return f"{rounded:,.0f}" if 1e3 <= abs(rounded) < 1e9 else f"{rounded:#.4g}"


def moment(time: datetime) -> str:
    """Return a time in words, e.g. `2026-11-23 21:13 UTC`."""
    return f"{time:%Y-%m-%d %H:%M %Z}".rstrip()


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
    return quote(posixpath.relpath("/".join(there[1:]), "/".join(here[1:]) or "."))


def _parts(url: str) -> list[str]:
    """Split a URL into its scheme (empty for a local path), folders and file."""
    scheme, mark, path = url.rpartition("://")
    path = posixpath.normpath(path if mark else Path(path).absolute().as_posix())
    return [scheme, *path.strip("/").split("/")]
