"""Seconds to read one archive as the tidy table and as its summary.

The archive is of the size of AdamLR_10000_R5: 15 configs of 5 seeds, 10,001 steps, evaluations of three
splits every 10 steps; its losses are noise, which hardly compresses.
"""

from __future__ import annotations

import time

import numpy as np
import pytest

from optsuite import archives, get_hparam_set, storage, tables
from optsuite.curves import make_curve

TASK, SET = "ImageMLP_FashionMnist8_Relu32", "AdamLR_10000_R5"
SPLITS = ("train", "outer_valid", "test")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Holds the archive."""
    hparam_set, rng = get_hparam_set(SET), np.random.default_rng(0)
    schedule, num_evals = hparam_set.schedule, len(hparam_set.schedule.eval_steps())

    def curve(trial):
        return make_curve(
            task_name=TASK,
            opt_name=trial.config.label,
            **vars(schedule),
            seed=trial.seed,
            train_loss=rng.random(schedule.num_steps + 1),
            eval_metrics={
                f"{split}/{metric}": rng.random(num_evals)
                for split in SPLITS
                for metric in ("loss", "loss_normalized", "accuracy")
            },
            data_source="synthetic",
            config_text=f'{{"hparams": {{"lr": {trial.config.hparams["lr"]}}}}}',
            accelerator_platform="cpu",
            accelerator_kind="cpu",
            accelerator_devs=1,
            trial_id=trial.id("synthetic"),
        )

    trials = hparam_set.trials(TASK)
    rows = [trials[i : i + hparam_set.repetitions] for i in range(0, len(trials), hparam_set.repetitions)]
    root = str(tmp_path_factory.mktemp("archives"))
    archives.write_archive(TASK, SET, archives.stack_curves([[curve(t) for t in row] for row in rows]), root)
    return root


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("tidy table", lambda root: tables.archive_table(TASK, SET, root)),
        ("tidy table without batches", lambda root: tables.archive_table(TASK, SET, root, splits=SPLITS)),
        ("summary", lambda root: tables.summary_table(TASK, SET, root)),
    ],
)
def test_read_one_archive(root, name, read, report_line):
    """The best of three, of an archive on the local disk."""
    size = len(storage.read_bytes(storage.archive_path(TASK, SET, root)))
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        table = read(root)
        seconds.append(time.perf_counter() - began)
    shape = f"{len(table):,} rows, {table.memory_usage(deep=True).sum() / 1e6:.1f} MB"
    report_line(f"{SET} ({size / 1e6:.1f} MB), {name}: {min(seconds):.3f} s, {shape}")
    assert len(table)
