"""Whatever a class does, each of several trials has the curve of a plain loop of that class."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
import torch

from optsuite.data import IndexStream, load
from optsuite.hparam_sets import Schedule
from optsuite.noise import key_from, torch_generators_kept
from optsuite.optimizers import import_optimizer, set_training

from .adversaries import ADVERSARIES
from .own import configs_of
from .runs import KINDS, train, trials_of

TASK = KINDS["mlp"]
RATES, SEEDS = (0.03, 0.2), (0, 4)
SCHEDULE = Schedule(75, eval_every=75, eval_batches=1, last_eval_batches=1)
SHORT = Schedule(10, eval_batches=0)
CLASSES = re.findall(r"^class (\w+)\(Base\)", ADVERSARIES, re.MULTILINE)
# Those that one object cannot step for all trials.
BY_CONFIG = {"TopK", "PythonArithmetic", "AsksForTypeLate"}
ALONE = {
    *("BranchesOnNorm", "BranchesOnAgreement", "BackTracks", "CustomObjects", "IndexesByMask"),
    *("DrawsNoise", "DropsUpdates", "FreezesLate", "HooksLate", "ViewsPlainZeros"),
    *("TriesLate", "CountsInClosure", "EveryTwenty"),
    *("KeepsAliases", "KeyedById", "HoldsPartials", "GlobalDict"),
}


@pytest.fixture(autouse=True)
def adversaries(tmp_path, monkeypatch):
    """Work in a folder with the file of classes."""
    (tmp_path / "adversaries.py").write_text(ADVERSARIES)
    monkeypatch.chdir(tmp_path)


def batches_of(split, name, seed):
    """All batches of a stream, one after the other."""
    examples = load(TASK.dataset, split, source="synthetic", device="cpu")
    stream = IndexStream(len(examples), TASK.batch_size, seed=seed, name=name)
    return (examples.gather(stream.block(n, n + 1)[0]) for n in itertools.count())


def plain_loop(cls, lr, seed):
    """Losses of training, (num_steps + 1,), and of both evaluations, (2,)."""
    module = TASK.module(seed)
    train_losses, eval_losses = [], []
    evaluations = batches_of("test", "eval/test", seed)
    with torch_generators_kept(torch.device("cpu")):
        torch.manual_seed(key_from(seed, "optimizer", 0))
        optimizer = cls(module.parameters(), lr=lr)
        set_training(optimizer, is_training=True)
        batches = itertools.islice(batches_of("train", "train", seed), SCHEDULE.num_steps + 1)
        for n, batch in enumerate(batches):
            if n % SCHEDULE.eval_every == 0:
                set_training(optimizer, is_training=False)
                with torch.no_grad():
                    eval_losses.append(TASK.loss(module, next(evaluations)).item())
                set_training(optimizer, is_training=True)
            optimizer.zero_grad()
            loss = TASK.loss(module, batch)
            loss.backward()
            torch.manual_seed(key_from(seed, "optimizer", n + 1))
            optimizer.step()
            train_losses.append(loss.item())
    return train_losses, eval_losses


@pytest.mark.parametrize("name", CLASSES)
def test_every_trial_has_the_curve_of_a_plain_loop(name):
    path = f"adversaries.py:{name}"
    trials = trials_of(configs_of(path, {}, *RATES), SEEDS, SCHEDULE, TASK)
    curves = train(trials, TASK)
    one_object = "a trial" if name in ALONE else "a config" if name in BY_CONFIG else "one optimizer object"
    assert {str(curve["trained_as"]).endswith(one_object) for curve in curves.values()} == {True}
    for trial in trials:
        losses, evaluated = plain_loop(import_optimizer(path), trial.config.hparams["lr"], trial.seed)
        where = f"{name}, {trial.config.label}, seed {trial.seed}"
        assert np.ptp(losses) > 1e-3, f"{where}: nothing was trained"
        np.testing.assert_allclose(curves[trial]["train/loss"], losses, rtol=1e-3, err_msg=where)
        np.testing.assert_allclose(curves[trial]["eval/test/loss"], evaluated, rtol=1e-3, err_msg=where)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("TopK", "an optimizer object for each config instead of one for all"),
        (
            "KeyedById",
            r"object for each trial instead of one for all, .* \(its trials differ in `momenta` by",
        ),
        ("KeepsAliases", r"\(it keeps tensors that share memory\)"),
    ],
)
def test_a_class_that_cannot_be_lifted_is_told_once(name, words):
    trials = trials_of(configs_of(f"adversaries.py:{name}", {}, *RATES), SEEDS, SHORT, TASK)
    with pytest.warns(RuntimeWarning, match=words) as told:
        train(trials, TASK)
    assert len(told) == 1


@pytest.mark.parametrize("name", ["KeepsOnParameters", "Nested", "Lookahead", "KeepsPast"])
def test_what_a_class_remembers_is_kept_where_configs_are_left(name):
    """The config that diverges is dropped after 50 steps."""
    path = f"adversaries.py:{name}"
    trials = trials_of(configs_of(path, {}, 0.03, 1e30), SEEDS, SCHEDULE, TASK)
    curves = train(trials, TASK)
    for trial in trials[: len(SEEDS)]:
        assert str(curves[trial]["trained_as"]).endswith("one optimizer object")
        losses, _ = plain_loop(import_optimizer(path), 0.03, trial.seed)
        np.testing.assert_allclose(curves[trial]["train/loss"], losses, rtol=1e-3)


def test_modes_are_compared_as_well(tmp_path):
    """A class whose evaluated parameters are wrong when lifted has those of a plain loop."""
    (tmp_path / "modes.py").write_text(MODES)
    trials = trials_of(configs_of("modes.py:Scaled", {}, *RATES), SEEDS, SCHEDULE, TASK)
    curves = train(trials, TASK)
    for trial in trials:
        assert str(curves[trial]["trained_as"]).endswith("an optimizer object a config")
        losses, evaluated = plain_loop(
            import_optimizer("modes.py:Scaled"), trial.config.hparams["lr"], trial.seed
        )
        np.testing.assert_allclose(curves[trial]["train/loss"], losses, rtol=1e-3)
        np.testing.assert_allclose(curves[trial]["eval/test/loss"], evaluated, rtol=1e-3)


MODES = """
import torch

class Scaled(torch.optim.SGD):
    \"""Evaluates at scaled parameters, by a scale that differs for rates that are no numbers.\"""

    is_training = True

    def eval(self):
        if self.is_training:
            self.is_training = False
            self.scale(0.9 if isinstance(self.param_groups[0]["lr"], float) else 0.5)

    def train(self):
        if not self.is_training:
            self.is_training = True
            self.scale(1 / 0.9 if isinstance(self.param_groups[0]["lr"], float) else 2.0)

    def scale(self, factor):
        for param in self.param_groups[0]["params"]:
            param.data.mul_(factor)
"""
