import uuid

import numpy as np
import pytest
from examples import (
    FIXTURE_LRS,
    FIXTURES,
    TASK,
    fixture_labels,
    make_archive,
    make_losses_archive,
    make_trial,
    sgd,
)
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from optsuite import archives, statistics, storage
from optsuite.archives import Absent, RecordedConfig
from optsuite.curves import Curve
from optsuite.statistics import Results
from optsuite.storage import CorruptFileError, MissingFileError

NAN, INF = np.nan, np.inf


@pytest.fixture
def root(tmp_path):
    return str(tmp_path / "archives")


def summarize(arrays, hparam_set="SGDLR_20_R2"):
    archive = archives.describe(arrays, task=TASK, hparam_set=hparam_set, url="r/T/a.npz")
    return statistics.summarize(archive)


# Moving averages


@given(
    hnp.arrays(
        st.sampled_from([np.float32, np.float64]),
        hnp.array_shapes(min_dims=1, max_dims=3, max_side=6),
        elements=st.floats(-1e6, 1e6, width=32),
    ),
    st.floats(0, 0.999),
)
def test_ema_equals_a_plain_loop_to_the_bit(values, decay):
    before = values.copy()
    averaged = statistics.ema(values, decay)
    expected = [values[..., :1]]  # as arrays, since a scalar's product may have another dtype
    for i in range(1, values.shape[-1]):
        expected.append(expected[-1] * decay + (1 - decay) * values[..., i : i + 1])
    np.testing.assert_array_equal(averaged, np.concatenate(expected, axis=-1))
    assert averaged.dtype == values.dtype
    np.testing.assert_array_equal(values, before)


def test_ema_without_decay_gives_the_values():
    values = np.array([3.0, 1.0, 2.0], np.float32)
    assert statistics.ema(values, 0).tolist() == [3, 1, 2]


def test_a_nan_stays_in_the_ema():
    averaged = statistics.ema(np.array([[1, NAN, 1, 1], [1, 1, 1, 1]]), 0.5)
    np.testing.assert_array_equal(averaged, [[1, NAN, NAN, NAN], [1, 1, 1, 1]])


# The best config


@pytest.mark.parametrize(
    ("final_loss_hs", "expected"),
    [
        ([[3, 1], [1, 2], [4, 4]], 1),
        ([[2, 2], [1, 3], [3, 1]], 0),
        ([[NAN, 0], [5, 5]], 1),
        ([[INF, 0], [5, 5]], 1),
        ([[-INF, 0], [5, 5]], 1),
        ([[-INF, INF], [NAN, INF], [1e12, 1e12]], 2),
        ([[3e38, 3e38], [1, 1]], 1),
        ([[NAN, NAN], [INF, 1]], None),
        ([[NAN], [1e35]], 1),
        ([[NAN]], None),
        ([[7]], 0),
    ],
)
def test_the_best_config_has_the_least_finite_mean_and_is_the_first_such(final_loss_hs, expected):
    assert statistics.best_config(np.array(final_loss_hs, np.float32)) == expected


losses = st.floats(0, 1e6) | st.sampled_from([NAN, INF, 1.0, 2.0])


@given(hnp.arrays(np.float64, st.tuples(st.integers(1, 5), st.integers(1, 4)), elements=losses))
def test_no_config_is_better_than_the_best(final_loss_hs):
    best = statistics.best_config(final_loss_hs)
    means = [row.mean() for row in final_loss_hs]
    finite = [mean for mean in means if np.isfinite(mean)]
    assert best == (means.index(min(finite)) if finite else None)


@pytest.mark.parametrize("fixtures", FIXTURES)
def test_the_best_config_is_the_one_that_the_original_would_plot(fixtures):
    paths = sorted((fixtures / "archives" / TASK).glob("*.npz"))
    assert paths
    for path in paths:
        with np.load(path) as archive:
            curve_mean = archive["eval/train/loss"].mean(axis=1)
            last = np.where(np.isnan(curve_mean[:, -1]), 99999999999, curve_mean[:, -1])
            ours = statistics.best_config(archive["eval/train/loss"][:, :, -1])
        assert ours == last.argmin()


# Results


@pytest.mark.parametrize("fixtures", FIXTURES)
def test_results_of_the_originals_archives_equal_their_arrays(fixtures):
    root = str(fixtures / "archives")
    paths = sorted((fixtures / "archives" / TASK).glob("*.npz"))
    results = statistics.read_results("*", "*", root)
    assert [result.hparam_set for result in results] == [path.stem for path in paths]
    for path, result in zip(paths, results, strict=True):
        archive = storage.read_npz(str(path))
        labels = fixture_labels(path)
        assert (result.task, result.url, result.num_steps) == (TASK, str(path), 100)
        assert (result.data_source, result.is_stand_in, result.seconds_per_step) == (None, False, None)
        assert result.configs == tuple(
            RecordedConfig(f, {"lr": lr}) for f, lr in zip(labels, FIXTURE_LRS, strict=True)
        )
        assert result.hparam("lr").tolist() == list(FIXTURE_LRS)
        assert result.eval_xs.tolist() == list(range(0, 101, 10))
        assert result.best_label == labels[result.best]
        metrics = {f"eval/{split}/loss" for split in ("train", "outer_valid", "test")}
        assert result.final.keys() == result.best_curves.keys() == metrics
        for key in metrics:
            np.testing.assert_array_equal(result.final[key], archive[key][:, :, -1])
            np.testing.assert_array_equal(result.best_curves[key], archive[key][result.best])
        assert result.diverged.shape == (3, 2)
        assert not result.diverged.any()


def test_results_of_ours_know_accuracy_data_source_and_time():
    archive = make_archive(sgd(0.1, 1), seeds=(0, 1, 2), extra={"seconds_per_step": 0.5})
    archive["seconds_per_step"][0] = (1, 3, NAN)
    result = summarize(archive)
    assert (result.data_source, result.is_stand_in) == ("synthetic", True)
    assert result.seconds_per_step == (1 + 3 + 3 * 0.5) / 5
    np.testing.assert_array_equal(result.final["eval/test/accuracy"], archive["eval/test/accuracy"][..., -1])
    assert result.best_curves["eval/outer_valid/accuracy"].shape == (3, 3)
    assert summarize(make_archive(sgd(0.1))).seconds_per_step is None
    assert not summarize(make_archive(sgd(0.1), data_source="real")).is_stand_in
    archive["data_source"][...] = "real"
    archive["data_source"][1, 2] = "synthetic"  # one trial is enough
    assert summarize(archive).data_source == "synthetic"


def test_trials_diverge_in_training_or_in_the_last_evaluation():
    archive = make_losses_archive([[1, 2], [3, NAN], [4, 5], [6, 7]])
    archive["train/loss"][0, 1, 3] = INF  # as the original may record it: finite again later
    archive["eval/train/loss"][2, 0, -1] = NAN
    archive["eval/test/loss"][3, 0, -1] = NAN
    result = summarize(archive)
    assert result.diverged.tolist() == [[False, True], [False, True], [True, False], [False, False]]
    assert result.best == 3


def test_where_all_diverged_there_is_no_best_config():
    result = summarize(make_losses_archive([[NAN, 1], [2, NAN]]))
    assert (result.best, result.best_label, result.best_curves) == (None, None, {})
    assert result.diverged.tolist() == [[True, False], [False, True]]
    assert result.final["eval/train/loss"].shape == (2, 2)


# Too few steps


@pytest.mark.parametrize(("num_steps", "is_evaluated"), [(0, False), (9, False), (10, True)])
def test_what_was_evaluated_only_before_training_has_no_best_config(num_steps, is_evaluated):
    result = summarize(make_archive(sgd(0.1, 1), num_steps=num_steps))
    assert result.is_evaluated is is_evaluated
    assert result.why_no_best == ("" if is_evaluated else "not evaluated after training")
    assert (result.best is None, result.best_label is None, not result.best_curves) == (not is_evaluated,) * 3
    assert result.num_steps == num_steps


def test_that_nothing_was_evaluated_after_training_is_said_before_what_diverged():
    result = summarize(make_archive(sgd(0.1), num_steps=9, loss=NAN))
    assert result.diverged.all()
    assert result.why_no_best == "not evaluated after training"
    assert summarize(make_archive(sgd(0.1), loss=NAN)).why_no_best == "all diverged"


# Repetitions of one config


def trials(losses_S, **changes):
    return [make_trial("a", {}, seed, loss=loss, **changes) for seed, loss in enumerate(losses_S)]


def test_a_summary_of_curves_is_that_of_their_archive():
    recorded = [make_trial("a", {"lr": 1}, seed) for seed in range(3)]
    summary = statistics.summarize_curves(recorded)
    result = summarize(archives.stack_curves([recorded]))
    assert summary.final.keys() == {"train", "outer_valid", "test"}
    for split, loss in summary.final.items():
        assert loss == result.final[f"eval/{split}/loss"][0].mean()
    assert (summary.num_diverged, summary.num_trials) == (0, 3)


@pytest.mark.parametrize("where", ["train/loss", "eval/train/loss"])
def test_a_seed_that_diverged_makes_the_mean_of_its_config_nan(where):
    first, second = trials([1, 2])
    last = second[where].copy()
    last[-1] = INF
    summary = statistics.summarize_curves([first, Curve({**second, where: last})])
    assert np.isnan(list(summary.final.values())).all()
    assert (len(summary.final), summary.num_diverged, summary.num_trials) == (3, 1, 2)


def test_a_summary_of_curves_has_no_loss_from_before_training():
    assert statistics.summarize_curves(trials([1, NAN], num_steps=9)) == ({}, 1, 2)
    assert statistics.summarize_curves(trials([1, NAN], eval_batches=0, eval_metrics={})) == ({}, 1, 2)
    assert statistics.summarize_curves(trials([1, 1], num_steps=10)).final["test"] == 1


# Many archives


def test_a_bad_archive_does_not_cost_the_others(root):
    archives.write_archive(TASK, "Good", make_archive(sgd(1)), root)
    storage.write_bytes(storage.archive_path(TASK, "Bad", root), b"not a zip")
    archives.write_archive(TASK, "Foreign", {"a": 1}, root)
    results = statistics.read_results(TASK, ["Good", "Bad", "None", "Foreign"], root)
    good, bad, none, foreign = results
    assert isinstance(good, Results)
    assert [r.reason for r in results if isinstance(r, Absent)] == ["unreadable", "missing", "unreadable"]
    assert (bad.task, bad.hparam_set, bad.url) == (TASK, "Bad", f"{root}/{TASK}/Bad.npz")
    assert isinstance(bad.error, CorruptFileError)
    assert "Bad.npz` is not a readable npz" in str(bad.error)
    assert isinstance(none.error, MissingFileError)
    assert str(none.error) == f"no archive of `None` for task `{TASK}` at `{root}/{TASK}/None.npz`"
    assert "lacks train/loss (it has a)" in str(foreign.error)
    assert archives.require_any(results, root) == results


def test_an_archive_without_evaluations_is_told_from_a_damaged_one(root):
    archive = make_archive(sgd(1), eval_batches=0, eval_metrics={})
    archives.write_archive(TASK, "None", archive, root)
    archives.write_archive(TASK, "Some", {**archive, "eval/xs": np.zeros((1, 2, 3), int)}, root)
    no_plan = {key: array for key, array in archive.items() if key != "eval_batches"}
    archives.write_archive(TASK, "Planless", no_plan, root)
    results = statistics.read_results(TASK, ["None", "Some", "Planless"], root)
    assert [result.reason for result in results] == ["not evaluated", "unreadable", "unreadable"]
    assert "None.npz` was not evaluated (eval_batches=0): it lacks eval/xs" in str(results[0].error)
    assert "Some.npz` is not a complete archive: it lacks eval/train/loss" in str(results[1].error)


def test_a_folder_in_place_of_an_archive_does_not_cost_the_others(tmp_path):
    root = str(tmp_path)
    archives.write_archive(TASK, "Good", make_archive(sgd(1)), root)
    (tmp_path / TASK / "Bad.npz").mkdir()
    bad, good = statistics.read_results(TASK, "*", root)
    assert isinstance(good, Results)
    assert bad.reason == "unreadable"
    assert "Bad.npz" in str(bad.error)


def test_cells_are_read_in_their_order_as_often_as_asked():
    root = f"memory://{uuid.uuid4().hex}"
    for name in ("A", "B"):
        archives.write_archive(TASK, name, make_archive(sgd(1)), root)
    read = statistics.read_cells(((task, name) for task in (TASK, "T") for name in "BAB"), root)
    assert [(r.task, r.hparam_set) for r in read] == [(t, n) for t in (TASK, "T") for n in "BAB"]
    assert [isinstance(r, Absent) for r in read] == [False] * 3 + [True] * 3
    assert statistics.read_cells([], root) == []
