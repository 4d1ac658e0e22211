"""Claims on a piece of work, and locks, across processes and machines that share a store.

A claim is a file that only one process can create. Its owner renews it while it lives; who finds it unrenewed
for long takes over by creating the file of the next number, which again only one process can. So files of one
claim are `<stem>.claim.1`, `<stem>.claim.2`, .... Numbers come again once files were deleted; so a process
that has created a file looks again, and steps back unless all others are those of the dead that it saw.
Nobody deletes the file of an owner that lives but the owner.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, final

from optsuite.errors import StorageError
from optsuite.storage._errors import CorruptFileError, MissingFileError
from optsuite.storage._files import create, list_files, read_bytes, remove, write_bytes
from optsuite.storage._json import parse_json
from optsuite.storage._owner import Owner

LEASE_SECONDS = 60.0
"""Time for which a claim must go unrenewed, watched by one process, until its owner counts as dead."""

_BEAT_SECONDS = 15.0
# Clocks of machines differ, but not by so much: a claim that was stamped so long ago need not be watched.
_SURELY_OLD_SECONDS = 900.0
_LATEST = 1e11  # in the year 5138, which every machine can write
_MOST_BYTES = 16 * 1024

Facts = Mapping[str, Any]
"""More that a claim says, such as how far its work is; values that JSON can hold."""


class Holder(NamedTuple):
    """The owner of a claim, as its file tells it."""

    owner: Owner | None
    """None where the file cannot be read."""
    since: float
    """When it was claimed, in seconds since 1970 by the owner's clock."""
    renewed: float
    """When it was renewed last, likewise."""
    facts: Facts
    is_dead: bool
    """Whether its owner died, or did not renew it for long."""

    def __str__(self) -> str:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        if self.owner is None:
            return f"an unknown process since {since}"
        return f"process {self.owner.pid} on {self.owner.host.rpartition('-')[0]} since {since}"


@final
class Claim:
    """A claim that this process holds and renews in a thread until it is released."""

    def __init__(self, stem: str, number: int, facts: Callable[[], Facts]) -> None:
        self._stem, self._number, self._facts = stem, number, facts
        self._since = time.time()
        self._word = secrets.token_hex(8)  # no other claim has this content
        self._ended = threading.Event()
        self._is_lost = False
        self._thread = threading.Thread(target=self._beat, name=f"claim {stem}", daemon=True)

    @property
    def is_lost(self) -> bool:
        """Whether another process has taken over, since this one did not renew the claim in time."""
        return self._is_lost

    def try_create(self, dead: Mapping[int, bytes]) -> bool:
        """Create the file and begin to renew it; return False where another process was faster.

        Args:
            dead: Content of each file of the claim by number, all of owners that died.
        """
        if not create(_url(self._stem, self._number), self._content(), durable=False):
            return False
        others = {number: one for number, one in _contents(self._stem).items() if number != self._number}
        if not others.items() <= dead.items():
            self._delete()
            return False
        for number in others:
            _remove(self._stem, number)
        self._thread.start()
        return True

    def release(self) -> None:
        """Give the claim up."""
        self._ended.set()
        self._thread.join()
        self._delete()

    def _delete(self) -> None:
        if self._is_there():
            _remove(self._stem, self._number)

    def _is_there(self) -> bool:
        """Return whether its file is there and says is its own: numbers come again, words do not."""
        return self._word.encode() in (_read(_url(self._stem, self._number)) or b"")

    def _content(self) -> bytes:
        stamps = {"since": self._since, "renewed": time.time()}
        told = {"owner": Owner.here().to_json(), "word": self._word, **stamps, "facts": dict(self._facts())}
        return json.dumps(told).encode()

    def _beat(self) -> None:
        while not self._ended.wait(_BEAT_SECONDS):
            try:
                is_latest = max(_numbers(self._stem), default=0) == self._number
                if not (is_latest and self._is_there()):
                    self._is_lost = True
                    return
                write_bytes(_url(self._stem, self._number), self._content())
            except StorageError:
                continue  # a store that is gone shows where results are written; one that comes back, here


def claim(stem: str, facts: Callable[[], Facts] = dict) -> Claim | Holder:
    """Claim a piece of work, unless another process that lives has done so.

    Args:
        stem: URL that names the work, to which the endings of the claim's files are added.
        facts: Gives what else the claim says; called at each renewal, from another thread.

    Returns:
        The claim, or its holder.

    Raises:
        StorageError: The store cannot be reached or written to, or cannot create files exclusively.
    """
    while True:
        dead = _contents(stem)
        holder = _holder(stem, dead)
        if holder is not None and not holder.is_dead:
            return holder
        mine = Claim(stem, max(dead, default=0) + 1, facts)
        if mine.try_create(dead):
            return mine


def holder_of(stem: str) -> Holder | None:
    """Return who holds a claim; None if nobody does.

    Raises:
        StorageError: The store cannot be reached.
    """
    return _holder(stem, _contents(stem))


@contextmanager
def locked(url: str) -> Iterator[None]:
    """Keep other processes, on any machine, from what they do under a lock of the same name.

    Waits as long as the process that has it lives.

    Args:
        url: Name of the lock; its files lie beside it and are removed at the end.

    Raises:
        StorageError: The store cannot be reached or written to.
    """
    pause = 0.02
    while not isinstance(held := claim(url), Claim):
        time.sleep(pause)
        pause = min(1.0, 2 * pause)
    try:
        yield
    finally:
        held.release()


def _url(stem: str, number: int) -> str:
    return f"{stem}.claim.{number}"


def _remove(stem: str, number: int) -> None:
    remove(_url(stem, number), missing_ok=True)
    _watched.pop(_url(stem, number), None)


def _numbers(stem: str) -> list[int]:
    """Return the numbers of a claim's files."""
    folder, head = stem.rpartition("/")[0], f"{stem}.claim."
    endings = (url.removeprefix(head) for url in list_files(folder, "") if url.startswith(head))
    return [int(ending) for ending in endings if ending.isdecimal()]


_watched: dict[str, tuple[bytes, float]] = {}
"""Content of each claim's file as it was last seen, and when it was first seen so, by our own clock."""


def _contents(stem: str) -> dict[int, bytes]:
    """Return the content of each file of a claim by its number."""
    read = {number: _read(_url(stem, number)) for number in _numbers(stem)}
    return {number: content for number, content in read.items() if content is not None}


def _read(url: str) -> bytes | None:
    """Return the content of a claim's file; none of it if it is too large, None if the file is gone."""
    try:
        return read_bytes(url, most=_MOST_BYTES)
    except MissingFileError:
        _watched.pop(url, None)
        return None
    except CorruptFileError:
        return b""


def _holder(stem: str, contents: Mapping[int, bytes]) -> Holder | None:
    """Return the last owner that lives, else the last one that died; None without files."""
    holders = [_told(_url(stem, number), contents[number]) for number in sorted(contents, reverse=True)]
    return max(holders, key=lambda holder: not holder.is_dead, default=None)


def _told(url: str, content: bytes) -> Holder:
    """Return the holder that a claim's file tells of."""
    try:
        told = parse_json(content, url)
        since, renewed = float(told["since"]), float(told["renewed"])
        owner, facts = Owner.from_json(told["owner"], url), dict(told["facts"])
        if not 0 <= since < _LATEST or not 0 <= renewed < _LATEST:
            raise CorruptFileError(f"`{url}` tells no time")
    except (CorruptFileError, LookupError, TypeError, ValueError, OverflowError):  # somebody else's
        owner, since, renewed, facts = None, 0.0, time.time(), {}
    now = time.monotonic()
    seen, first = _watched.get(url, (None, now))
    first = first if seen == content else now
    _watched[url] = content, first
    is_dead = (
        (owner is not None and owner.is_surely_dead())
        or now - first > LEASE_SECONDS
        or time.time() - renewed > _SURELY_OLD_SECONDS
    )
    return Holder(owner, since, renewed, facts, is_dead)


def end_dead(stem: str) -> None:
    """Delete the files of a claim whose owner died.

    Raises:
        StorageError: The store cannot be reached.
    """
    holder = holder_of(stem)
    if holder is not None and holder.is_dead and isinstance(mine := claim(stem), Claim):
        mine.release()
