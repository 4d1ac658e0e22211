"""Groups that are killed or stopped at any step leave the curves of those that nothing interrupts."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from optsuite import trainer
from optsuite.errors import OptsuiteError, StorageError, StoppedError
from optsuite.hparam_sets import Config, Schedule
from optsuite.tasks import get_task
from optsuite.trainer import Group, Unkept, _checkpoints, _run
from optsuite.trainer._grid import How
from optsuite.trainer._layouts_file import Layout

from .keepers import WHERE, Killed, Memory, groups_of, in_pieces, whole
from .own import configs_of, own
from .own_tasks import Net
from .own_tasks import own as own_task
from .runs import AVERAGED, KINDS, TINY, adam, assert_identical, nadam, sgd, trials_of
from .test_own_tasks import with_attribute

pytestmark = [
    pytest.mark.usefixtures("own_file", "at_every_step"),
    pytest.mark.filterwarnings("ignore:.*(one by one|slower|side by side):RuntimeWarning"),
]
SCHEDULE = Schedule(60, eval_every=20, eval_batches=1, last_eval_batches=2)
SHORT = Schedule(12, eval_every=4, eval_batches=1, last_eval_batches=2)
PES = "PESWrapped_1pair_ImageMLP_FashionMnist8_Relu32"


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
    "evolution": ([adam(1e-3), adam(1e-2)], get_task(f"ESWrapped_1pair_{TINY.name}")),
    "carry": ([sgd(0.1), sgd(0.3)], AVERAGED),
    "dropout": ([adam(1e-3), adam(1e-4)], KINDS["dropout"]),
    "learned": ([Config("l", "AdafacMLPLOpt", {"theta": "example"})], TINY),
    "class": ([nadam(1e-3), nadam(1e-2)], TINY),
    "class-failing": (("Fragile", 0.1, 0.25, 1e30), TINY),
    "class-by-config": (("Sum", 0.1, 0.3), TINY),
    "class-one-by-one": (("Noisy", 0.1, 0.3), TINY),
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
