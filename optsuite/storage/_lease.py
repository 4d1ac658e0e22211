"""Claims on a piece of work, and locks, across processes and machines that share a store.

A claim is a file that only one process can create. Its owner renews it while it lives; who finds it unrenewed
for long takes over by creating the file of the next number, which again only one process can. So files of one
claim are `<stem>.claim.1`, `<stem>.claim.2`, ..., of which the highest number holds.
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

    def release(self) -> None:
        """Give the claim up."""
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join()
        for number in _numbers(self._stem):
            if number < self._number or (number == self._number and self._is_there()):
                _remove(self._stem, number)

    def _is_there(self) -> bool:
        """Return whether its file is there and says is its own: numbers come again, words do not."""
        try:
            return self._word.encode() in read_bytes(_url(self._stem, self._number), most=_MOST_BYTES)
        except (MissingFileError, CorruptFileError):
            return False

    def _start(self) -> None:
        self._thread.start()

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
    number = max(_numbers(stem), default=0)
    if number:
        holder = _read(stem, number)
        if holder is not None and not holder.is_dead:
            return holder
    mine = Claim(stem, number + 1, facts)
    if create(_url(stem, number + 1), mine._content(), durable=False):
        there = _numbers(stem)
        if max(there, default=0) == number + 1:
            for older in there:
                if older <= number:
                    _remove(stem, older)
            mine._start()
            return mine
        _remove(stem, number + 1)  # there is a later one, or was: its release deletes older files
    return holder_of(stem) or claim(stem, facts)


def holder_of(stem: str) -> Holder | None:
    """Return who holds a claim; None if nobody does.

    Raises:
        StorageError: The store cannot be reached.
    """
    number = max(_numbers(stem), default=0)
    return _read(stem, number) if number else None


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


def _read(stem: str, number: int) -> Holder | None:
    """Return what a claim's file tells; None if it is gone."""
    url = _url(stem, number)
    try:
        content = read_bytes(url, most=_MOST_BYTES)
    except MissingFileError:
        _watched.pop(url, None)
        return None
    except CorruptFileError:  # too large
        content = b""
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
    numbers = _numbers(stem)
    holder = _read(stem, max(numbers)) if numbers else None
    if holder is not None and holder.is_dead:
        for number in numbers:  # and none that was claimed since
            _remove(stem, number)
