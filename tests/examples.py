"""Cells to test with: made-up ones, and those that learned_optimization's own code wrote."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from optsuite import archives, curves
from optsuite.hparam_sets import trial_id

REPOSITORY = Path(__file__).parents[1]
TASK = "ImageMLP_FashionMnist8_Relu32"
SPLITS = ("train", "outer_valid", "test")

_EVERYTHING = REPOSITORY.parent / "shared" / "reference" / "format_fixtures"
FIXTURES = [
    pytest.param(REPOSITORY / "tests" / "goldens" / "format_fixtures", id="committed"),
    pytest.param(
        _EVERYTHING,
        id="all",
        marks=pytest.mark.skipif(not _EVERYTHING.is_dir(), reason="not on this machine"),
    ),
]
"""Folders of files that the original wrote: the committed few, and all of them where they are."""

FIXTURE_LRS = (0.001, 0.01, 0.1)


def fixture_labels(path):
    """Labels of the configs of an archive of the original, as its folders of curves are named."""
    family = path.stem.removesuffix("_100_R2")  # the folders of some have the LR, too
    if not (path.parents[2] / "baselines" / TASK / f"{family}_lr0.1").is_dir():
        family = family.removesuffix("LR")
    return [f"{family}_lr{lr}" for lr in FIXTURE_LRS]


def sgd(*lrs):
    """Hyperparameters by label."""
    return {f"SGD_lr{lr}": {"lr": lr} for lr in lrs}


def make_trial(label, hparams, seed, *, num_steps=20, accuracy=True, loss=None, **changes):
    """One curve, of random losses that label and seed choose, or of one loss throughout."""
    rng = np.random.default_rng([zlib.crc32(label.encode()), seed, num_steps])
    evals = num_steps // 10 + 1
    metrics = ("loss", "loss_normalized", *(("accuracy",) if accuracy else ()))
    arguments = {
        "task_name": TASK,
        "opt_name": label,
        "num_steps": num_steps,
        "eval_every": 10,
        "eval_batches": 5,
        "last_eval_batches": 10,
        "seed": seed,
        "train_loss": rng.random(num_steps + 1) if loss is None else np.full(num_steps + 1, loss),
        "eval_metrics": {
            f"{split}/{metric}": rng.random(evals) if loss is None else np.full(evals, loss)
            for split in SPLITS
            for metric in metrics
        },
        "data_source": "synthetic",
        "config_text": json.dumps({"hparams": hparams}),
        "accelerator_platform": "cpu",
        "accelerator_kind": "cpu",
        "accelerator_devs": 1,
        "trial_id": trial_id({"label": label, "seed": seed, "num_steps": num_steps}),
    }
    return curves.make_curve(**{**arguments, **changes})


def make_archive(hparams_by_label, seeds=(0, 1), **changes):
    """The archive of a cell."""
    return archives.stack_curves(
        [
            [make_trial(label, hparams, seed, **changes) for seed in seeds]
            for label, hparams in hparams_by_label.items()
        ]
    )


def make_losses_archive(final_loss_HS):
    """An archive of SGD whose trials have one loss throughout."""
    return archives.stack_curves(
        [
            [make_trial(f"SGD_lr{h}", {"lr": h}, s, loss=loss) for s, loss in enumerate(row)]
            for h, row in enumerate(final_loss_HS)
        ]
    )


def points(table, values, rows="repetition"):
    """(configs, `rows`, steps) of a table of one cell and split."""
    assert not table.duplicated(["config", rows, "step"]).any()
    wide = table.pivot(index=["config", rows], columns="step", values=values)
    shape = (table["config"].nunique(), table[rows].nunique(), table["step"].nunique())
    return wide.reindex(table["config"].unique(), level="config").to_numpy().reshape(shape)


def listed(column):
    """The values of a column, None for what is missing."""
    return [None if pd.isna(value) else value for value in column]


def assert_same_arrays(left, right):
    assert left.keys() == right.keys()
    for key in left:
        old, new = np.asarray(left[key]), np.asarray(right[key])
        assert (old.dtype, old.shape) == (new.dtype, new.shape), key
        assert old.tobytes() == new.tobytes(), key
