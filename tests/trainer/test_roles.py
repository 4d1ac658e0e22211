"""Rules that treat parameters differently are told by the task what each is for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from optsuite.hparam_sets import Config, Schedule
from optsuite.modules import MLP

from .runs import TINY, assert_close, train, trials_of

SCHEDULE = Schedule(6, eval_every=3, eval_batches=1, last_eval_batches=1)
RATES = (0.02, 0.1)


def curves(make_config, task=TINY):
    """Curves by learning rate."""
    trials = trials_of(list(map(make_config, RATES)), schedule=SCHEDULE)
    trained = train(trials, task=task)
    return {RATES[n // (len(trials) // len(RATES))]: trained[trial] for n, trial in enumerate(trials)}


def by_muon(wrapper="", **hparams):
    def make(lr):
        given = {"lr": lr, "adam_lr_ratio": 0.5, "beta2": 0.999, **hparams}
        return Config(f"Muon{wrapper}_lr{lr}", f"Muon{wrapper}", given)

    return make


def by_adamw(lr):
    return Config(f"AdamW_lr{lr}", "AdamW", {"lr": 0.5 * lr, "weight_decay": 0.0})


@pytest.mark.parametrize(
    ("wrapper", "hparams"), [("", {}), ("ClippedAveraged", {"clip": 1e6, "average": 0.5})]
)
def test_muon_leaves_what_is_no_hidden_matrix_to_adamw(wrapper, hparams):
    """A network of one hidden layer has an input and an output, and no matrix between them."""
    expected = curves(by_adamw)
    for lr, curve in curves(by_muon(wrapper, **hparams)).items():
        assert_close(curve, expected[lr])


def test_muon_orthogonalizes_hidden_matrices():
    deeper = replace(TINY, build=lambda: MLP([64, 32, 32, 10]))
    expected = curves(by_adamw, deeper)
    for lr, curve in curves(by_muon(), deeper).items():
        assert curve["train/loss"][0] == pytest.approx(expected[lr]["train/loss"][0], rel=1e-5)
        assert abs(curve["train/loss"][-1] - expected[lr]["train/loss"][-1]) > 1e-4
