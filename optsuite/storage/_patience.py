"""Patience: calls under a deadline, made again for a while where time may heal their error."""

from __future__ import annotations

import errno
import logging
import random
import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from fsspec.asyn import AsyncFileSystem, sync
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_before_delay

from optsuite.storage._errors import UnreachableError, explained
from optsuite.storage._filesystems import is_local


class Patience(NamedTuple):
    """Seconds for all tries of a call, and for one; large files are given more."""

    all_s: float
    one_s: float


WRITING, READING = Patience(90.0, 30.0), Patience(30.0, 10.0)
"""Patience of calls that write, and of those that read, list or delete."""

# A store that was tried for so long is tried once a call, for a shorter time, until this many seconds later.
_GONE_S, _ONCE_S = 60.0, 10.0
_BYTES_PER_S = 2**20  # slower transfers than this are given up

_ERRNOS = {
    getattr(errno, name)
    for name in (
        *("ENOSPC", "EDQUOT", "EIO", "ESTALE", "EREMOTEIO", "EBUSY", "EAGAIN", "EINTR", "EMFILE", "ENFILE"),
        *("ENOMEM", "ENOBUFS", "EPIPE", "ETIMEDOUT", "ECONNRESET", "ECONNREFUSED", "ECONNABORTED"),
        *("ENETDOWN", "ENETUNREACH", "ENETRESET", "EHOSTDOWN", "EHOSTUNREACH", "ESHUTDOWN", "ENOTCONN"),
    )
    if hasattr(errno, name)
}
_STATUSES = {408, 425, 429, 500, 502, 503, 504}
_CODES = {
    *("BadDigest", "IncompleteBody", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch"),
    *("RequestTimeout", "SlowDown", "Throttling", "OperationAborted", "ConditionalRequestConflict"),
}
# Errors of botocore, aiohttp, requests, google.auth and gcsfs that are not OSErrors, or have no number.
_KINDS = {
    *("HTTPClientError", "ResponseParserError", "FlexibleChecksumError", "ClientConnectionError"),
    *("ClientPayloadError", "HTTPException", "RequestException", "TransportError", "RefreshError"),
    *("ChecksumError", "IncompleteReadError", "ResponseStreamingError", "ConnectionError"),
}
_FINAL = (PermissionError, FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError)

_T = TypeVar("_T")
_rng = random.Random()
_log = logging.getLogger(__name__)
_gone: dict[tuple[str, Patience], float] = {}  # when each store was last found to be gone


def patiently(
    verb: str, url: str, call: Callable[[float], _T], *, num_bytes: int = 0, missing: str = ""
) -> _T:
    """Make a call until it succeeds, fails for a reason that time does not heal, or has had its time.

    Args:
        verb: Word for what is done, for errors; `write` and `create` have more patience than others.
        url: File or folder that it is done to.
        call: Takes the seconds that it may last.
        num_bytes: Size of what is transferred, which gives it more time.
        missing: End of the message where the file is missing; empty for the usual one.

    Raises:
        MissingFileError: There is no such file.
        UnreachableError: It failed for so long.
        StorageError: It failed for another reason.
    """
    patience = WRITING if verb in ("write", "create") else READING
    longer_s = transfer_s(num_bytes)
    all_s = patience.all_s + longer_s
    store = ("" if is_local(url) else "/".join(url.split("/")[:3]), patience)
    is_gone = time.monotonic() - _gone.get(store, -_GONE_S) < _GONE_S
    tries = Retrying(
        stop=stop_before_delay(0 if is_gone else all_s),
        # Tenacity's own random waits would draw from the random numbers of whoever trains.
        wait=lambda state: _rng.uniform(0, min(0.2 * 2**state.attempt_number, 5)),
        retry=retry_if_exception(is_passing),
        before_sleep=lambda state: _tell(verb, url, all_s, state),
        reraise=True,
    )
    with explained(verb, url, *[missing] * bool(missing)):
        try:
            result = tries(call, (_ONCE_S if is_gone else patience.one_s) + longer_s)
        except Exception as cause:
            if not is_passing(cause):
                raise
            _gone[store] = time.monotonic()
            raise UnreachableError(
                f"cannot {verb} `{url}`: {type(cause).__name__}: {cause} "
                f"({'the store was gone before' if is_gone else f'tried for {all_s:.0f} s'})"
            ) from cause
    _gone.pop(store, None)
    return result


def transfer_s(num_bytes: int) -> float:
    """Return the seconds that so many bytes may take to be sent, beside those for a call."""
    return num_bytes / _BYTES_PER_S


def ask(filesystem: Any, method: str, *args: Any, seconds: float, **kwargs: Any) -> Any:  # noqa: ANN401
    """Call a method of a file system, for so many seconds at most where it can be stopped.

    Only what works asynchronously in fsspec (S3, GCS, HTTP, ...) can be.
    """
    if isinstance(filesystem, AsyncFileSystem):
        return sync(filesystem.loop, getattr(filesystem, f"_{method}"), *args, timeout=seconds, **kwargs)
    return getattr(filesystem, method)(*args, **kwargs)


def is_passing(error: BaseException) -> bool:
    """Return whether time may heal an error: a full disk, a lost mount, a time-out, a server that is busy."""
    status, code = _answer(error)
    if status or code:
        return status in _STATUSES or code in _CODES
    if isinstance(error, _FINAL):
        return False
    if isinstance(error, TimeoutError | ConnectionError):
        return True
    if isinstance(error, OSError) and error.errno in _ERRNOS:
        return True
    return not _KINDS.isdisjoint(kind.__name__ for kind in type(error).__mro__)


def is_refusal(error: BaseException) -> bool:
    """Return whether an error says that a file that was to be created is there."""
    return isinstance(error, FileExistsError) or _answer(error)[0] == 412


def _answer(error: BaseException) -> tuple[int, str]:
    """Return the HTTP status and the error code of the answer that an error tells; 0 and "" if none."""
    for each in (error, error.__cause__):
        response = getattr(each, "response", None)
        if isinstance(response, dict):  # botocore
            status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            return int(status), str(response.get("Error", {}).get("Code", ""))
    status = getattr(error, "status", None) or getattr(error, "code", None)  # aiohttp; gcsfs
    return (int(str(status)), "") if str(status).isdecimal() else (0, "")


def _tell(verb: str, url: str, seconds: float, state: RetryCallState) -> None:
    if state.attempt_number == 1 and state.outcome:
        error = state.outcome.exception()
        _log.warning("cannot %s %s yet (%s); trying again for up to %.0f s", verb, url, error, seconds)
