"""Which worker of xdist gets which test, by xdist's own schedulers and workers that only take notes."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import pytest

from optsuite.plugin._ids import cell_of
from optsuite.plugin._xdist import LateChoice, by_cell

xdist_scheduler = pytest.importorskip("xdist.scheduler")

USUAL = {
    "load": xdist_scheduler.LoadScheduling,
    "worksteal": xdist_scheduler.WorkStealingScheduling,
    "loadgroup": xdist_scheduler.LoadGroupScheduling,
    "loadscope": xdist_scheduler.LoadScopeScheduling,
    "loadfile": xdist_scheduler.LoadFileScheduling,
    "each": xdist_scheduler.EachScheduling,
}
CELLS = [
    f"bench.py::test_baseline[Task{task}-AdamLR_10_R2-Adam_lr{lr}]" for task in range(4) for lr in range(15)
]
ORDINARY = [f"test_own.py::test_it[{number}]" for number in range(40)]


class Log:
    """Has a child by any name, and drops what it is told."""

    def __getattr__(self, name):
        return self

    def __call__(self, *words):
        pass


class Worker:
    """Takes the tests that it is sent, and gives back those that it has not begun."""

    def __init__(self, name):
        self.gateway = SimpleNamespace(id=name, spec=name)
        self.queue, self.stolen, self.shutting_down = [], [], False

    def send_runtest_some(self, indices):
        self.queue += indices

    def send_runtest_all(self):
        self.queue += range(len(self.ids))

    def send_steal(self, indices):
        self.stolen = [index for index in indices if index in self.queue[2:]]
        self.queue = [index for index in self.queue if index not in self.stolen]

    def shutdown(self):
        self.shutting_down = True


def ran(mode, ids, num_workers=2, speeds=(1, 5)):
    """Run tests under a mode; the ids that each worker ran, and the class that scheduled them."""
    option = SimpleNamespace(loadscopereorder=True)
    values = {"dist": mode, "tx": [f"{num_workers}*popen"], "maxschedchunk": None}
    config = SimpleNamespace(option=option, getvalue=values.get, getoption=values.get)
    usual, ours = USUAL[mode](config, Log()), by_cell(config, Log())
    scheduler = LateChoice(usual, ours) if ours else usual
    workers = [Worker(str(number)) for number in range(num_workers)]
    for worker in workers:
        worker.ids = ids
        scheduler.add_node(worker)
    for worker in workers:
        scheduler.add_node_collection(worker, ids)
    assert scheduler.collection_is_completed
    scheduler.schedule()
    done = {worker.gateway.id: [] for worker in workers}
    while any(worker.queue for worker in workers):
        for worker, speed in zip(workers, speeds, strict=True):
            for _ in range(speed):
                if worker.queue:
                    index = worker.queue.pop(0)
                    done[worker.gateway.id].append(ids[index])
                    scheduler.mark_test_complete(worker, index)
        for worker in workers:  # what was asked for while it ran
            if worker.stolen:
                scheduler.remove_pending_tests_from_node(worker, worker.stolen)
                worker.stolen = []
    return done, type(getattr(scheduler, "_chosen", scheduler))


def workers_of_cells(done):
    found = {}
    for worker, ids in done.items():
        for cell in filter(None, map(cell_of, ids)):
            found.setdefault(cell, set()).add(worker)
    return found


@pytest.mark.parametrize("mode", [mode for mode in USUAL if mode != "each"])
def test_a_cell_belongs_to_one_worker(mode):
    done, _ = ran(mode, [*CELLS, *ORDINARY])
    assert Counter(id_ for ids in done.values() for id_ in ids) == Counter([*CELLS, *ORDINARY])
    assert [len(workers) for workers in workers_of_cells(done).values()] == [1] * 4


@pytest.mark.parametrize("mode", ["load", "worksteal", "loadgroup"])
def test_cells_are_shared_out(mode):
    done, _ = ran(mode, CELLS)
    assert set.union(*workers_of_cells(done).values()) == {"0", "1"}


def test_every_worker_runs_everything_under_each():
    done, _ = ran("each", CELLS)
    assert all(Counter(ids) == Counter(CELLS) for ids in done.values())


@pytest.mark.parametrize("mode", USUAL)
def test_sessions_without_cells_keep_xdists_own_scheduling(mode):
    assert ran(mode, ORDINARY)[1] is USUAL[mode]


def test_tests_that_name_their_group_stay_with_it():
    grouped = [f"{id_}@mine" for id_ in (*CELLS[:20], *ORDINARY[:5])]
    done, _ = ran("loadgroup", [*grouped, *CELLS[20:]])
    (worker,) = {worker for worker, ids in done.items() if set(ids) & set(grouped)}
    assert set(grouped) <= set(done[worker])
