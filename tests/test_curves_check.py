"""All of a curve is held against its folder, its name and its own facts."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from curve_examples import OURS, bomb, example, original_curves, put
from examples import FIXTURES, TASK

from optsuite import curves, storage
from optsuite.curves import Curve
from optsuite.errors import StorageError
from optsuite.storage import CorruptFileError

NAME = f"20260101_000000_{example()['trial_id']}"
LOSS, POINTS = np.ones(101, np.float32), np.arange(101)


def written(root, changes, name=None, folder=f"{TASK}/SGD_lr0.1/100_10_5_10", left_out=()):
    """The URL of a file that holds a curve with changes."""
    arrays = {key: array for key, array in {**example(), **changes}.items() if key not in left_out}
    url = f"{root}/{folder}/{name or NAME}.curves"
    storage.write_npz(url, arrays)
    return url


ODD = [
    # kinds of dtype
    ({"train/loss": LOSS.astype("S8")}, r"`train/loss` needs float32, got \|S8"),
    ({"train/loss": LOSS.astype("U8")}, "`train/loss` needs float32, got <U8"),
    ({"train/loss": np.zeros(101, [("a", "f4")])}, r"`train/loss` needs float32, got \[\('a'"),
    ({"train/loss": LOSS.astype("m8[s]")}, "`train/loss` needs float32, got timedelta64"),
    ({"train/loss": LOSS.astype("M8[s]")}, "`train/loss` needs float32, got datetime64"),
    ({"train/loss": LOSS.astype(complex)}, "`train/loss` needs float32, got complex128"),
    ({"train/loss": LOSS.astype(">f4")}, "`train/loss` needs float32, got >f4"),
    ({"train/loss": LOSS.astype(float)}, "`train/loss` needs float32, got float64"),
    ({"train/xs": POINTS.astype(float)}, "`train/xs` needs int64, got float64"),
    ({"train/xs": np.where(POINTS == 50, np.nan, POINTS)}, "`train/xs` needs int64, got float64"),
    ({"num_steps": 100.0}, "`num_steps` needs int64, got float64"),
    ({"seed": True}, "`seed` needs int64, got bool"),
    ({"opt_name": b"SGD_lr0.1"}, r"`opt_name` needs text, got \|S9"),
    ({"gin_operative_config": 3}, "`gin_operative_config` needs text, got int64"),
    ({"precision": np.zeros(3)}, "`precision` needs text, got float64"),
    ({"note": b"x"}, r"`note` needs numbers or text, got \|S1"),
    ({"no\x1bte": 1j}, r"`'no\\x1bte'` needs numbers or text, got complex128"),
    # one value where there should be one, and curves as long as the schedule
    ({"num_steps": [100]}, r"`num_steps` needs one value, got shape \(1,\)"),
    ({"opt_name": ["SGD_lr0.1"]}, r"`opt_name` needs one value, got shape \(1,\)"),
    ({"trained_as": ["a", "b"]}, r"`trained_as` needs one value, got shape \(2,\)"),
    ({"train/xs": POINTS[:5], "train/loss": LOSS[:5]}, r"`train/xs` needs shape \(101,\), got \(5,\)"),
    ({"train/loss": LOSS[None]}, r"`train/loss` needs shape \(101,\), got \(1, 101\)"),
    ({"train/xs": 3, "train/loss": np.float32(2)}, r"`train/xs` needs shape \(101,\), got \(\)"),
    ({"eval/xs": POINTS[:0]}, r"`eval/xs` needs shape \(11,\), got \(0,\)"),
    ({"eval/test/loss": LOSS[:0]}, r"`eval/test/loss` needs shape \(11,\), got \(0,\)"),
    ({"eval/test/accuracy": LOSS[:12]}, r"`eval/test/accuracy` needs shape \(11,\), got \(12,\)"),
    ({"train/xs": POINTS + 1}, "`train/xs` is not the steps of its schedule"),
    ({"eval/xs": POINTS[:11]}, "`eval/xs` is not the steps of its schedule"),
    # facts
    ({"num_steps": 50}, "its schedule is 50_10_5_10, its folder's 100_10_5_10"),
    ({"num_steps": 2**63 - 1}, "its schedule is 9223372036854775807_10_5_10, its"),
    ({"eval/eval_batches": 6}, "`eval/eval_batches` is 6, `eval_batches` 5"),
    ({"seconds_per_step": np.inf}, "`seconds_per_step` is inf"),
    ({"seconds_per_step": -1.0}, r"`seconds_per_step` is -1\.0"),
    ({"peak_memory_bytes": -2}, "`peak_memory_bytes` is -2"),
    ({"accelerator_devs": -1}, "`accelerator_devs` is -1"),
    # identity
    ({"task_name": "Other"}, f"its `task_name` is `Other`, its folder's `{TASK}`"),
    ({"opt_name": "SGD_\x1b"}, r"its `opt_name` is `'SGD_\\x1b'`, its folder's `SGD_lr0\.1`"),
    ({"trial_id": "aaaaaaaaaa"}, "its `trial_id` is `aaaaaaaaaa`, in its name"),
    ({"data_source": "../x"}, r"its `data_source` is `\.\./x`"),
    # text
    ({"accelerator_kind": "\ud800"}, "`accelerator_kind` is no text"),
    ({"note": np.array([2**31 - 1], np.uint32).view("U1")}, "`note` is no text"),
]


@pytest.mark.parametrize(("changes", "message"), ODD)
def test_a_curve_that_does_not_fit_is_corrupt_and_named(root, changes, message):
    url = written(root, changes)
    with pytest.raises(CorruptFileError, match=f"`{url}` is not a file of curves .*{message}"):
        curves.read_curve(url)


@pytest.mark.parametrize("key", [*curves.REQUIRED_KEYS, *curves.EVAL_KEYS, "seed", "data_source", "trial_id"])
def test_a_curve_without_a_key_is_corrupt(root, key):
    with pytest.raises(CorruptFileError, match=rf"it lacks {key}; its keys are .* more"):
        curves.read_curve(written(root, {}, left_out=[key]))


def test_evaluations_that_the_schedule_has_not_are_corrupt(root):
    url = written(root, {"eval_batches": 0}, folder=f"{TASK}/SGD_lr0.1/100_10_0_10")
    with pytest.raises(CorruptFileError, match="`eval_batches` is 0, and it has eval/xs, eval/eval_batches"):
        curves.read_curve(url)


@pytest.mark.parametrize("name", ["mine", "20260101_000000_f343ea5f-a", "20260101_000000_aaaaaaaaaa"])
def test_a_curve_of_ours_under_another_name_is_corrupt(root, name):
    with pytest.raises(CorruptFileError, match="its `trial_id` is"):
        curves.read_curve(written(root, {}, name))


def test_a_folder_that_is_not_named_by_a_schedule_says_nothing(root):
    for folder in ("copied", f"{TASK}/SGD_lr0.1/100_0_5_10", f"{TASK}/SGD_lr0.1/{'9' * 5000}_10_5_10"[:200]):
        assert Curve(curves.read_curve(written(root, {}, folder=folder))) == example()
    with pytest.raises(CorruptFileError, match="its schedule is 100_0_5_10"):
        curves.read_curve(written(root, {"eval_every": 0}, folder="copied"))


@pytest.mark.parametrize("changes", [
    {"train/loss": LOSS * np.nan, "eval/test/loss": LOSS[:11] * np.inf},
    {"note": [["x"], ["µ"]], "numbers": np.zeros((2, 0))},
    {"eval/test/top5": LOSS[:11]},
])  # fmt: skip
def test_losses_that_are_not_finite_and_more_keys_are_legal(root, changes):
    assert Curve(curves.read_curve(written(root, changes))) == Curve({**example(), **changes})


def test_every_curve_that_is_made_fits(root):
    for curve in (
        example(),
        example(num_steps=25),
        example(num_steps=0, eval_every=1000, train_loss=[np.nan], eval_metrics={m: [1] for m in OURS}),
        example(eval_batches=0, eval_metrics={}),
        example(train_loss=[np.inf] * 101, extra={"precision": "bf16", "trained_as": "vmap 70"}),
    ):
        assert Curve(curves.read_curve(curves.write_curve(curve, f"{root}/{len(curve)}"))) == curve


@pytest.mark.parametrize("folder", FIXTURES)
def test_the_originals_files_fit(folder):
    for path in original_curves(folder):
        curves.read_curve(str(path))


@pytest.mark.parametrize("folder", FIXTURES)
def test_the_originals_files_are_held_against_their_folder_too(folder, root):
    original = storage.read_npz(str(original_curves(folder)[0]))
    place = f"{root}/{TASK}/SGD_lr0.001/100_10_5_10/20261123_163504_ef004739-f.curves"
    doubles = {"train/loss": original["train/loss"].astype(float)}  # as jax gives where it is told to
    for changes in ({}, doubles):
        storage.write_npz(place, {**original, **changes})
        assert Curve(curves.read_curve(place)) == Curve({**original, **changes})
    for changes, message in (
        ({"num_steps": 50}, "its schedule is 50_10_5_10"),
        ({"train/loss": LOSS.astype("U")}, "`train/loss` needs floating-point numbers, got <U"),
        ({"eval/xs": np.zeros(11)}, "`eval/xs` needs integers, got float64"),
    ):
        storage.write_npz(place, {**original, **changes})
        with pytest.raises(CorruptFileError, match=message):
            curves.read_curve(place)


# Reading once more


def test_bits_that_flip_on_the_way_cost_nothing(root, monkeypatch):
    """A read that fails once is made again."""
    url = curves.write_curve(example(), root)
    good = storage.read_bytes(url)
    answers = iter([good[:200] + bytes([good[200] ^ 1]) + good[201:], good])
    monkeypatch.setattr("optsuite.storage._npz.read_bytes", lambda *_, **__: next(answers))
    assert Curve(curves.read_curve(url)) == example()
    assert list(answers) == []


# Sizes


@pytest.mark.parametrize("arrays", [
    {"train/loss": ((2**24,), "<f4")},
    {"note": ((2**24,), "<f4")},
    {"gin_operative_config": ((), f"<U{2**24}")},
    {f"note{i}": ((2**20,), "<f4") for i in range(16)},
])  # fmt: skip
def test_what_is_larger_than_its_schedule_allows_is_refused_before_memory_is_taken(root, arrays):
    url = f"{root}/{TASK}/SGD_lr0.1/100_10_5_10/{NAME}.curves"
    put(url, bomb(arrays))
    assert len(storage.read_bytes(url)) < 2**18
    tracemalloc.start()
    with pytest.raises(CorruptFileError):
        curves.read_curve(url)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * 2**20


@pytest.mark.parametrize("note", ["x" * 2**20, np.zeros(2**19)])
def test_a_small_curve_is_no_more_than_its_schedule_allows_wherever_it_lies(root, note):
    large = {"note": note}
    with pytest.raises(
        CorruptFileError, match=r"it takes 4,[0-9,]* bytes, more than a curve of its schedule"
    ):
        curves.read_curve(written(root, large, folder="copied"))
    with pytest.raises(StorageError, match=r"cannot write .* more than a curve of its schedule"):
        curves.write_curve(example(extra=large), root)


def test_a_schedule_whose_curves_could_not_be_read_is_refused():
    curves.check_length(5_000_000, 1000)
    with pytest.raises(StorageError, match="too large: needed less than 67,108,864"):
        curves.check_length(50_000_000, 1000)
