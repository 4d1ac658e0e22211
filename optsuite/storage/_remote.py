"""Files that are not local: one put, one get, and checksums where the store tells them."""

from __future__ import annotations

import asyncio
import base64
import errno
import hashlib
import re
import threading
from typing import Any

from fsspec.asyn import AsyncFileSystem, sync
from fsspec.implementations.memory import MemoryFileSystem

from optsuite.errors import StorageError
from optsuite.storage._filesystems import EXTRAS
from optsuite.storage._patience import ask, is_refusal, transfer_s

_S3, _GCS, _WEB = {"s3", "s3a"}, {"gs", "gcs"}, {"http", "https"}
_ONE_PUT = {"chunksize": 2**33}  # s3fs and gcsfs put larger files in parts

# Several threads of this process share the files in its memory.
_ONE_CREATOR = threading.Lock()


def read(filesystem: Any, path: str, most: int, seconds: float) -> bytes:  # noqa: ANN401
    """Read a file, of a larger one only one byte more than `most`.

    Where the store tells a checksum that the content has not, it is read again: once more the same of both
    means that the checksum is of another kind.
    """
    if not isinstance(filesystem, AsyncFileSystem):
        content: bytes = filesystem.cat_file(path, start=0, end=most + 1)
        return content
    if not _WEB.isdisjoint(_protocols(filesystem)):
        limit_s = seconds + transfer_s(most)
        return bytes(sync(filesystem.loop, _read_web, filesystem, path, most, seconds, timeout=limit_s))
    seen: set[tuple[str | None, bytes]] = set()
    for _ in range(3):
        filesystem.invalidate_cache(path)
        told = ask(filesystem, "info", path, seconds=seconds)
        content = _read_told(filesystem, path, told, most, seconds)
        if len(content) > most or _md5(told) in (None, _md5_of(content)) or (_md5(told), content) in seen:
            return content
        seen.add((_md5(told), content))
    raise OSError(errno.EIO, "it was read three times, and was another each time")


def _read_told(filesystem: Any, path: str, told: dict[str, Any], most: int, seconds: float) -> bytes:  # noqa: ANN401
    """Read a file of which the store has told the size; one that is replaced meanwhile may have another."""
    if told["type"] == "directory":
        raise IsADirectoryError(errno.EISDIR, "it is a folder")
    size = told.get("size")
    if size == 0:  # no part of it can be asked for
        return b""
    end = (most if size is None else min(size, most)) + 1  # one more shows that it has grown
    limit_s = seconds + transfer_s(end)
    content: bytes = ask(filesystem, "cat_file", path, start=0, end=end, seconds=limit_s)
    if size is not None and len(content) != min(size, end):
        raise OSError(errno.EIO, f"got {len(content):,} of {size:,} bytes")
    return content


def list_entries(filesystem: Any, path: str, seconds: float) -> dict[str, dict[str, Any]]:  # noqa: ANN401
    """Return what the store tells of each entry of a folder by name; a missing folder has none."""
    filesystem.invalidate_cache(path)  # other runners write too: the store is the truth
    try:
        entries = ask(filesystem, "ls", path, detail=True, seconds=seconds)
    except FileNotFoundError:
        return {}
    named = {entry["name"].rstrip("/"): entry for entry in entries}
    named.pop(path.rstrip("/"), None)  # a file, or what some stores keep in the place of an empty folder
    return {name.rpartition("/")[2]: entry for name, entry in named.items()}


async def _read_web(filesystem: Any, url: str, most: int, idle_s: float) -> bytes:  # noqa: ANN401
    """Read from a web server, which may tell no size, and send more than it is asked for."""
    session = await filesystem.set_session()
    content = bytearray()
    async with session.get(filesystem.encode_url(url), **filesystem.kwargs) as answer:
        filesystem._raise_not_found_for_status(answer, url)
        while len(content) <= most and (piece := await asyncio.wait_for(answer.content.read(2**16), idle_s)):
            content += piece
    return bytes(content[: most + 1])


def write(filesystem: Any, path: str, content: bytes, seconds: float) -> None:  # noqa: ANN401
    """Write a file by one put, and compare what the store tells of it, or else the file, with its content."""
    try:
        _put(filesystem, path, content, seconds)
    except FileNotFoundError:
        if not set(EXTRAS).isdisjoint(_protocols(filesystem)):
            raise  # a missing bucket: not ours to create by a typo
        filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
        _put(filesystem, path, content, seconds)


def create(filesystem: Any, path: str, content: bytes, seconds: float) -> bool:  # noqa: ANN401
    """Write a file that is not there; return False where there is one."""
    protocols = _protocols(filesystem)
    if isinstance(filesystem, MemoryFileSystem):
        with _ONE_CREATOR:
            if filesystem.exists(path):
                return False
            filesystem.pipe_file(path, content)
            return True
    if protocols.isdisjoint(_S3 | _GCS):
        raise StorageError(
            f"cannot create `{path}`: `{min(protocols)}` cannot write and tell that a file is there at once; "
            "needed a local folder, S3 or Google Cloud Storage"
        )
    try:
        _put(filesystem, path, content, seconds, mode="create")
    except Exception as error:
        if not is_refusal(error):
            raise
        try:
            return read(filesystem, path, len(content), seconds) == content
        except FileNotFoundError:  # it is gone again
            return False
    return True


def _put(filesystem: Any, path: str, content: bytes, seconds: float, **options: Any) -> None:  # noqa: ANN401
    if not _protocols(filesystem).isdisjoint(_S3 | _GCS):
        options = {**options, **_ONE_PUT}
    told = ask(filesystem, "pipe_file", path, content, seconds=seconds, **options)
    if isinstance(filesystem, MemoryFileSystem):
        return
    if isinstance(told, dict) and _md5(told) == _md5_of(content):
        return
    if read(filesystem, path, len(content), seconds) != content:
        raise OSError(errno.EIO, "what was stored is not what was sent")


def _md5(told: dict[str, Any]) -> str | None:
    """Return the MD5 in hexadecimal that a store tells of a file; on S3 it may be another checksum."""
    if "md5Hash" in told:
        return base64.b64decode(told["md5Hash"]).hex()
    tag = str(told.get("ETag", "")).strip('"')
    return tag if re.fullmatch("[0-9a-f]{32}", tag) else None


def _md5_of(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _protocols(filesystem: Any) -> set[str]:  # noqa: ANN401
    protocol = filesystem.protocol
    return {protocol} if isinstance(protocol, str) else set(protocol)
