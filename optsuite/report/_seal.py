"""The seal of figures: a mark in a file by which the sessions of a user know what they drew themselves.

Others may write to the folder of the figures, and a page that holds an SVG runs the scripts in it. So a
figure is read back only if it bears a message authentication code made with a key that no one else has.
"""

import functools
import hashlib
import hmac
import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

from optsuite._places import cache_dir

_KEY_BYTES = 32
_MARK = b"<!-- optsuite %s -->\n"


def key_file() -> Path:
    """Return the file of this user's key; without it, figures are drawn again."""
    return cache_dir() / "figures.key"


def seal(svg: bytes, name: str) -> bytes:
    """Return an SVG with the seal at its end.

    Args:
        svg: Content of the file.
        name: Everything that tells this figure from others, so that none passes for another.
    """
    return svg + _MARK % _code(svg, name)


def unsealed(content: bytes, name: str) -> bytes | None:
    """Return the SVG that was sealed by that name with this user's key; None if that is not what it is."""
    length = len(_MARK % _code(b"", name))
    svg = content[:-length]
    return svg if hmac.compare_digest(content, seal(svg, name)) else None


def _code(svg: bytes, name: str) -> bytes:
    of_name = hashlib.sha256(name.encode(errors="surrogatepass")).digest()
    return hmac.new(_key(key_file()), of_name + svg, "sha256").hexdigest().encode()


@functools.cache
def _key(file: Path) -> bytes:
    """Return this user's key, made where there is none; one of this process if it cannot be kept."""
    with suppress(OSError):
        if found := _kept(file) or _made(file):
            return found
    return secrets.token_bytes(_KEY_BYTES)


def _kept(file: Path) -> bytes | None:
    """Return the key in a file that no one else can read or write; None if there is none."""
    with suppress(FileNotFoundError), file.open("rb") as opened:
        key = opened.read(_KEY_BYTES + 1)
        is_secret = not os.fstat(opened.fileno()).st_mode & 0o077
        return key if is_secret and len(key) == _KEY_BYTES else None
    return None


def _made(file: Path) -> bytes | None:
    """Make a key and return the one that is kept: another process may have been first."""
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")  # for this user alone
    try:
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(secrets.token_bytes(_KEY_BYTES))
        with suppress(OSError):
            os.link(temporary, file)  # never over the key of another process
        if _kept(file) is None:
            Path(temporary).replace(file)
        return _kept(file)
    finally:
        Path(temporary).unlink(missing_ok=True)
