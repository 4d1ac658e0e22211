"""Curves: the original's numbers and limits of y, and words for all that is not a curve."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt

from optsuite import archives, statistics, vis
from optsuite.errors import StorageError
from optsuite.storage import CorruptFileError, MissingFileError
from tests.vis import words

REPOSITORY = Path(__file__).parents[2]
TASK = "ImageMLP_FashionMnist8_Relu32"
FIXTURES = [
    pytest.param(REPOSITORY / "tests" / "goldens" / "format_fixtures" / "archives", id="committed"),
    pytest.param(REPOSITORY.parent / "shared" / "reference" / "format_fixtures" / "archives", id="all"),
]


def falling(start, end, num_evals=100, num_seeds=3, num_configs=2, spread=0.05):
    """Losses (H, S, E) that fall from start to end; later configs and later seeds are the worse."""
    shape = np.geomspace(1, 0.01, num_evals)
    loss_e = end + (start - end) * shape
    seeds, configs = 1 + spread * np.arange(num_seeds), 1 + 0.2 * np.arange(num_configs)
    return loss_e * seeds[None, :, None] * configs[:, None, None]


def smooth(values, decay=0.9):
    averaged = [values[0]]
    for value in values[1:]:
        averaged.append(decay * averaged[-1] + (1 - decay) * value)
    return np.array(averaged)


def original(root, task, name):
    """The x and smoothed mean, lowest and highest loss of the original's plot, in float64."""
    archive = archives.load_archive(task, name, root)
    loss_HSE = archive["eval/train/loss"].astype(np.float64)
    best = np.argmin(np.nan_to_num(loss_HSE[:, :, -1].mean(axis=1), nan=99999999999))
    three = [smooth(f(loss_HSE[best], axis=0)) for f in (np.mean, np.min, np.max)]
    return archive["eval/xs"][0, 0], *three


def original_limits(curves, initial_shift=500):
    bottom = min(np.nanmin(low) for _, _, low, _ in curves)
    return bottom, np.nanmin([high[np.argmax(xs > initial_shift)] for xs, _, _, high in curves])


def line_of(ax, label):
    (line,) = [line for line in ax.lines if line.get_label() == label]
    return line


# The original's numbers


@pytest.mark.parametrize("root", FIXTURES)
@pytest.mark.parametrize("initial_shift", [500, 30])
def test_curves_and_limits_are_those_of_the_original(root, initial_shift):
    if not root.is_dir():
        pytest.skip("not on this machine")
    names = archives.list_hparam_sets_for_task(TASK, str(root))
    ax = vis.plot_tasks_and_sets(TASK, names, initial_shift=initial_shift, root=str(root))
    curves = [original(str(root), TASK, name) for name in names]
    for name, (xs, mean, _, _) in zip(names, curves, strict=True):
        line = line_of(ax, name)
        np.testing.assert_array_equal(line.get_xdata(), xs)
        np.testing.assert_allclose(line.get_ydata(), mean, rtol=1e-6)
    np.testing.assert_allclose(ax.get_ylim(), original_limits(curves, initial_shift), rtol=1e-6)
    assert ax.get_title() == TASK
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("training step", "training loss")


def test_the_best_config_is_drawn_and_the_diverged_ones_are_not(root, write):
    loss_HSE = falling(2, 1)
    loss_HSE[0, 1, 40:] = np.nan
    write("Task", "SetA", loss_HSE)
    ax = vis.plot_tasks_and_sets("Task", ["SetA"], ema=0, root=root)
    np.testing.assert_allclose(line_of(ax, "SetA").get_ydata(), loss_HSE[1].mean(axis=0), rtol=1e-6)


def test_the_first_set_can_be_kept_in_sight(root, write):
    write("Task", "SetA", falling(9, 5))
    write("Task", "SetB", falling(3, 1))
    curves = [original(root, "Task", name) for name in ("SetA", "SetB")]
    tops = [high[51] for _, _, _, high in curves]
    assert tops[0] > tops[1]
    for included in (False, True):
        ax = vis.plot_tasks_and_sets("Task", ["SetA", "SetB"], always_include_first_opt=included, root=root)
        assert ax.get_ylim()[1] == pytest.approx(tops[not included], rel=1e-6)


def test_the_band_has_thin_edges_or_is_left_out(root, write):
    write("Task", "SetA", falling(2, 1))
    ax = vis.plot_tasks_and_sets("Task", ["SetA"], root=root)
    _, _, low, high = original(root, "Task", "SetA")
    edges = [line.get_ydata() for line in ax.lines if line.get_linewidth() == 0.3]
    np.testing.assert_allclose(edges, [low, high], rtol=1e-6)
    (band,) = ax.collections
    assert band.get_alpha() == 0.1
    bare = vis.plot_tasks_and_sets("Task", ["SetA"], alpha_on_confidence=0, root=root)
    assert (len(bare.lines), len(bare.collections)) == (1, 0)


@pytest.mark.parametrize(
    "loss_e",
    [np.ones(60), np.r_[2, np.linspace(1, 2, 59)]],
    ids=["constant", "rising"],
)
def test_limits_hold_what_is_drawn_where_the_rule_gives_none(root, write, loss_e):
    write("Task", "SetA", np.broadcast_to(loss_e, (1, 2, len(loss_e))))
    ax = vis.plot_tasks_and_sets("Task", ["SetA"], initial_shift=0, ema=0, root=root)
    low, high = ax.get_ylim()
    assert low < np.min(loss_e) <= np.max(loss_e) < high


def test_losses_decades_apart_get_a_logarithmic_scale(root, write):
    write("Task", "SetA", falling(1, 0.001))
    write("Task", "SetB", falling(2, 1))
    assert vis.plot_tasks_and_sets("Task", ["SetA"], initial_shift=0, root=root).get_yscale() == "log"
    assert vis.plot_tasks_and_sets("Task", ["SetA"], initial_shift=900, root=root).get_yscale() == "linear"
    assert vis.plot_tasks_and_sets("Task", ["SetB"], initial_shift=0, root=root).get_yscale() == "linear"


# Words


def test_the_legend_is_in_the_order_in_which_the_curves_end(root, write):
    for name, end in (("SetA", 2), ("SetB", 3), ("SetC", 1)):
        write("Task", name, falling(4, end))
    ax = vis.plot_tasks_and_sets("Task", ["SetA", "SetB", "SetC"], root=root)
    assert words.legend(ax) == ["SetB", "SetA", "SetC"]


def test_what_cannot_be_drawn_is_in_the_legend_last(root, write, tmp_path):
    write("Task", "SetA", falling(2, 1))
    write("Task", "SetB", np.full((2, 3, 100), np.nan))
    write("Task", "SetC", falling(3, 1))
    (tmp_path / "Task" / "SetC.npz").write_bytes(b"no npz")
    names = ["SetD", "SetC", "SetB", "SetA"]
    ax = vis.plot_tasks_and_sets("Task", names, root=root)
    assert words.legend(ax) == ["SetA", "SetD (no archive)", "SetC (unreadable)", "SetB (all diverged)"]
    bare = vis.plot_tasks_and_sets("Task", names, legend=False, root=root)
    assert bare.get_legend() is None
    assert words.notes(bare) == "SetD (no archive); SetC (unreadable); SetB (all diverged)"


def test_a_set_that_was_evaluated_only_before_training_is_said(root, write):
    write("Task", "SetA", falling(2, 1))
    write("Task", "Short", falling(2, 1, num_evals=1))
    ax = vis.plot_tasks_and_sets("Task", ["SetA", "Short"], root=root)
    assert words.legend(ax) == ["SetA", "Short (not evaluated after training)"]


def test_axes_without_any_curve_still_say_why(root, write):
    write("Task", "SetA", np.full((2, 3, 10), np.nan))
    assert words.legend(vis.plot_tasks_and_sets("Task", ["SetA"], root=root)) == ["SetA (all diverged)"]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_curve_that_breaks_off_is_said(root, write, value):
    """The average of the original does not come back either."""
    loss_HSE = falling(2, 1, num_configs=1, num_evals=101)
    train_loss = np.ones(1001)  # of batches: the trials did not diverge
    loss_HSE[0, 1, 50] = value
    write("Task", "SetA", loss_HSE, train_loss=train_loss)
    loss_HSE[0, :, 0] = value
    write("Task", "SetB", loss_HSE, train_loss=train_loss)
    ax = vis.plot_tasks_and_sets("Task", ["SetA", "SetB"], root=root)
    assert words.legend(ax) == ["SetA (not finite from step 500)", "SetB (not finite from step 0)"]
    vis.render(ax, "png")
    assert vis.plot_tasks_and_sets("Task", ["SetB"], root=root).get_ylim() == (0, 1)


def test_unequal_horizons_and_seeds_are_said(root, write):
    write("Task", "SetA", falling(2, 1, num_evals=21, num_seeds=2))
    write("Task", "SetB", falling(2, 1, num_evals=101, num_seeds=5))
    both = vis.plot_tasks_and_sets("Task", ["SetA", "SetB"], root=root)
    assert words.notes(both) == "horizons: 200, 1,000 steps; seeds: 2 to 5"
    assert words.notes(vis.plot_tasks_and_sets("Task", ["SetA"], root=root)) == ""


def test_steps_have_thousands_separators(root, write):
    write("Task", "SetA", falling(2, 1, num_evals=201))
    ax = vis.plot_tasks_and_sets("Task", ["SetA"], root=root)
    ax.figure.canvas.draw()
    assert "2,000" in [label.get_text() for label in ax.get_xticklabels()]


@pytest.mark.parametrize("data_source", ["real", None, "synthetic"])
def test_stand_in_data_bear_a_watermark(root, write, data_source):
    write("Task", "SetA", falling(2, 1), data_source=data_source)
    ax = vis.plot_tasks_and_sets("Task", ["SetA"], root=root)
    assert (words.STAND_IN in [text.get_text() for text in ax.texts]) == (data_source == "synthetic")


def test_labels_and_colors_go_with_the_sets(root, write):
    write("Task", "SetA", falling(2, 1))
    write("Task", "SetB", falling(4, 2))
    options = {"labels": ["first", "second"], "colors": ["red", "green"], "root": root}
    ax = vis.plot_tasks_and_sets("Task", ["SetA", "SetB"], **options)
    assert words.legend(ax) == ["second", "first"]
    assert line_of(ax, "first").get_color() == "red"
    missing = vis.plot_tasks_and_sets("Task", ["SetC", "SetB"], **options)
    assert words.legend(missing) == ["second", "first (no archive)"]
    assert line_of(missing, "second").get_color() == "green"


@pytest.mark.parametrize("option", ["labels", "colors"])
def test_a_wrong_number_of_labels_or_colors_is_explained(root, write, option):
    write("Task", "SetA", falling(2, 1))
    message = rf"`{option}` needs one for each hparam set, 2 \(SetA, SetB\), got 1"
    with pytest.raises(ValueError, match=message):
        vis.plot_tasks_and_sets("Task", ["SetA", "SetB"], root=root, **{option: ["red"]})
    assert plt.get_fignums() == []


def test_sixteen_sets_look_sixteen_ways(root, write):
    names = [f"Set{i:02}" for i in range(16)]
    for i, name in enumerate(names):
        write("Task", name, falling(4, 1 + i / 10, num_evals=5))
    ax = vis.plot_tasks_and_sets("Task", names, root=root)
    lines = [line_of(ax, name) for name in names]
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 16
    assert len({line.get_color() for line in lines}) == 8


# Where it is drawn


def test_given_axes_are_drawn_on_and_their_figure_is_left_alone(root, write):
    write("Task", "SetA", falling(2, 1), data_source="synthetic")
    figure, axes = plt.subplots(1, 2)
    boxes = [ax.get_position().bounds for ax in axes]
    assert vis.plot_tasks_and_sets("Task", ["SetA"], axes[1], root=root) is axes[1]
    assert len(axes[1].lines) == 3
    assert axes[0].lines[:] == []
    assert figure.axes == list(axes)
    assert [ax.get_position().bounds for ax in axes] == boxes
    assert len(plt.get_fignums()) == 1


def test_settings_of_matplotlib_stay(root, write):
    write("Task", "SetA", falling(2, 1))
    before = dict(mpl.rcParams)
    vis.render(vis.plot_tasks_and_sets("Task", ["SetA"], root=root), "svg")
    assert dict(mpl.rcParams) == before


def test_several_tasks_fill_a_grid_with_one_legend(root, write):
    tasks = [f"Task{i}" for i in range(5)]
    for task in tasks:
        write(task, "SetA", falling(2, 1), data_source="synthetic" if task == "Task1" else "real")
        write(task, "SetB", falling(4, 2))
    write("Task2", "SetB", np.full((2, 3, 100), np.nan))
    axes = vis.plot_tasks_and_sets(tasks, ["SetA", "SetB"], root=root)
    assert axes.shape == (2, 3)
    assert [ax.get_title() for ax in axes.flat] == [*tasks, ""]
    assert [ax.axison for ax in axes.flat] == [True] * 5 + [False]
    assert {ax.figure for ax in axes.flat} == {plt.gcf()}
    assert [ax.get_legend() for ax in axes.flat] == [None] * 6
    assert words.legend(plt.gcf()) == ["SetA", "SetB"]
    assert words.notes(axes[0, 2]) == "SetB (all diverged)"
    stamped = [words.STAND_IN in [text.get_text() for text in ax.texts] for ax in axes.flat]
    assert stamped == [False, True, False, False, False, False]


def test_a_set_looks_alike_in_all_axes_of_a_grid(root, write):
    write("Task0", "SetB", falling(2, 1))
    write("Task1", "SetA", falling(2, 1))
    write("Task1", "SetB", falling(2, 1))
    axes = vis.plot_tasks_and_sets(["Task*"], ["*"], root=root)
    colors = [line_of(ax, "SetB").get_color() for ax in axes.flat]
    assert colors[0] == colors[1] != line_of(axes[0, 1], "SetA").get_color()


# Errors


def test_axes_for_a_list_of_tasks_are_refused():
    _, ax = plt.subplots()
    with pytest.raises(ValueError, match=r"leave `ax` out or name one task \(got \['A', 'B'\]\)"):
        vis.plot_tasks_and_sets(["A", "B"], ["SetA"], ax)


def test_nothing_to_draw_says_what_is_missing_and_what_there_is(root, write):
    write("Task", "SetA", falling(2, 1))
    with pytest.raises(
        MissingFileError, match=r"no archive of `SetX` for task `Task` at .*: its archives are SetA"
    ):
        vis.plot_tasks_and_sets("Task", ["SetX", "SetY"], root=root)
    assert plt.get_fignums() == []


def test_nothing_but_an_unreadable_archive_is_an_error(root, write, tmp_path):
    write("Task", "SetA", falling(2, 1))
    for content in (b"no npz", (tmp_path / "Task" / "SetA.npz").read_bytes()[:100]):
        (tmp_path / "Task" / "SetA.npz").write_bytes(content)
        with pytest.raises(CorruptFileError, match=r"SetA\.npz"):
            vis.plot_tasks_and_sets("Task", ["SetA"], root=root)


def test_an_incomplete_archive_is_an_error(root):
    archives.write_archive("Task", "SetA", {"train/loss": np.ones((1, 1, 3))}, root)
    with pytest.raises(StorageError, match="it lacks eval/xs, eval/train/loss"):
        vis.plot_tasks_and_sets("Task", ["SetA"], root=root)


def test_no_names_are_refused(root):
    with pytest.raises(ValueError, match="name a task and an hparam set or more"):
        vis.plot_tasks_and_sets("Task", [], root=root)


def test_results_of_other_than_one_task_are_refused(root, write):
    for task in ("Task0", "Task1"):
        write(task, "SetA", falling(2, 1))
    results = statistics.read_results(["Task0", "Task1"], "SetA", root)
    with pytest.raises(ValueError, match=r"results of one task \(got Task0, Task1\)"):
        vis.draw_curves(results)
    with pytest.raises(ValueError, match="makes a grid of a list of tasks"):
        vis.plot_tasks_and_sets("Task*", "SetA", root=root)
    with pytest.raises(ValueError, match=r"results of one task \(got none\)"):
        vis.draw_curves([])


def test_results_are_drawn_as_names_are_plotted(root, write):
    write("Task", "SetA", falling(2, 1))
    plotted = vis.plot_tasks_and_sets("Task", ["SetA"], root=root)
    drawn = vis.draw_curves(statistics.read_results("Task", "SetA", root))
    assert vis.render(plotted, "png") == vis.render(drawn, "png")


def test_bands_of_many_sets_are_fainter(root, write):
    names = [f"Set{i:02}" for i in range(16)]
    for name in names:
        write("Task", name, falling(2, 1))
    few = vis.plot_tasks_and_sets("Task", names[:8], root=root, alpha_on_confidence=0.2)
    many = vis.plot_tasks_and_sets("Task", names, root=root, alpha_on_confidence=0.2)
    assert {band.get_alpha() for band in few.collections} == {0.2}
    assert {band.get_alpha() for band in many.collections} == {0.1}
