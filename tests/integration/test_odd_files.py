"""Curves that are well-formed but odd cost their own config, and never the session."""

from __future__ import annotations

import numpy as np

from optsuite.storage import read_npz, write_npz

from .conftest import TASK, text

LOSS = np.ones(11, np.float32)
ODD = (
    {"train/loss": LOSS.astype("S8")},
    {"train/loss": LOSS.astype("U8")},
    {"train/loss": LOSS.astype("m8[s]")},
    {"train/loss": np.zeros(11, [("a", "f4")])},
    {"train/loss": LOSS.astype(complex)},
    {"train/loss": LOSS.astype(">f4")},
    {"train/xs": np.full(11, np.nan)},
    {"train/xs": np.arange(5), "train/loss": LOSS[:5]},
    {"eval/xs": np.arange(0), "eval/train/loss": LOSS[:0]},
    {"eval/xs": np.array([0, np.nan])},
    {"eval/train/loss": np.zeros((2, 2), np.float32)},
    {"seed": np.array([0])},
    {"seed": 7},
    {"data_source": "real"},
    {"num_steps": 5},
)


def test_odd_curves_fail_their_configs_alone_and_are_repaired(bench):
    bench.run(sets="ManyLR_10_R1").assert_outcomes(passed=16)
    sound = {path: read_npz(str(path)) for path in bench.curve_files}
    for archive in bench.archive_files:
        (bench.path / archive).unlink()
    for path, changes in zip(bench.curve_files, ODD, strict=False):
        write_npz(str(path), {**sound[path], **changes})

    result = bench.run(sets="ManyLR_10_R1", report="on")
    result.assert_outcomes(passed=1, failed=len(ODD))
    assert "INTERNALERROR" not in text(result)
    assert text(result).count("to train it again, run once more with --opt-rerun failed") >= len(ODD)
    assert bench.archive_files == []

    bench.run("--opt-rerun=failed", sets="ManyLR_10_R1").assert_outcomes(passed=16)
    assert bench.archive_files == [f"curves_archives_synthetic/{TASK}/ManyLR_10_R1.npz"]
    assert len(bench.curve_files) == 16
    for path in bench.curve_files:
        old = next(arrays for other, arrays in sound.items() if other.parent == path.parent)
        np.testing.assert_array_equal(read_npz(str(path))["train/loss"], old["train/loss"])
