"""Losses to steps: as the original's files and functions, the laws of the scale, every error's words."""

import json

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scales import EXAMPLE, GOLDEN_SETS, GOLDENS, TASK, archive, get, put, some_normalizers

from optsuite import archives, normalizers, storage
from optsuite.errors import OptsuiteError, StorageError
from optsuite.normalizers import Normalizer


def golden(name):
    return json.loads((GOLDENS / f"{name}.json").read_text())


LOSSES = st.floats(width=32)
# As the original


@pytest.mark.parametrize("name", GOLDEN_SETS)
def test_the_originals_archives_give_the_originals_normalizers(name):
    built = normalizers.build(TASK, GOLDEN_SETS[name], root=str(GOLDENS / "archives"))
    xs, ys = golden(name)[TASK]
    assert built.xs.tolist() == xs
    assert built.ys.tolist() == ys


@pytest.mark.parametrize("name", GOLDEN_SETS)
def test_losses_are_mapped_as_by_the_original(name):
    probe = golden(f"{name}_probe")
    normalizer = normalizers.load(str(GOLDENS / f"{name}.json"))[TASK]
    assert normalizer(np.array([float(loss) for loss in probe["inputs"]])).tolist() == probe["outputs"]


@pytest.mark.parametrize("case", ["fixture", "example", "flat_ends", "two_knots", "narrow", "long"])
def test_interpolation_is_that_of_jax_to_the_bit_but_at_minus_infinity(case):
    with np.load(GOLDENS / "interp.npz") as cases:
        xs, ys, loss, steps = (cases[f"{case}/{key}"] for key in ("xs", "ys", "loss", "steps"))
    np.testing.assert_array_equal(Normalizer(xs, ys)(loss), np.where(loss == -np.inf, 0, steps))


@pytest.mark.parametrize("name", GOLDEN_SETS)
def test_files_are_written_as_by_the_original(name, root):
    source = GOLDENS / f"{name}.json"
    normalizers.write(normalizers.load(str(source)), f"{root}/copy.json")
    assert get(f"{root}/copy.json") == source.read_bytes()


# From losses to steps


@pytest.mark.parametrize(
    ("loss", "steps"),
    [
        *((3.5, 0), (3, 0), (2.5, 5), (2, 10), (1.5, 25), (1, 30), (0.5, 30)),
        *((float("inf"), 0), (float("nan"), 0), (float("-inf"), 0), (1e300, 0), (-1e300, 30)),
    ],
)
def test_steps_of_the_example(loss, steps):
    assert EXAMPLE(loss) == steps
    assert isinstance(EXAMPLE(loss), float)
    assert EXAMPLE(np.array([loss, 3.0])).tolist() == [steps, 0]
    assert EXAMPLE(torch.tensor([loss, 3.0], dtype=torch.float64)).tolist() == [steps, 0]


def test_a_nan_is_no_step_even_where_the_curve_starts_flat():
    assert Normalizer([0, 10, 20], [3, 3, 1])(float("nan")) == 0


def test_the_horizon_is_the_last_step():
    assert EXAMPLE.horizon == 30


@settings(deadline=None)
@given(some_normalizers(), LOSSES)
def test_steps_lie_between_zero_and_the_horizon(normalizer, loss):
    assert 0 <= normalizer(loss) <= np.float32(normalizer.horizon)


@settings(deadline=None)
@given(some_normalizers(), LOSSES, LOSSES)
def test_a_lower_loss_never_takes_fewer_steps(normalizer, loss, other):
    """Up to the rounding of float32, in which neighbouring pieces need not meet."""
    assume(loss < other and np.isfinite([loss, other]).all())
    assert normalizer(loss) >= normalizer(other) - normalizer.horizon * 2**-22


@settings(deadline=None)
@given(some_normalizers(), st.lists(LOSSES, max_size=6))
def test_floats_arrays_and_tensors_agree(normalizer, losses):
    array = np.array(losses, dtype=np.float32)
    steps = normalizer(array)
    assert steps.dtype == np.float32
    assert steps.tolist() == [normalizer(loss) for loss in losses]
    assert steps.tolist() == normalizer(torch.from_numpy(array)).tolist()


@pytest.mark.parametrize("shape", [(), (0,), (2, 3), (2, 0, 3)])
def test_shapes_are_kept(shape):
    losses = np.linspace(0, 4, int(np.prod(shape))).reshape(shape)
    assert isinstance(EXAMPLE(losses), np.ndarray)
    assert EXAMPLE(losses).shape == shape
    assert EXAMPLE(torch.from_numpy(losses)).shape == shape


def test_any_layout_and_number_type_will_do():
    loss = np.array([[3, 2, 1], [2, 1, 3]])
    steps = np.array([[0, 10, 30], [10, 30, 0]], dtype=np.float32)
    read_only = loss.astype(">f8")
    read_only.setflags(write=False)
    for array in (loss, read_only, loss.astype(np.float16)):
        np.testing.assert_array_equal(EXAMPLE(array), steps)
        np.testing.assert_array_equal(EXAMPLE(array.T[::-1]), steps.T[::-1])
    for dtype in (torch.int64, torch.float64, torch.bfloat16):
        tensor = torch.tensor(loss, dtype=dtype)
        assert EXAMPLE(tensor).dtype == torch.float32
        assert EXAMPLE(tensor.T).tolist() == steps.T.tolist()
    assert not EXAMPLE(torch.ones(2, requires_grad=True)).requires_grad


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_tensor_stays_on_its_device_and_gives_the_same():
    loss = torch.linspace(0, 4, 1001)
    on_device = EXAMPLE(loss.cuda())
    assert on_device.is_cuda
    assert on_device.tolist() == EXAMPLE(loss).tolist()


@pytest.mark.parametrize(
    ("xs", "ys", "message"),
    [
        ([0, 1], [1, 0.5, 0], r"equally many numbers, two or more \(got shapes \(2,\) and \(3,\)\)"),
        ([0], [1], r"two or more \(got shapes \(1,\)"),
        ([[0, 1]], [[1, 0]], r"got shapes \(1, 2\)"),
        ([0, np.inf], [1, 0], r"xs must be finite \(got inf at knot 1\)"),
        ([0, 1], [1, np.nan], r"ys must be finite \(got nan at knot 1\)"),
        ([1, 2], [1, 0], r"xs must rise from 0 \(got 1\.0 at knot 0\)"),
        ([0, 2, 2], [2, 1, 0], r"xs must rise from 0 \(got 2\.0 at knot 2\)"),
        ([0, 1, 2], [2, 1, 1.5], r"ys must never rise \(got 1\.5 at knot 2\)"),
    ],
)
def test_knots_that_make_no_falling_curve_are_refused(xs, ys, message, root):
    with pytest.raises(OptsuiteError, match=message):
        Normalizer(xs, ys)
    put(f"{root}/n.json", json.dumps({"Good": [[0, 1], [1, 0]], "Bad": [xs, ys]}).encode())
    other = "must be numbers|is no finite number"  # what is no JSON, or no list of numbers, is seen before
    with pytest.raises(storage.CorruptFileError, match=rf"/n\.json`.*(?:{message}|{other})"):
        normalizers.load(f"{root}/n.json")


# Fitting


def smoothed(losses):
    values = [losses[0]]
    for loss in losses[1:]:
        values.append(0.95 * values[-1] + 0.05 * loss)
    return values


def test_a_fit_takes_the_mean_over_seeds_and_the_best_config_of_all_sets(root):
    archive(root, "A_30_R2", [[[4, 0, 0, 0], [4, 8, 8, 8]], [[9, 9, 9, 9]] * 2])
    archive(root, "B_30_R2", [[[5, -35, 5, 5]] * 2])
    fitted = normalizers.build(TASK, ["A_30_R2", "B_30_R2"], num_knots=4, root=root)
    assert fitted.xs.tolist() == [0, 10, 20, 30]
    best = smoothed([5, -35, 5, 5])
    np.testing.assert_allclose(fitted.ys, [4, best[1], best[1], best[1]], rtol=1e-6)


def test_configs_that_diverge_leave_the_fit_to_the_others(root):
    archive(root, "A_30_R2", [[[4, np.nan, np.nan, np.nan]], [[5, np.inf, 1, 1]], [[6, 5, 4, 3]]])
    archive(root, "B_30_R2", [[[4, 3e38, 3e38, 3e38], [4, 3e38, 3e38, 3e38]]])  # their sum overflows
    fitted = normalizers.build(TASK, ["A_30_R2", "B_30_R2"], num_knots=4, root=root)
    np.testing.assert_allclose(fitted.ys, np.minimum(4, smoothed([6, 5, 4, 3])), rtol=1e-6)


def test_a_config_whose_training_diverged_is_out_from_that_step_on_whatever_its_evaluations_say(root):
    train_loss = np.ones((2, 2, 31), dtype=np.float32)
    train_loss[0, 1, 15] = np.inf  # one seed of the better config, between two evaluations
    archive(root, "A_30_R2", [[[4, 3, 0, 0]] * 2, [[5, 4, 3, 2]] * 2], train_loss=train_loss)
    fitted = normalizers.build(TASK, ["A_30_R2"], num_knots=4, root=root)
    first, second = smoothed([4, 3]), smoothed([5, 4, 3, 2])
    np.testing.assert_allclose(fitted.ys, np.minimum.accumulate([*first, *second[2:]]), rtol=1e-6)
    train_loss[:, 0, 20] = -np.inf
    archive(root, "A_30_R2", [[[4, 3, 0, 0]] * 2, [[5, 4, 3, 2]] * 2], train_loss=train_loss)
    with pytest.raises(OptsuiteError, match=r"every config of A_30_R2 diverged, from step 20 on"):
        normalizers.build(TASK, ["A_30_R2"], root=root)


def test_a_fit_is_refused_where_all_configs_diverged(root):
    archive(root, "A_30_R2", [[[4, 3, np.nan, np.nan]], [[4, np.inf, 2, 1]]])
    with pytest.raises(OptsuiteError, match=f"task `{TASK}`: every config of A_30_R2 .*from step 20 on"):
        normalizers.build(TASK, ["A_30_R2"], root=root)


def test_sets_that_are_evaluated_at_other_steps_are_named(root):
    archive(root, "A_30_R2")
    archive(root, "B_60_R2", eval_every=20)
    with pytest.raises(
        OptsuiteError,
        match=rf"`{TASK}`: .*\(got A_30_R2 4 times up to step 30, B_60_R2 4 times up to step 60\)",
    ):
        normalizers.build(TASK, ["A_30_R2", "B_60_R2"], root=root)


def test_one_evaluation_is_too_few(root):
    archive(root, "A_5_R2", [[[4]]])
    with pytest.raises(OptsuiteError, match=r"more than once \(got A_5_R2 at step 0 only\)"):
        normalizers.build(TASK, ["A_5_R2"], root=root)


def test_a_missing_or_foreign_archive_is_named(root):
    with pytest.raises(StorageError, match=f"no archive of `A_30_R2` for task `{TASK}`"):
        normalizers.build(TASK, ["A_30_R2"], root=root)
    archives.write_archive(TASK, "A_30_R2", {"train/loss": np.zeros((1, 1, 31))}, root)
    with pytest.raises(StorageError, match=r"A_30_R2\.npz` .*lacks eval/xs, eval/train/loss"):
        normalizers.build(TASK, ["A_30_R2"], root=root)
