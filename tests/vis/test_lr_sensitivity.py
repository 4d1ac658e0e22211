"""Final loss against learning rate."""

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import same_color

from optsuite import statistics, vis
from optsuite.storage import MissingFileError
from tests.vis import words

RATES = [1e-3, 1e-2, 0.1, 1.0]


def final(loss_HS, start=3.0):
    """Losses (H, S, E) that begin and end as told."""
    loss_HS = np.asarray(loss_HS, np.float32)
    return np.stack([np.full_like(loss_HS, start), loss_HS], axis=-1)


def hparams(rates):
    return [{"lr": rate} for rate in rates]


def line_of(ax, label):
    (line,) = [line for line in ax.lines if line.get_label() == label]
    return line


def marks(ax, marker):
    return [line for line in ax.lines if line.get_marker() == marker]


NAN = np.nan
LOSS_A = [[2.0, 2.2], [1.0, 1.2], [1.5, NAN], [NAN, NAN]]
LOSS_B = [[2.5, 2.5], [2.0, 2.0], [1.4, 1.6], [1.7, NAN]]


@pytest.fixture
def two_sets(write):
    write("Task", "SetA", final(LOSS_A), hparams=hparams(RATES))
    write("Task", "SetB", final(LOSS_B), hparams=hparams(RATES))


def test_a_line_goes_through_the_means_of_seeds(root, two_sets):
    ax = vis.plot_lr_sensitivity("Task", ["SetA", "SetB"], root=root)
    np.testing.assert_array_equal(line_of(ax, "SetA").get_xdata(), RATES)
    np.testing.assert_allclose(line_of(ax, "SetA").get_ydata(), [2.1, 1.1, NAN, NAN], rtol=1e-6)
    bars = ax.collections[0].get_segments()
    np.testing.assert_allclose([bar[:, 1] for bar in bars[:2]], [[2, 2.2], [1, 1.2]], rtol=1e-6)
    assert ax.get_xscale() == "log"
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title()) == (
        "learning rate",
        "final training loss",
        "Task",
    )


def test_a_star_marks_the_best_config_of_each_set(root, two_sets):
    ax = vis.plot_lr_sensitivity("Task", ["SetA", "SetB"], root=root)
    stars = [(line.get_xdata()[0], line.get_ydata()[0]) for line in marks(ax, "*")]
    np.testing.assert_allclose(stars, [(1e-2, 1.1), (0.1, 1.5)], rtol=1e-6)


def test_crosses_mark_the_rates_at_which_a_seed_diverged(root, two_sets):
    ax = vis.plot_lr_sensitivity("Task", ["SetA", "SetB"], root=root)
    of_a, of_b = marks(ax, "x")
    assert list(of_a.get_xdata()) == [0.1, 1.0]
    assert list(of_b.get_xdata()) == [1.0]
    assert of_a.get_ydata()[0] > of_b.get_ydata()[0] > 0.9  # rows at the top, as a share of the axes
    assert same_color(of_a.get_color(), line_of(ax, "SetA").get_color())


def test_the_background_is_grey_where_every_set_diverged(root, two_sets):
    ax = vis.plot_lr_sensitivity("Task", ["SetA", "SetB"], root=root)
    (span,) = ax.patches
    assert span.get_x() == pytest.approx(10**-0.5)
    assert span.get_x() + span.get_width() == pytest.approx(ax.get_xlim()[1])


def test_what_is_above_the_loss_before_training_is_cut_off(root, write):
    loss_HS = [[2.0, 2.0], [1.0, 1.0], [1e9, 1e9], [NAN, NAN]]
    write("Task", "SetA", final(loss_HS), hparams=hparams(RATES))
    ax = vis.plot_lr_sensitivity("Task", ["SetA"], root=root)
    assert ax.get_ylim()[0] < 1
    assert 3 < ax.get_ylim()[1] < 4
    assert ax.get_yscale() == "linear"


def test_losses_decades_apart_get_a_logarithmic_scale(root, write):
    write("Task", "SetA", final([[1.0], [0.1], [0.01], [0.002]]), hparams=hparams(RATES))
    assert vis.plot_lr_sensitivity("Task", ["SetA"], root=root).get_yscale() == "log"


def test_rates_rise_and_the_best_of_configs_with_one_rate_is_drawn(root, write):
    settings = [{"lr": 0.1, "eps": 1.0}, {"lr": 0.1, "eps": 2.0}, {"lr": 1e-2, "eps": 1.0}]
    write("Task", "SetA", final([[2.0], [1.0], [3.0]]), hparams=settings)
    line = line_of(vis.plot_lr_sensitivity("Task", ["SetA"], root=root), "SetA")
    assert list(line.get_xdata()) == [1e-2, 0.1]
    assert list(line.get_ydata()) == [3.0, 1.0]


def test_what_is_not_a_line_is_in_the_legend(root, write, two_sets):
    write("Task", "SetC", final([[1.0], [2.0]]), hparams=[{"eps": 0.1}, {"eps": 1.0}])
    write("Task", "SetD", final([[NAN], [NAN]]), hparams=hparams(RATES[:2]))
    names = ["SetA", "SetB", "SetC", "SetD", "SetE"]
    ax = vis.plot_lr_sensitivity("Task", names, root=root)
    undrawn = ["SetC (no learning rate)", "SetD (all diverged)", "SetE (no archive)"]
    assert words.legend(ax) == ["SetB", "SetA", *undrawn]
    assert list(marks(ax, "x")[-1].get_xdata()) == RATES[:2]  # of SetD
    bare = vis.plot_lr_sensitivity("Task", names, legend=False, root=root)
    assert bare.get_legend() is None
    assert "; ".join(undrawn) in words.notes(bare)


def test_a_set_that_was_evaluated_only_before_training_is_not_drawn(root, write, two_sets):
    write("Task", "Short", np.ones((2, 2, 1)), hparams=hparams(RATES[:2]))
    ax = vis.plot_lr_sensitivity("Task", ["SetA", "Short"], root=root)
    assert words.legend(ax) == ["SetA", "Short (not evaluated after training)"]
    assert not [line for line in ax.lines if line.get_label() == "Short"]


@pytest.mark.parametrize("loss_HS", [[[NAN], [NAN]], [[1.0], [1.0]]], ids=["diverged", "constant"])
def test_degenerate_losses_are_drawn(root, write, loss_HS):
    write("Task", "SetA", final(loss_HS), hparams=hparams(RATES[:2]))
    low, high = vis.plot_lr_sensitivity("Task", ["SetA"], root=root).get_ylim()
    assert low < high


def test_sets_without_a_rate_alone_are_said(root, write):
    write("Task", "SetA", final([[1.0]]), hparams=[{"eps": 1.0}])
    ax = vis.plot_lr_sensitivity("Task", ["SetA"], root=root)
    assert words.legend(ax) == ["SetA (no learning rate)"]
    vis.render(ax, "png")


def test_notes_and_watermark(root, write, two_sets):
    write("Task", "SetC", final(np.ones((2, 5))), hparams=hparams(RATES[:2]), data_source="synthetic")
    ax = vis.plot_lr_sensitivity("Task", ["SetA", "SetC"], root=root)
    assert "star: best; cross: a seed diverged; bar: lowest to highest seed; seeds: 2 to 5" in words.notes(ax)
    assert words.STAND_IN in [text.get_text() for text in ax.texts]


def test_given_axes_are_drawn_on(root, two_sets):
    figure, ax = plt.subplots()
    results = statistics.read_results("Task", ["SetA", "SetB"], root)
    assert vis.draw_lr_sensitivity(results, ax, labels=["a", "b"], colors=["red", "green"]) is ax
    assert words.legend(ax) == ["b", "a"]
    assert figure.axes == [ax]
    assert len(plt.get_fignums()) == 1


def test_errors_are_in_words(root, two_sets):
    with pytest.raises(MissingFileError, match="its archives are SetA, SetB"):
        vis.plot_lr_sensitivity("Task", ["SetX"], root=root)
    with pytest.raises(ValueError, match=r"`labels` needs one for each hparam set, 2 .*, got 3"):
        vis.plot_lr_sensitivity("Task", ["SetA", "SetB"], labels=["a", "b", "c"], root=root)
    with pytest.raises(ValueError, match="results of one task"):
        vis.draw_lr_sensitivity([])


def test_a_set_whose_configs_differ_in_more_is_said(root, write):
    write("Task", "SetA", final([[1.0], [2.0]]), hparams=[{"lr": 0.1, "eps": 1.0}, {"lr": 0.2, "eps": 2.0}])
    ax = vis.plot_lr_sensitivity("Task", ["SetA"], root=root)
    assert words.legend(ax) == ["SetA (more than the learning rate differs)"]
    assert [len(ax.get_xticks()), len(ax.get_yticks())] == [0, 0]
