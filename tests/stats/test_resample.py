import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optsuite.errors import OptsuiteError
from optsuite.statistics import RULES, interval, resample

from .simulated import final_cell, make_cell, noisy, shared_noise, true_curves

NAN, INF = np.nan, np.inf
LAST = RULES["last"]


def example(seed=0, speeds=((1.0, 0.7, 0.4), (0.8, 0.9, 0.2)), num_seeds=4):
    """Two optimizers, `A` and `B`, with three settings each."""
    random = np.random.default_rng(seed)
    shared_SE = shared_noise(random, num_seeds, 0.05)
    return {
        name: noisy(random, true_curves(each), shared_SE) for name, each in zip("AB", speeds, strict=True)
    }


def cells_of(losses):
    return {name: make_cell(losses_HSE) for name, losses_HSE in losses.items()}


def resampled(losses, **options):
    return resample(cells_of(losses), "B", LAST, num_resamples=50, **options)


# Numbers for the seeds as they are


def test_the_first_number_is_that_of_the_best_setting():
    final_HS = np.array([[3.0, 1.0], [1.0, 2.0], [5.0, 5.0]])
    found = resample({"A": final_cell(final_HS)}, "A", LAST)
    assert found.chosen == {"A": 1}
    assert found.final["A"][0] == 1.5
    assert found.final["A"].shape == (2001,)
    assert found.num_seeds == 2
    assert found.steps_ratio == found.reached == {}


def test_each_draw_chooses_anew_and_tells_how_far_it_is_from_all_seeds():
    """Two seeds have three draws: (0, 0), (1, 1), and both; by hand, with the setting 1 best on all seeds."""
    final_HS = np.array([[1.0, 4.0], [3.0, 1.0]])  # means 2.5 and 2
    found = resample({"A": final_cell(final_HS)}, "A", LAST, num_resamples=4000).final["A"]
    # (0, 0) chooses setting 0: 1 instead of 2.5; (1, 1) chooses 1: 1 instead of 2; both: no difference.
    plain, differences = np.array([1.0, 1.0, 2.0]), np.array([-1.5, -1.0, 0.0])
    values, counts = np.unique(found[1:].round(9), return_counts=True)
    np.testing.assert_allclose(counts / 4000, [0.25, 0.25, 0.5], atol=0.03)
    np.testing.assert_allclose(values, 2 + differences, atol=1e-9)
    assert plain.std() < differences.std()  # so that the differences' spread is the one that counts


def test_a_ratio_below_one_is_faster():
    curves = {
        "A": [[[2.0, 1.0, 0.5, 0.5]]],  # at 1 after 100 steps
        "B": [[[2.0, 1.5, 1.25, 1.0]]],  # at 1 after 300
    }
    xs = np.array([0, 100, 200, 300])
    cells = {name: make_cell(np.array(losses), xs=xs) for name, losses in curves.items()}
    found = resample(cells, "B", LAST, num_resamples=1)
    assert found.steps_ratio["A"][0] == pytest.approx(1 / 3)
    assert found.reached == {"A": True}
    np.testing.assert_allclose(found.score["A"][0], [3.0])
    np.testing.assert_allclose(found.score["B"][0], [1.0])
    turned = resample(cells, "A", LAST, num_resamples=1)
    assert turned.steps_ratio["B"][0] == pytest.approx(3)
    assert turned.reached == {"B": False}


def test_steps_are_interpolated_between_evaluations():
    xs = np.array([0, 100, 200])
    cells = {
        "A": make_cell(np.array([[[3.0, 2.0, 0.0]]]), xs=xs),
        "B": make_cell(np.array([[[3.0, 2.0, 1.0]]]), xs=xs),
    }
    assert resample(cells, "B", LAST, num_resamples=1).steps_ratio["A"][0] == pytest.approx(150 / 200)


def test_a_loss_that_is_there_at_once_counts_as_reached_in_a_hundredth():
    xs = np.arange(0, 1001, 1)
    falls_at_once = np.r_[1.0, np.zeros(1000)]
    cells = {
        "A": make_cell(falls_at_once[None, None], xs=xs),
        "B": make_cell(np.linspace(1, 0.5, 1001)[None, None], xs=xs),
    }
    assert 0.01 < resample(cells, "B", LAST, num_resamples=1).steps_ratio["A"][0] < 0.2
    at_start = {"A": make_cell(np.zeros((1, 1, 1001)), xs=xs), "B": cells["B"]}
    assert resample(at_start, "B", LAST, num_resamples=1).steps_ratio["A"][0] == pytest.approx(0.01, rel=0.01)


def test_other_steps_of_evaluations_compare():
    curve = np.linspace(3, 1, 11)
    cells = {
        "A": make_cell(curve[None, None], xs=np.arange(0, 101, 10)),
        "B": make_cell(curve[None, None, ::5], xs=np.arange(0, 101, 50)),
    }
    assert resample(cells, "B", LAST, num_resamples=1).steps_ratio["A"][0] == pytest.approx(1)


def test_the_same_curves_have_a_ratio_of_one_without_doubt():
    losses_HSE = example()["A"]
    found = resampled({"A": losses_HSE, "B": losses_HSE.copy()})
    assert interval(found.steps_ratio["A"], 4, log=True)[:3] == (1, 1, 1)
    assert interval(found.final["A"] - found.final["B"], 4)[:3] == (0, 0, 0)
    np.testing.assert_array_equal(found.score["A"], found.score["B"])


def test_rules_choose_and_judge_as_they_say():
    losses = {
        "train": np.array([[[9.0, 1.0, 3.0]], [[9.0, 8.0, 2.0]]]),
        "outer_valid": np.array([[[9.0, 5.0, 1.0]], [[9.0, 5.0, 2.0]]]),
        "test": np.array([[[9.0, 5.0, 4.0]], [[9.0, 5.0, 3.0]]]),
    }
    cells = {"A": make_cell(losses["train"], losses=losses, xs=np.array([0, 5, 10]))}
    found = {name: resample(cells, "A", rule, num_resamples=1) for name, rule in RULES.items()}
    assert {name: (one.chosen["A"], one.final["A"][0]) for name, one in found.items()} == {
        "last": (1, 2.0),
        "smoothed": (1, 2.0),
        "validation": (0, 4.0),
    }


def test_the_smoothed_rule_looks_at_the_last_tenth():
    steady, lucky = np.full(101, 2.0), np.full(101, 3.0)
    lucky[-1] = 1.0
    cells = {"A": make_cell(np.stack([steady, lucky])[:, None], xs=np.arange(101))}
    assert resample(cells, "A", LAST, num_resamples=1).chosen["A"] == 1
    assert resample(cells, "A", RULES["smoothed"], num_resamples=1).chosen["A"] == 0


# Divergence


def test_a_setting_with_a_diverged_seed_is_never_chosen():
    final_HS = np.array([[0.1, 0.1, NAN], [2.0, 3.0, 4.0]])
    found = resample({"A": final_cell(final_HS)}, "A", LAST)
    assert found.chosen == {"A": 1}
    assert np.isfinite(found.final["A"]).all()
    assert found.final["A"].min() >= 2


def test_a_trial_that_diverged_after_its_last_evaluation_has_diverged():
    cell = final_cell(np.array([[0.1, 0.1], [2.0, 3.0]]), diverged=np.array([[False, True], [False, False]]))
    assert resample({"A": cell}, "A", LAST).chosen == {"A": 1}


def test_without_a_setting_that_is_finite_all_numbers_are_the_worst():
    losses = example()
    losses["A"][:, 0, 20:] = NAN
    found = resampled(losses)
    assert found.chosen["A"] is None
    assert np.isinf(found.final["A"]).all()
    np.testing.assert_allclose(found.steps_ratio["A"], 100)
    np.testing.assert_allclose(found.score["A"], 0.01)
    assert not found.reached["A"]
    assert interval(found.final["A"], 4)[:1] == (INF,)
    assert np.isnan(interval(found.final["A"], 4)[1:3]).all()


def test_a_reference_that_diverged_is_beaten_by_all_that_did_not():
    losses = example()
    losses["B"][:] = NAN
    found = resampled(losses)
    np.testing.assert_allclose(found.steps_ratio["A"], 0.01)
    losses["A"][:] = NAN
    np.testing.assert_array_equal(resampled(losses).steps_ratio["A"], 1)


def test_a_loss_that_is_infinite_on_the_way_does_no_harm():
    losses = example()
    losses["A"][0, 0, 5] = INF
    found = resampled(losses)
    assert np.isfinite(found.steps_ratio["A"]).all()
    assert np.isfinite(found.final["A"]).all()


# Laws


def all_numbers(found):
    names = "final", "steps_ratio", "score"
    return {(field, name): values for field in names for name, values in getattr(found, field).items()}


def assert_same_numbers(found, expected):
    assert found.keys() == expected.keys()
    for key, values in expected.items():
        np.testing.assert_allclose(found[key], values, rtol=1e-9, err_msg=str(key))


@given(st.integers(0, 1000), st.permutations(range(3)))
@settings(max_examples=20, deadline=None)
def test_order_does_not_matter(seed, order):
    losses = example(seed)
    found = resampled(losses)
    turned = resampled({"B": losses["B"][order], "A": losses["A"]})
    assert_same_numbers(all_numbers(turned), all_numbers(found))
    assert order[turned.chosen["B"]] == found.chosen["B"]


@given(st.integers(0, 1000), st.floats(1e-3, 1e3))
@settings(max_examples=20, deadline=None)
def test_the_unit_of_the_loss_does_not_matter_for_ratios(seed, unit):
    losses = example(seed)
    found, scaled = resampled(losses), resampled({name: unit * each for name, each in losses.items()})
    for name, values in found.steps_ratio.items():
        np.testing.assert_allclose(scaled.steps_ratio[name], values, rtol=1e-6)
    np.testing.assert_allclose(scaled.score["A"], found.score["A"], rtol=1e-6)
    np.testing.assert_allclose(scaled.final["A"], unit * found.final["A"], rtol=1e-9)


@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_a_setting_that_is_worse_changes_nothing(seed):
    losses = example(seed)
    more = losses | {"A": np.concatenate([losses["A"], losses["A"].max(0, keepdims=True) + 1])}
    assert_same_numbers(all_numbers(resampled(more)), all_numbers(resampled(losses)))


@given(st.integers(0, 1000), st.floats(0.25, 4))
@settings(max_examples=30, deadline=None)
def test_ratios_turn_round_with_the_reference(seed, speed):
    losses = example(seed, speeds=((speed, 0.2), (1.0, 0.5)))
    there = resampled(losses).steps_ratio["A"][0]
    back = resample(cells_of(losses), "A", LAST, num_resamples=1).steps_ratio["B"][0]
    assert there * back == pytest.approx(1)
    assert 0.01 <= there <= 100


def test_draws_are_the_same_each_time_and_differ_by_task_and_key():
    losses = example()
    cells = cells_of(losses)
    first = resample(cells, "B", LAST, num_resamples=50).final["A"]
    np.testing.assert_array_equal(resample(cells, "B", LAST, num_resamples=50).final["A"], first)
    other_task = {name: make_cell(each, task="Other") for name, each in losses.items()}
    assert (resample(other_task, "B", LAST, num_resamples=50).final["A"] != first).any()
    assert (resample(cells, "B", LAST, num_resamples=50, key=1).final["A"] != first).any()


# Seeds


def test_only_seeds_that_all_have_are_used_and_they_are_pairs():
    losses = example()
    order = [3, 1, 0]
    cells = {
        "A": make_cell(losses["A"], seeds=np.arange(4)),
        "B": make_cell(losses["B"][:, order], seeds=np.array(order)),
    }
    found = resample(cells, "B", LAST, num_resamples=50)
    expected = resampled({name: each[:, [0, 1, 3]] for name, each in losses.items()})
    np.testing.assert_array_equal(found.seeds, [0, 1, 3])
    assert_same_numbers(all_numbers(found), all_numbers(expected))


def test_noise_that_seeds_share_leaves_differences_alone():
    random = np.random.default_rng(0)
    quiet_HS = random.standard_normal((3, 5))
    cells = {
        name: final_cell(shift + quiet_HS + 100 * np.arange(5)) for name, shift in (("A", 0.0), ("B", 1.0))
    }
    found = resample(cells, "B", LAST)
    alone, both = interval(found.final["A"], 5), interval(found.final["A"] - found.final["B"], 5)
    assert alone.high - alone.low > 100
    np.testing.assert_allclose(both[:3], -1)


# What cannot be compared


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"num_steps": 50}, r"one horizon \(got A 50, B 100\)"),
        ({"data_source": "synthetic"}, r"one kind of data \(got A synthetic, B real\)"),
        ({"task": "Other"}, r"one task \(got A Other, B Task\)"),
        ({"seeds": np.array([7, 8])}, r"seeds that all have \(got A \[7, 8\], B \[0, 1\]\)"),
    ],
)
def test_cells_that_differ_are_refused_with_both_named(fields, words):
    cells = {"A": final_cell(np.ones((1, 2)), **fields), "B": final_cell(np.ones((1, 2)))}
    with pytest.raises(OptsuiteError, match=words):
        resample(cells, "B", LAST)


def test_a_split_that_is_missing_is_named():
    with pytest.raises(
        OptsuiteError, match=r"needs losses on `outer_valid` \(got train\): choose another rule"
    ):
        resample({"A": final_cell(np.ones((1, 2)))}, "A", RULES["validation"])


def test_what_was_not_trained_is_refused():
    cell = make_cell(np.ones((1, 2, 1)), xs=np.array([0]))
    with pytest.raises(OptsuiteError, match="needs an evaluation after a step"):
        resample({"A": cell}, "A", LAST)


def test_one_seed_has_numbers_without_limits():
    found = resampled({name: each[:, :1] for name, each in example().items()})
    value, low, high, _ = interval(found.steps_ratio["A"], found.num_seeds, log=True)
    assert np.isfinite(value)
    assert np.isnan([low, high]).all()
