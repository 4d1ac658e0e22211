"""A curve of a small schedule, and files that hold what they should or should not."""

from __future__ import annotations

import fsspec
import numpy as np
from examples import TASK

from optsuite.curves import make_curve
from optsuite.hparam_sets import trial_id

SCHEDULE = {"num_steps": 100, "eval_every": 10, "eval_batches": 5, "last_eval_batches": 10}
OURS = [f"{split}/{m}" for split in ("train", "outer_valid", "test") for m in ("loss", "loss_normalized")]


def original_curves(folder):
    return sorted((folder / "baselines").rglob("*.curves"))


def example(seed=0, **changes):
    points = changes.get("num_steps", 100)
    arguments = {
        **SCHEDULE,
        "task_name": TASK,
        "opt_name": "SGD_lr0.1",
        "seed": seed,
        "train_loss": np.linspace(2, 1, points + 1),
        "eval_metrics": {name: np.linspace(2, 1, points // 10 + 1) for name in OURS},
        "data_source": "synthetic",
        "config_text": "lr = 0.1",
        "accelerator_platform": "cpu",
        "accelerator_kind": "some cpu",
        "accelerator_devs": 1,
        "trial_id": trial_id({"opt": "SGD_lr0.1", "seed": seed}),
    }
    return make_curve(**{**arguments, **changes})


def put(url, content):
    with fsspec.open(url, "wb", auto_mkdir=True) as file:
        file.write(content)
