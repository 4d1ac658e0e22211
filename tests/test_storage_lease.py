"""Claims and locks that processes and machines share a store by."""

from __future__ import annotations

import json
import multiprocessing
import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import pytest

from optsuite import storage
from optsuite.storage import Claim, Holder, _lease

_SPAWN = multiprocessing.get_context("forkserver")


@pytest.fixture(params=["local", "memory"])
def stem(request, tmp_path):
    if request.param == "local":
        yield str(tmp_path / "shared" / "work")
        return
    yield "memory://claims/shared/work"
    memory = fsspec.filesystem("memory")
    for path in memory.find("/claims"):
        memory.rm_file(path)


@pytest.fixture
def quick(monkeypatch):
    """Leases that end, and are renewed, within moments."""
    monkeypatch.setattr(_lease, "LEASE_SECONDS", 0.6)
    monkeypatch.setattr(_lease, "_BEAT_SECONDS", 0.05)


def files(stem):
    return [url.rpartition("/")[2] for url in storage.list_files(stem.rpartition("/")[0], "")]


def content_of_another_machine(**changes):
    owner = {"host": "elsewhere-0123", "pid": 7, "started": 5.0}
    told = {"owner": owner, "since": time.time(), "renewed": time.time(), "facts": {}} | changes
    return json.dumps(told).encode()


def of_another_machine(stem, number=1, **changes):
    """Write the claim of a process that nothing is known of."""
    storage.write_bytes(f"{stem}.claim.{number}", content_of_another_machine(**changes))


def test_a_claim_has_one_holder_until_it_is_released(stem):
    mine = storage.claim(stem, lambda: {"done": 3})
    assert isinstance(mine, Claim)
    holder = storage.claim(stem)
    assert isinstance(holder, Holder)
    assert (holder.owner, holder.facts, holder.is_dead) == (storage.Owner.here(), {"done": 3}, False)
    mine.release()
    assert files(stem) == []
    assert storage.holder_of(stem) is None
    again = storage.claim(stem)
    assert isinstance(again, Claim)
    again.release()


def test_claims_of_other_names_are_other_claims(stem):
    both = [storage.claim(stem), storage.claim(f"{stem}.more")]
    assert all(isinstance(one, Claim) for one in both)
    for one in both:
        one.release()


def amid_creation(monkeypatch, act):
    """Let others act once, after the next claim has looked and before it creates its file."""
    create = _lease.create

    def late(*args, **kwargs):
        monkeypatch.setattr(_lease, "create", create)
        act()
        return create(*args, **kwargs)

    monkeypatch.setattr(_lease, "create", late)


def test_ending_a_dead_claim_leaves_that_of_who_took_over_meanwhile(stem, monkeypatch):
    of_another_machine(stem, renewed=0)
    mine = []
    amid_creation(monkeypatch, lambda: mine.append(storage.claim(stem)))
    storage.end_dead(stem)
    assert files(stem) == ["work.claim.2"]
    mine[0].release()


def test_a_claim_is_not_taken_over_for_one_that_had_its_number(stem, monkeypatch):
    """A process that is slow saw a dead claim, after which others made two."""
    of_another_machine(stem, renewed=0)
    mine = []

    def take_over_and_claim_anew():
        storage.claim(stem).release()
        mine.append(storage.claim(stem))

    amid_creation(monkeypatch, take_over_and_claim_anew)
    assert isinstance(storage.claim(stem), Holder)
    assert files(stem) == ["work.claim.1"]
    mine[0].release()
    assert files(stem) == []


def test_a_claim_of_a_lower_number_that_lives_holds(stem):
    of_another_machine(stem, number=2, renewed=0)
    of_another_machine(stem, number=1)
    assert not storage.holder_of(stem).is_dead
    assert isinstance(storage.claim(stem), Holder)
    storage.end_dead(stem)
    assert files(stem) == ["work.claim.1", "work.claim.2"]


def test_a_lock_lets_one_thread_at_a_time_through_whatever_the_order_of_steps(stem, monkeypatch):
    """Each step on files comes late by chance, and some owners die."""
    rng, inside, most = random.Random(0), [], []

    def lately(function):
        def late(*args, **kwargs):
            time.sleep(rng.choice([0, 0, 0.001, 0.004]))
            return function(*args, **kwargs)

        return late

    for name in ("create", "read_bytes", "list_files", "remove"):
        monkeypatch.setattr(_lease, name, lately(getattr(_lease, name)))

    def enter(number):
        for _ in range(8):
            while not isinstance(held := storage.claim(stem), Claim):
                time.sleep(rng.choice([0, 0.002]))
            inside.append(number)
            time.sleep(0.001)
            most.append(len(inside))
            inside.remove(number)
            if rng.random() < 0.3:
                storage.write_bytes(f"{stem}.claim.{held._number}", content_of_another_machine(renewed=0))
            held.release()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(enter, range(6)))
    assert most == [1] * 48
    storage.end_dead(stem)
    assert files(stem) == []


def test_of_many_threads_one_gets_the_claim(stem):
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda _: storage.claim(stem), range(8)))
    (mine,) = (one for one in got if isinstance(one, Claim))
    mine.release()


def _claim_once(stem, start, results):
    start.wait()
    held = storage.claim(stem)
    results.put(isinstance(held, Claim))
    start.wait()  # nobody releases before all have asked


def test_of_many_processes_one_gets_the_claim(tmp_path):
    start, results = _SPAWN.Barrier(6), _SPAWN.Queue()
    stem = str(tmp_path / "work")
    processes = [_SPAWN.Process(target=_claim_once, args=(stem, start, results)) for _ in range(6)]
    for process in processes:
        process.start()
    assert sum(results.get(timeout=60) for _ in processes) == 1
    for process in processes:
        process.join()


def test_a_process_that_died_on_this_machine_is_found_out_at_once(tmp_path):
    stem = str(tmp_path / "work")
    code = f"import os; from optsuite import storage; storage.claim({stem!r}); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code], check=False)
    holder = storage.holder_of(stem)
    assert holder is not None
    assert holder.is_dead
    mine = storage.claim(stem)
    assert isinstance(mine, Claim)
    assert files(stem) == ["work.claim.2"]
    mine.release()
    assert files(stem) == []


def test_a_claim_that_is_not_renewed_ends(stem, quick):
    of_another_machine(stem)
    assert isinstance(storage.claim(stem), Holder)
    time.sleep(0.8)
    mine = storage.claim(stem)
    assert isinstance(mine, Claim)
    mine.release()


def test_a_claim_that_is_renewed_does_not_end(stem, quick):
    for number in range(5):
        of_another_machine(stem, renewed=time.time() + number)
        assert isinstance(storage.claim(stem), Holder)
        time.sleep(0.25)


def test_a_claim_that_was_renewed_long_ago_need_not_be_watched(stem):
    of_another_machine(stem, renewed=time.time() - 3600)
    mine = storage.claim(stem)
    assert isinstance(mine, Claim)
    mine.release()


def test_an_owner_renews_its_claim_and_what_it_says(stem, quick):
    done = [0]
    mine = storage.claim(stem, lambda: {"done": done[0]})
    for done[0] in range(1, 5):
        time.sleep(0.15)
        holder = storage.holder_of(stem)
        assert not holder.is_dead
    assert holder.facts["done"] >= 3
    assert not mine.is_lost
    mine.release()


@pytest.mark.parametrize("number", [1, 2])  # numbers come again
def test_who_was_too_slow_finds_out_and_leaves_the_claim_of_the_other(stem, quick, number):
    slow = storage.claim(stem)
    of_another_machine(stem, number=number)
    time.sleep(0.3)
    assert slow.is_lost
    slow.release()
    assert files(stem) == [f"work.claim.{number}"]
    assert storage.holder_of(stem).owner.host == "elsewhere-0123"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"owner": 1}', b"\xff" * 100, b"1" * 20_000])
def test_a_damaged_claim_holds_until_it_was_watched(stem, quick, content):
    storage.write_bytes(f"{stem}.claim.1", content)
    assert isinstance(storage.claim(stem), Holder)
    time.sleep(0.8)
    mine = storage.claim(stem)
    assert isinstance(mine, Claim)
    mine.release()
    assert files(stem) == []


def test_claims_of_the_dead_are_deleted_and_others_are_not(stem):
    mine = storage.claim(stem)
    storage.end_dead(stem)
    assert files(stem) == ["work.claim.1"]
    mine.release()
    of_another_machine(stem, renewed=0.0)
    storage.end_dead(stem)
    assert files(stem) == []


def _count(path, times):
    for _ in range(times):
        with storage.locked(f"{path}.lock"):
            number = int(Path(path).read_text())
            Path(path).write_text(str(number + 1))


def test_a_lock_lets_one_process_at_a_time_through(tmp_path):
    path = tmp_path / "count"
    path.write_text("0")
    processes = [_SPAWN.Process(target=_count, args=(str(path), 25)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert path.read_text() == "75"
    assert [one.name for one in tmp_path.iterdir()] == ["count"]
