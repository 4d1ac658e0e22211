"""Runs of 2000 steps on the published images end where the original's do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from optsuite import trainer
from optsuite.hparam_sets import Config, Schedule, Trial, get_hparam_set

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not Path("/usr/share/datasets/fashion-mnist").is_dir(),
        reason="needs Debian's dataset-fashion-mnist",
    ),
]


@pytest.fixture(autouse=True)
def small_data(monkeypatch):
    """Replace the folder's fixture: whole datasets."""
    monkeypatch.delenv("OPTSUITE_DATA", raising=False)


def final_losses(task_name, labels, num_seeds):
    """Give, by label, the training loss of the last 100 of 2000 steps, the mean over the seeds."""
    trials = [
        Trial(task_name, config, Schedule(2000, eval_batches=0), seed)  # evaluations change no training loss
        for config in get_hparam_set("AdamLR_2000_R5").configs
        if config.label in labels
        for seed in range(num_seeds)
    ]
    assert len(trials) == len(labels) * num_seeds
    curves = trainer.train_many(task_name, trials, mode="real", device="cpu")
    assert {str(curve["data_source"]) for curve in curves} == {"real"}
    return {
        label: np.mean([curve["train/loss"][1900:] for curve in curves if curve.opt_name == label])
        for label in labels
    }


def test_small_mlp_learns_as_the_original():
    """The original's figures are means of five seeds, to two digits; single seeds scatter by 2 %."""
    expected = {"Adam_lr0.001": 0.61, "Adam_lr0.003": 0.55, "Adam_lr0.01": 0.49}
    losses = final_losses("ImageMLP_FashionMnist8_Relu32", expected, num_seeds=10)
    assert losses == pytest.approx(expected, rel=0.04)


def test_auto_encoder_learns_as_the_original():
    """Its seeds scatter by 2.5 %, so the mean of three by 1.5 %."""
    expected = {"Adam_lr0.001": 0.0192}
    losses = final_losses("ImageMLPAE_FashionMnist_128x32x128_bs128", expected, num_seeds=3)
    assert losses == pytest.approx(expected, rel=0.03)


def test_the_example_of_a_learned_optimizer_beats_sgd():
    """At 1000 steps, SGD at the best of its rates."""
    example = Config("example", "AdafacMLPLOpt", {"theta": "example"})
    task, schedule = "ImageMLP_FashionMnist8_Relu32", Schedule(1000, eval_batches=0)
    configs = [example, *(c for c in get_hparam_set("SGDLR_1000_R2").configs if c.hparams["lr"] >= 0.1)]
    trials = [Trial(task, config, schedule, seed) for config in configs for seed in range(2)]
    curves = trainer.train_many(task, trials, mode="real", device="cpu")
    last = {
        config.label: np.mean([c["train/loss"][900:] for c in curves if c.opt_name == config.label])
        for config in configs
    }
    assert last.pop("example") < 0.52 < min(last.values())
