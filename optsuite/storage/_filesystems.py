"""URLs: which file system serves one, and the path inside it."""

import os
import re
from pathlib import Path
from typing import Any

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem
from fsspec.utils import get_protocol

from optsuite.errors import StorageError

# The extra of this package that serves each protocol.
EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "http": "http", "https": "http"}

_URL = re.compile(r"[A-Za-z][\w.+-]*(?:://|::.*://)", re.DOTALL)
_LOCAL = re.compile(r"(?:file|local)://")


def is_local(url: str) -> bool:
    """Return whether a path or URL is that of a local file, whatever its names hold."""
    return bool(_LOCAL.match(url) or not _URL.match(url))


def is_chained(url: str) -> bool:
    """Return whether fsspec would take a URL for several that work on each other, as `zip://a::s3://b`."""
    return not is_local(url) and "::" in url


def join_url(base: str, *names: str) -> str:
    """Append folder and file names to a path or URL."""
    return "/".join([base.removesuffix("/"), *names])


def clean_root(root: str) -> str:
    """Expand `~` and drop trailing slashes, but not those of `memory://` and `/`.

    Raises:
        StorageError: It is a chained URL, below which no file can be named.
    """
    if is_chained(root):
        raise StorageError(
            f"`{root}` cannot be a root: `::` chains it to another URL; needed a path, or a URL without it"
        )
    match = re.match(r"(?:[\w.+-]+://)?/*", root)
    head = match.group() if match else ""
    return os.path.expanduser(head + root[len(head) :].rstrip("/"))  # noqa: PTH111 (may be a URL)


def local_path(url: str) -> Path:
    """Return the absolute path of a local file; links and `..` stay as they are."""
    path = os.path.expanduser(_LOCAL.sub("", url, count=1))  # noqa: PTH111 - Path would drop `..` from a URL
    return Path.cwd() / path


def opened(url: str) -> tuple[Any, str]:
    """Return the fsspec file system that serves a URL, and the path inside it.

    Raises:
        StorageError: No file system serves it, or a package is missing.
    """
    if is_local(url):  # fsspec would look for chains and protocols in it
        return LocalFileSystem(), str(local_path(url))
    try:
        filesystem, path = url_to_fs(url)
    except ImportError as cause:
        extra = EXTRAS.get(get_protocol(url))
        advice = f"pip install 'optsuite[{extra}]'" if extra else str(cause)
        raise StorageError(f"`{url}` needs a package that is not installed: {advice}") from cause
    except Exception as cause:
        raise StorageError(
            f"cannot open `{url}` ({cause}): needed a local path or a URL that fsspec knows, "
            "such as s3://bucket/folder or gs://bucket/folder"
        ) from cause
    return filesystem, path
