"""Groups that are killed or stopped at any step leave the curves of those that nothing interrupts."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from optsuite import trainer
from optsuite.errors import OptsuiteError, StoppedError, StorageError
from optsuite.hparam_sets import Config, Schedule
from optsuite.tasks import get_task
from optsuite.trainer import Group, Unkept, _checkpoints, _run
from optsuite.trainer._compile import can_compile
from optsuite.trainer._layouts_file import Layout

from .keepers import WHERE, Memory, groups_of, in_pieces, whole
from .own import configs_of, own
from .own_tasks import Net
from .own_tasks import own as own_task
from .runs import AVERAGED, KINDS, TINY, adam, assert_identical, nadam, sgd, trials_of
from .test_inner_trainings import PERSISTENT
from .test_own_tasks import with_attribute

pytestmark = [
    pytest.mark.usefixtures("own_file", "at_every_step"),
    pytest.mark.filterwarnings("ignore:.*(one by one|slower|side by side):RuntimeWarning"),
]
SCHEDULE = Schedule(60, eval_every=20, eval_batches=1, last_eval_batches=2)
SHORT = Schedule(12, eval_every=4, eval_batches=1, last_eval_batches=2)


@pytest.fixture
def at_every_step(monkeypatch):
    """Ask and save at every step."""
    monkeypatch.setattr(_run, "_ASK_SECONDS", 0.0)
    monkeypatch.setattr(_checkpoints, "_SHARE", np.inf)


DRAWING = own_task(lambda: Net(between=lambda: nn.Sequential(nn.ReLU(), nn.Dropout(0.5))))
BY_SEED = with_attribute(lambda: torch.rand(1).item())
CASES = {
    "rule": ([adam(1e-3), adam(1e-2)], TINY),
    "alone": ([adam(1e-3)], TINY, (3,)),
    "diverged": ([sgd(1e30), sgd(0.1), sgd(0.3)], TINY),
    "all-diverged": ([sgd(1e30), sgd(1e32)], TINY),
    "wrapped": (configs_of("SGDM+wsd+wd+clip+ema+accum", {}, 1e-2, 0.1), TINY),
    "evolution": ([adam(1e-3), adam(1e-2)], get_task(f"ESWrapped_1pair_{TINY.name}"), (0, 1), SHORT),
    "persistent": ([adam(1e-3)], PERSISTENT, (0, 1), SHORT),
    "carry": ([sgd(0.1), sgd(0.3)], AVERAGED),
    "dropout": ([adam(1e-3), adam(1e-4)], KINDS["dropout"], (0, 1), SHORT),
    "learned": ([Config("l", "AdafacMLPLOpt", {"theta": "example"})], TINY, (0, 1), SHORT),
    "class": ([nadam(1e-3), nadam(1e-2)], TINY),
    "class-failing": (("Fragile", 0.1, 0.25, 1e30), TINY),
    "class-by-config": (("Sum", 0.1, 0.3), TINY, (0, 1), SHORT),
    "class-one-by-one": (("Noisy", 0.1, 0.3), TINY, (0, 1), SHORT),
    "drawing": ([sgd(0.1), sgd(0.3)], DRAWING, (0, 1), SHORT),
    "by-seed": ([sgd(0.1), sgd(0.3)], BY_SEED, (0, 1, 2), SHORT),
}


def trials_for(configs, task, seeds=(0, 1), schedule=SCHEDULE):
    """Trials of configs, or of an own class that is named with its rates."""
    return trials_of(own(*configs) if isinstance(configs, tuple) else configs, seeds, schedule, task)


@pytest.fixture(autouse=True)
def sum_class(own_file, tmp_path):
    """A class that one object can step for the seeds of a config, not for all configs."""
    with (tmp_path / "own.py").open("a") as file:
        file.write(
            "\n\nclass Sum(Rebinding):\n"
            "    def __init__(self, params, lr):\n"
            "        super().__init__(params, lr)\n"
            "        self.words = f'{lr}'\n"
        )


def assert_same(actual, expected):
    """Check that outcomes are equal bit for bit, and errors in words."""
    assert actual.keys() == expected.keys()
    for trial, result in expected.items():
        if isinstance(result, Exception):
            assert str(result) in str(actual[trial])
        else:
            assert_identical(actual[trial], result)
            assert str(actual[trial]["trained_as"]) == str(result["trained_as"])


@pytest.mark.parametrize("ends", ["killed", "stopped"])
@pytest.mark.parametrize("case", CASES)
def test_what_is_interrupted_leaves_the_same_curves(case, ends):
    configs, task, *others = CASES[case]
    groups = groups_of(task, trials_for(configs, task, *others))
    expected = whole(task, groups)
    outcomes, keepers = in_pieces(task, groups, np.random.default_rng(len(case)), ends)
    assert_same(outcomes, expected)
    assert [keeper.reasons for keeper in keepers] == [[]] * len(groups)
    assert sum(keeper.loads for keeper in keepers) > 0


def test_the_ways_of_these_cases_are_those_that_they_stand_for():
    ways = {}
    for case in ("class", "class-by-config", "class-one-by-one", "drawing", "by-seed"):
        configs, task, *others = CASES[case]
        (group,) = groups_of(task, trials_for(configs, task, *others))
        ways[case] = {str(curve["trained_as"]) for curve in whole(task, [group]).values()}
    assert ways == {
        "class": {"2 seeds x 2 configs, eager, one optimizer object"},
        "class-by-config": {"2 seeds x 2 configs, eager, an optimizer object a config"},
        "class-one-by-one": {"2 seeds x 2 configs, eager, an optimizer object a trial"},
        "drawing": {"1 seeds x 1 configs, eager"},
        "by-seed": {"1 seeds x 2 configs, eager"},
    }


@pytest.fixture
def little_memory(monkeypatch):
    """Memory for two trials side by side."""
    real = _run.GridRun

    def grid_run(program_of, grid, source):
        if grid.num_trials > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        return real(program_of, grid, source)

    monkeypatch.setattr(_run, "GridRun", grid_run)


@pytest.mark.parametrize("ends", ["killed", "stopped"])
def test_halves_for_want_of_memory_go_on_bit_for_bit(ends, little_memory):
    groups = groups_of(TINY, trials_for([adam(1e-3), adam(1e-2), adam(0.1)], TINY, schedule=SHORT))
    expected = whole(TINY, groups)
    outcomes, _ = in_pieces(TINY, groups, np.random.default_rng(0), ends)
    assert_same(outcomes, expected)


def stopped_after(asks, task, group, keeper):
    """Outcomes until a group is stopped, and the error."""
    keeper.asks, outcomes = asks, []
    with pytest.raises(StoppedError) as caught:
        outcomes.extend(trainer.run(task, [(group, keeper)], **WHERE))
    return outcomes, str(caught.value)


def test_the_error_says_where_it_stopped_and_whether_it_was_saved():
    (group,) = groups_of(TINY, trials_for([adam(1e-3)], TINY))
    what = f"training of `{TINY.name}` was stopped at step"
    keeper = Memory(ends="stopped")
    assert stopped_after(0, TINY, group, keeper)[1] == f"{what} 0 of 60; run again to train it"
    assert keeper.file is None
    assert stopped_after(9, TINY, group, keeper)[1] == f"{what} 9 of 60 and saved; run again to go on"
    keeper.every_s, saves = np.inf, keeper.saves
    assert stopped_after(3, TINY, group, keeper)[1] == f"{what} 12 of 60 and saved; run again to go on"
    assert keeper.saves == saves + 1


def test_parts_that_ended_are_left_if_they_are_recorded_and_trained_again_if_not():
    """A part whose curve was lost is trained as it was, at last."""
    configs, task, *others = CASES["drawing"]
    (group,) = groups_of(task, trials_for(configs, task, *others))
    expected, keeper = whole(task, [group]), Memory(ends="stopped")
    run = trainer.run(task, [(group, keeper)], **WHERE)
    lost, *kept = (next(run) for _ in range(3))
    keeper.asks = 0
    with pytest.raises(StoppedError):
        next(run)
    keeper.curves = {outcome.trial: outcome.result for outcome in kept}
    keeper.asks, steps = np.inf, []
    again = list(trainer.run(task, [(group, keeper)], tell=steps.append, **WHERE))
    assert [outcome.trial for outcome in again][-1] == lost.trial
    assert len(again) == len(group.trials) - len(kept)
    assert_same({outcome.trial: outcome.result for outcome in (*kept, *again)}, expected)
    assert sum(steps) == len(group.trials) * (SHORT.num_steps + 1)


def saved_state(task=TINY, configs=(), asks=9, **options):
    """A group, and the keeper of its state."""
    (group,) = groups_of(task, trials_for([adam(1e-3), adam(1e-2)], task, **options))
    keeper = Memory(ends="stopped")
    stopped_after(asks, task, group, keeper)
    return group, keeper


def test_a_state_of_other_versions_is_set_aside_with_a_word(monkeypatch):
    group, keeper = saved_state()
    expected = whole(TINY, [group])
    monkeypatch.setattr("optsuite.trainer._identity.package_version", lambda name: "0.0")
    keeper.asks = np.inf
    outcomes = {o.trial: o.result for o in trainer.run(TINY, [(group, keeper)], **WHERE)}
    (reason,) = keeper.reasons
    assert reason.startswith("the state is of another run: needed one of versions optsuite 0.0, torch 0.0")
    assert_same(outcomes, expected)


def test_the_state_of_another_group_is_set_aside():
    group, keeper = saved_state()
    for other in (
        groups_of(TINY, trials_for([adam(1e-3), adam(2e-2)], TINY))[0],
        groups_of(TINY, group.trials[::2])[0],
        group._replace(layout=Layout(group.layout.width, is_compiled=True)),
    ):
        mine = Memory()
        mine.file = keeper.file
        assert "at step 0 of 60" in stopped_after(0, TINY, other, mine)[1]
        (reason,) = mine.reasons
        assert "the state is of another run: needed one of" in reason


def test_what_cannot_be_saved_is_told_once_and_trained(tmp_path):
    with (tmp_path / "own.py").open("a") as file:
        file.write(
            "\n\nclass Generator(Rebinding):\n"
            "    def __init__(self, params, lr):\n"
            "        super().__init__(params, lr)\n"
            "        self.generator = torch.Generator()\n"
        )
    groups = groups_of(TINY, trials_for(("Generator", 0.1), TINY, schedule=SHORT))
    keepers = [Memory() for _ in groups]
    with pytest.warns(RuntimeWarning, match="a kill loses what .* keeps a `Generator` in") as caught:
        outcomes = list(trainer.run(TINY, zip(groups, keepers, strict=True), **WHERE))
    assert len([w for w in caught if "a kill loses" in str(w.message)]) == 1
    assert not any(isinstance(outcome.result, Exception) for outcome in outcomes)
    keepers[0].start()
    _, words = stopped_after(3, TINY, groups[0], keepers[0])
    assert "not saved (`own.py:Generator` keeps" in words


def test_a_save_that_fails_is_told_once_and_stops_nothing():
    class Full(Memory):
        def save(self, arrays):
            raise StorageError("no space left")

    (group,) = groups_of(TINY, trials_for([adam(1e-3)], TINY, schedule=SHORT))
    with pytest.warns(RuntimeWarning, match="cannot be saved, and training goes on: no space left") as caught:
        outcomes = list(trainer.run(TINY, [(group, Full())], **WHERE))
    assert len(outcomes) == 2
    assert len(caught) == 1
    assert "not saved (no space left)" in stopped_after(3, TINY, group, Full(ends="stopped"))[1]


def test_saves_lie_apart_as_asked_and_as_their_cost_bids(monkeypatch):
    monkeypatch.setattr(_checkpoints, "_SHARE", 0.02)
    clock, saved = [0.0], []
    monkeypatch.setattr(_checkpoints.time, "monotonic", lambda: clock[0])

    class Slow(Memory):
        every_s = 10.0

        def should_stop(self):
            clock[0] += 1.0
            return False

        def save(self, arrays):
            saved.append((clock[0], int(arrays["step"])))
            clock[0] += 0.5  # so that the next is 25 s away at least

    (group,) = groups_of(TINY, trials_for([adam(1e-3)], TINY))
    list(trainer.run(TINY, [(group, Slow())], **WHERE))
    assert saved == [(10.0, 9), (35.5, 34), (61.0, 59)]


def test_curves_are_a_function_of_the_group_alone():
    """The class of the first group takes another way, in which the second does not follow."""
    trials = trials_for(("Fragile", 0.1, 0.3), TINY, schedule=SHORT)
    groups = [group._replace(layout=Layout(2, False)) for group in groups_of(TINY, trials)]
    one, other = (Group(groups[0].trials[n::2], groups[0].varying, groups[0].layout) for n in (0, 1))
    together, alone = whole(TINY, [one, other]), whole(TINY, [one]) | whole(TINY, [other])
    assert_same(together, alone)


def test_networks_of_other_seeds_change_no_way():
    """Groups of one seed each do not fit the network of the first."""
    groups = [
        Group(tuple(t for t in group.trials if t.seed == seed), group.varying, group.layout)
        for group in groups_of(BY_SEED, trials_for([sgd(0.1), sgd(0.3)], BY_SEED, (0, 1, 2), SHORT))
        for seed in (0, 1, 2)
    ]
    alone = {}
    for group in groups:
        alone |= whole(BY_SEED, [group])
    assert_same(whole(BY_SEED, groups), alone)


def test_groups_are_taken_when_the_last_one_has_ended_and_share_programs(monkeypatch):
    made, real = [], _run.Programs.__call__

    def programs(self, shape):
        made.append(real(self, shape))
        return made[-1]

    monkeypatch.setattr(_run.Programs, "__call__", programs)
    groups = groups_of(TINY, trials_for([adam(1e-3), adam(1e-2)], TINY, (0, 1, 2, 3), SHORT))
    (whole_group,) = groups
    parts = [
        Group(tuple(t for t in whole_group.trials if t.seed in seeds), whole_group.varying, Layout(4, False))
        for seeds in ((0, 1), (2, 3))
    ]
    taken = []

    def lazily():
        for part in parts:
            taken.append(part)
            yield part, Unkept()

    outcomes = trainer.run(TINY, lazily(), **WHERE)
    for _ in parts[0].trials:
        next(outcomes)
    assert len(taken) == 1
    assert len(list(outcomes)) == 4
    assert len({id(program) for program in made}) == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda g: g._replace(trials=g.trials[:3]), "each of 2 seeds crossed with each of 2 configs, got 3"),
        (lambda g: g._replace(trials=()), "each of 0 seeds"),
        (lambda g: g._replace(varying=()), "cannot share a program"),
        (
            lambda g: g._replace(trials=(*g.trials[:3], replace(g.trials[3], schedule=Schedule(3)))),
            "cannot share a program",
        ),
    ],
)
def test_odd_groups_are_refused(change, words):
    (group,) = groups_of(TINY, trials_for([adam(1e-3), adam(1e-2)], TINY))
    with pytest.raises(OptsuiteError, match=words):
        list(trainer.run(TINY, [(change(group), Unkept())], **WHERE))


DYING = """
import os, signal, sys
from dataclasses import replace
import numpy as np
from optsuite import trainer
from optsuite.data import DATASETS
from tests.trainer.keepers import WHERE, Memory, groups_of
from tests.trainer.runs import TINY, adam, trials_of
from optsuite.trainer import _checkpoints, _run
from optsuite.hparam_sets import Schedule

DATASETS["fashion_mnist"] = replace(DATASETS["fashion_mnist"], num_train=2000, num_test=500)
_run._ASK_SECONDS, _checkpoints._SHARE = 0.0, np.inf
path, most = sys.argv[1], int(sys.argv[2])


class OnDisk(Memory):
    def __init__(self):
        super().__init__()
        self.asks = most
        if os.path.exists(path):
            self.file = open(path, "rb").read()

    def save(self, arrays):
        super().save(arrays)
        open(path, "wb").write(self.file)

    def should_stop(self):
        self.asks -= 1
        if self.asks < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return False


(group,) = groups_of(TINY, trials_of([adam(1e-3), adam(1e-2)], (0, 1), Schedule(30, eval_batches=1)))
keeper = OnDisk()
for outcome in trainer.run(TINY, [(group, keeper)], **WHERE):
    curve = outcome.result
    np.save(f"{path}.{outcome.trial.seed}.{outcome.trial.config.label}.npy", curve["train/loss"])
    assert keeper.loads == (most > 1000)
"""


def test_a_fresh_process_goes_on_where_another_was_killed(tmp_path):
    def train(most):
        command = [sys.executable, "-c", DYING, str(tmp_path / "state"), str(most)]
        return subprocess.run(command, cwd=Path(__file__).parents[2], check=False).returncode

    assert train(17) == -9
    assert train(10**9) == 0
    trials = trials_of([adam(1e-3), adam(1e-2)], (0, 1), Schedule(30, eval_batches=1))
    for trial, curve in whole(TINY, groups_of(TINY, trials)).items():
        found = np.load(tmp_path / f"state.{trial.seed}.{trial.config.label}.npy")
        np.testing.assert_array_equal(found, curve["train/loss"])


@pytest.mark.slow
@pytest.mark.skipif(not can_compile("cpu"), reason="no compiler")
@pytest.mark.parametrize("case", ["rule", "class"])
def test_a_compiled_group_goes_on_bit_for_bit(case):
    """Killed twice; the programs of a group that goes on are made anew."""
    configs, task = CASES[case]
    (group,) = groups_of(task, trials_for(configs, task))
    group = group._replace(layout=group.layout._replace(is_compiled=True))
    expected = whole(task, [group])
    keeper = Memory()
    for asks in (7, 30):
        stopped_after(asks, task, group, keeper)
    keeper.asks = np.inf
    outcomes = {o.trial: o.result for o in trainer.run(task, [(group, keeper)], **WHERE)}
    assert_same(outcomes, expected)
    assert all("compiled" in str(curve["trained_as"]) for curve in outcomes.values())
