"""A curve of a small schedule, and files that hold what they should or should not."""

from __future__ import annotations

import io
import zipfile

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


def bomb(arrays):
    """An npz of arrays of zeros, (shape, dtype) by key, which is small however large they are."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for key, (shape, dtype) in arrays.items():
            with archive.open(f"{key}.npy", "w", force_zip64=True) as member:
                header = {"descr": dtype, "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(member, header)
                left = int(np.prod(shape)) * np.dtype(dtype).itemsize
                for start in range(0, left, 2**20):
                    member.write(bytes(min(2**20, left - start)))
    return buffer.getvalue()
