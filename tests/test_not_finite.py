"""What is not finite never becomes a number: in summaries, tables, ranks, scales and figures."""

import math
from functools import cache

import numpy as np
import pytest
from examples import SPLITS, TASK, make_archive, make_trial, sgd
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import pyplot as plt

from optsuite import archives, normalizers, statistics, tables, vis
from optsuite.curves import Curve
from optsuite.errors import OptsuiteError
from optsuite.normalizers import Normalizer

NUM_STEPS, EVALS = 20, (0, 10, 20)
BAD = (np.nan, np.inf, -np.inf)
KEYS = ("train/loss", *(f"eval/{split}/{metric}" for split in SPLITS for metric in ("loss", "accuracy")))


@cache
def _whole():
    return make_archive(sgd(0.1, 1, 10), num_steps=NUM_STEPS, extra={"seconds_per_step": 0.5})


injections = st.lists(
    st.tuples(
        st.sampled_from(KEYS), st.integers(0, 2), st.integers(0, 1), st.integers(0, 20), st.sampled_from(BAD)
    ),
    max_size=8,
)


def injected(bad):
    """An archive's arrays of three configs and two seeds, with what is not finite in places."""
    arrays = {key: np.array(values) for key, values in _whole().items()}
    for key, h, s, place, value in bad:
        arrays[key][h, s, place % arrays[key].shape[-1]] = value
    return arrays


def described(arrays):
    return archives.describe(arrays, task=TASK, hparam_set="SGDLR_20_R2", url="r/T/a.npz")


def has_diverged(arrays, h, s):
    return not (np.isfinite(arrays["train/loss"][h, s]).all() and np.isfinite(last(arrays, "train", h, s)))


def last(arrays, split, h, s, metric="loss"):
    return arrays[f"eval/{split}/{metric}"][h, s, -1]


@settings(deadline=None)
@given(injections)
def test_a_trial_that_diverged_has_no_final_value_and_its_config_no_rank(bad):
    arrays = injected(bad)
    result = statistics.summarize(described(arrays))
    means = {}
    for h in range(3):
        lost = [has_diverged(arrays, h, s) for s in range(2)]
        assert result.diverged[h].tolist() == lost
        for key in KEYS[1:]:
            for s in range(2):
                expected = np.nan if lost[s] else arrays[key][h, s, -1]
                np.testing.assert_array_equal(result.final[key][h, s], expected)
        if not any(lost):
            means[h] = np.mean([last(arrays, "train", h, s) for s in range(2)])
    assert result.best == (min(means, key=means.get) if means else None)


@settings(deadline=None)
@given(injections)
def test_a_value_in_a_table_is_a_number_only_if_all_its_seeds_have_one(bad):
    arrays = injected(bad)
    result = statistics.summarize(described(arrays))
    (row,) = tables.summarize_results([result]).to_dict("records")
    for split in SPLITS:
        for metric in ("loss", "accuracy"):
            mean = row[f"{split}_{metric}_mean"]
            if result.best is None:
                assert mean is None or math.isnan(mean)
            else:
                values = [last(arrays, split, result.best, s, metric) for s in range(2)]
                assert np.isfinite(mean) == np.isfinite(values).all()


@settings(deadline=None)
@given(injections)
def test_the_summary_of_single_curves_says_the_same_as_that_of_the_archive(bad):
    arrays = injected(bad)
    result = statistics.summarize(described(arrays))
    for h in range(3):
        recorded = [Curve({key: values[h, s] for key, values in arrays.items()}) for s in range(2)]
        summary = statistics.summarize_curves(recorded)
        assert summary.num_diverged == result.diverged[h].sum()
        for split, mean in summary.final.items():
            with np.errstate(invalid="ignore"):
                np.testing.assert_array_equal(mean, result.final[f"eval/{split}/loss"][h].mean())


@settings(deadline=None)
@given(injections)
def test_a_scale_is_fitted_to_what_has_not_diverged_alone(bad):
    arrays = injected(bad)
    steps, loss_hse = statistics.evaluated_loss(described(arrays))
    assert steps.tolist() == [*EVALS]
    for h, s in np.ndindex(3, 2):
        lost = [i for i, loss in enumerate(arrays["train/loss"][h, s]) if not np.isfinite(loss)]
        for e, step in enumerate(EVALS):
            told = arrays["eval/train/loss"][h, s, e]
            np.testing.assert_array_equal(loss_hse[h, s, e], np.nan if lost and step >= lost[0] else told)


@pytest.fixture
def root(tmp_path):
    return str(tmp_path)


@settings(deadline=None, max_examples=20)
@given(bad=injections)
def test_the_knots_of_a_scale_are_finite_or_it_is_refused(bad, tmp_path_factory):
    root = str(tmp_path_factory.mktemp("archives"))
    arrays = injected(bad)
    archives.write_archive(TASK, "A", arrays, root)
    try:
        built = normalizers.build(TASK, ["A"], num_knots=5, root=root)
    except OptsuiteError as error:
        assert "every config of A diverged" in str(error)  # noqa: PT017 - either is right
        return
    assert np.isfinite(built.ys).all()


@given(st.sampled_from(BAD), st.sampled_from([np.float16, np.float32, np.float64]))
def test_a_loss_that_is_not_finite_is_the_worst_on_a_scale(bad, dtype):
    assert Normalizer([0, 10, 20], [3, 2, 1])(np.array([bad], dtype)).tolist() == [0]


def test_a_mean_that_overflows_is_infinite_without_a_warning():
    trials = [make_trial("SGD_lr1", {"lr": 1}, seed, loss=3e38) for seed in (0, 1)]
    assert statistics.summarize_curves(trials).final["train"] == np.inf


@pytest.mark.parametrize("bad", [*BAD, 0.0, -1.0])
def test_a_time_that_is_none_is_left_out_of_the_mean(bad):
    arrays = injected([])
    arrays["seconds_per_step"][0] = [bad, 2.0]
    assert statistics.summarize(described(arrays)).seconds_per_step == (2.0 + 4 * 0.5) / 5
    arrays["seconds_per_step"][:] = bad
    assert statistics.summarize(described(arrays)).seconds_per_step is None


@pytest.mark.parametrize("bad", BAD)
def test_a_final_loss_that_is_not_finite_is_not_the_best_of_a_figure(bad, root):
    arrays = injected([("eval/test/loss", h, 0, 2, bad) for h in range(3)])
    archives.write_archive(TASK, "A", arrays, root)
    archives.write_archive(TASK, "B", injected([]), root)
    ax = vis.plot_final_losses(TASK, ["A", "B"], split="test", root=root)
    shown = {text.get_text(): text.get_fontweight() for text in ax.texts}
    assert shown["not finite"] == "normal"
    (number,) = (text for text in shown if text[0].isdigit())
    assert shown[number] == "bold"
    plt.close(ax.figure)
