"""An edited file makes other trials: they are trained, the old curves stay, and what is shown is the new."""

from __future__ import annotations

import numpy as np

from optsuite.storage import read_npz

from .conftest import EXTENSIONS, read_curves, text

OWN = """
import torch
from sizes import FACTOR


class Mine(torch.optim.SGD):
    def step(self, closure=None):
        for group in self.param_groups:
            for param in group["params"]:
                param.grad.mul_(FACTOR)
        super().step()
"""

OPTIMIZER = "--opt-optimizer=lib/own.py:Mine"
RULE = """
from optsuite import register_optimizer
from optsuite.optimizers import chain, scale_by_lr

register_optimizer("MyRule", lambda lr: chain(scale_by_lr(FACTOR * lr)))
register_family(Family("MyRuleLR", "MyRule", lambda: [Config("MyRule_lr0.1", "MyRule", {"lr": 0.1})]))
"""
OWN_TASK = """
def loss(outputs, batch):
    return FACTOR * fashion.loss_fn(outputs, batch)


register_task(replace(fashion, name="MyTask", loss_fn=loss))
"""


def check_edited(bench, write, *args, **options):
    """Run, run again, edit and run; then undo the edit."""

    def run(factor):
        write(factor)
        result = bench.run(*args, **options)
        result.assert_outcomes(passed=1)
        return {identity: curve["train/loss"][-1] for identity, curve in read_curves(bench.path).items()}

    first, again, edited, undone = run(1.0), run(1.0), run(0.25), run(1.0)
    assert len(first) == 1
    assert again == first
    assert len(set(edited.values())) == 2
    assert edited.items() > first.items()
    assert undone == edited


def test_an_edited_neighbour_of_a_class_has_it_trained_again(bench):
    (bench.path / "lib").mkdir()
    (bench.path / "lib" / "own.py").write_text(OWN)

    def write(factor):
        (bench.path / "lib" / "sizes.py").write_text(f"FACTOR = {factor}")

    check_edited(bench, write, OPTIMIZER, "-k", "lr0.1", sets="MineLR_10_R1")


def test_an_edited_rule_is_trained_again(bench):
    def write(factor):
        bench.pytester.makeconftest(f"{EXTENSIONS}\nFACTOR = {factor}\n{RULE}")

    check_edited(bench, write, sets="MyRuleLR_10_R1")


def test_an_edited_task_is_trained_again(bench):
    def write(factor):
        bench.pytester.makeconftest(f"{EXTENSIONS}\nFACTOR = {factor}\n{OWN_TASK}")

    check_edited(bench, write, "-k", "lr0.1", tasks="MyTask", sets="TinyLR_10_R1")


def test_the_archive_holds_what_was_trained_last(bench):
    (bench.path / "lib").mkdir()
    (bench.path / "lib" / "own.py").write_text(OWN)
    archived, ids = [], []
    for factor in (1.0, 0.25):
        (bench.path / "lib" / "sizes.py").write_text(f"FACTOR = {factor}")
        before = read_curves(bench.path).keys()
        result = bench.run(OPTIMIZER, sets="MineLR_10_R1")
        result.assert_outcomes(passed=15)
        assert "complete cells archived: 1" in text(result)
        (path,) = bench.path.rglob("*MineLR_10_R1*.npz")
        archived.append(read_npz(str(path))["train/loss"])
        ids.append(read_npz(str(path))["trial_id"])
    assert len(read_curves(bench.path)) == 30
    first, last = archived
    assert not np.array_equal(first, last)
    newest = read_curves(bench.path).keys() - before
    assert len(newest) == 15
    assert set(ids[-1].flat) == newest
