"""Curves on the scale of a baseline's steps, mean over tasks."""

import numpy as np
import pytest
from matplotlib import pyplot as plt

from optsuite import statistics, vis
from optsuite.normalizers import Normalizer
from optsuite.storage import MissingFileError
from tests.vis import words


def normalizer(slope):
    """Of a baseline whose loss falls by `slope` a step from 10."""

    def steps(loss_e):
        assert loss_e.dtype == np.float32
        return np.nan_to_num((10 - loss_e) / slope)

    return steps


def falling(slope, num_evals=11, num_seeds=2):
    """Losses (1, S, E), evaluated every 10 steps, that fall by `slope` a step from 10."""
    loss_e = 10 - slope * 10 * np.arange(num_evals)
    return np.stack([loss_e + s - (num_seeds - 1) / 2 for s in range(num_seeds)])[None]


NORMALIZERS = {"Task0": normalizer(0.01), "Task1": normalizer(0.02)}


def line_of(ax, label):
    (line,) = [line for line in ax.lines if line.get_label() == label]
    return line


@pytest.fixture
def cells(write):
    """SetA is twice as fast as the baselines, SetB half as fast on Task0 and equally fast on Task1."""
    write("Task0", "SetA", falling(0.02))
    write("Task1", "SetA", falling(0.04))
    write("Task0", "SetB", falling(0.005))
    write("Task1", "SetB", falling(0.02))


def test_curves_are_the_mean_over_tasks_of_normalized_losses(root, cells):
    ax = vis.plot_normalized("Task*", ["SetB", "SetA"], NORMALIZERS, ema=0, root=root)
    xs = np.arange(0, 101, 10)
    for name, factor in (("SetA", 2), ("SetB", 0.75)):
        np.testing.assert_array_equal(line_of(ax, name).get_xdata(), xs)
        np.testing.assert_allclose(line_of(ax, name).get_ydata(), factor * xs, rtol=1e-4, atol=1e-3)
    identity = [line for line in ax.lines if list(line.get_xdata()) == list(line.get_ydata()) == [0, 100]]
    assert len(identity) == 1
    assert words.legend(ax) == ["SetA", "baseline", "SetB"]
    assert ax.get_title() == "mean over 2 tasks"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("training step", "steps of the baseline to the same loss")
    assert ax.get_ylim()[0] == 0


def test_losses_are_smoothed_before_they_are_normalized(root, write):
    loss_hse = falling(0.01)
    write("Task0", "SetA", loss_hse)
    ax = vis.plot_normalized("Task0", "SetA", NORMALIZERS, root=root)
    expected = (10 - statistics.ema(loss_hse[0].mean(axis=0), 0.95)) / 0.01
    np.testing.assert_allclose(line_of(ax, "SetA").get_ydata(), expected, rtol=1e-3, atol=1e-2)
    assert ax.get_title() == "mean over 1 task"


def test_the_baseline_of_a_normalizer_lies_on_the_dashed_line(root, write):
    loss_e = 10 * 0.9 ** np.arange(60)
    write("Task0", "SetA", loss_e[None, None])
    smoothed = statistics.ema(loss_e.astype(np.float32), 0.95)

    def steps(loss_e):
        return np.interp(loss_e, smoothed[::-1], 10.0 * np.arange(60)[::-1])

    line = line_of(vis.plot_normalized("Task0", "SetA", {"Task0": steps}, root=root), "SetA")
    np.testing.assert_allclose(line.get_ydata(), line.get_xdata(), atol=1e-3)


def test_sets_are_averaged_over_the_same_tasks_and_the_others_are_named(root, write, cells):
    write("Task2", "SetA", falling(0.02))  # but no SetB
    write("Task3", "SetA", falling(0.02))
    write("Task3", "SetB", falling(0.02))  # but no normalizer
    normalizers = {**NORMALIZERS, "Task2": normalizer(0.01)}
    alone = vis.plot_normalized(["Task0", "Task1"], ["SetA", "SetB"], NORMALIZERS, root=root)
    ax = vis.plot_normalized("Task*", ["SetA", "SetB", "SetC"], normalizers, root=root)
    np.testing.assert_array_equal(line_of(ax, "SetA").get_ydata(), line_of(alone, "SetA").get_ydata())
    assert "left out without an archive of every set: Task2" in words.notes(ax)
    assert "left out without a normalizer: Task3" in words.notes(ax)
    assert words.legend(ax)[-1] == "SetC (no archive)"
    bare = vis.plot_normalized("Task*", ["SetA", "SetB", "SetC"], normalizers, legend=False, root=root)
    assert "SetC (no archive)" in words.notes(bare)
    assert bare.get_legend() is None


def test_many_left_out_tasks_are_counted(root, write):
    for i in range(9):
        write(f"Task{i}", "SetA", falling(0.02))
    ax = vis.plot_normalized("Task*", "SetA", NORMALIZERS, root=root)
    assert "without a normalizer: Task2, Task3, Task4, Task5, Task6 and 2 more" in words.notes(ax)


def test_no_task_left_is_said(root, cells):
    ax = vis.plot_normalized("Task*", ["SetA", "SetB"], {}, root=root)
    assert words.legend(ax) == ["SetA (no task left)", "SetB (no task left)"]
    assert ax.get_title() == "mean over 0 tasks"
    vis.render(ax, "png")


def test_a_diverged_set_counts_as_no_step_and_is_said(root, write, cells):
    write("Task1", "SetB", np.full((1, 2, 11), np.nan))
    ax = vis.plot_normalized("Task*", ["SetA", "SetB"], NORMALIZERS, ema=0, root=root)
    np.testing.assert_allclose(line_of(ax, "SetB").get_ydata()[-1], (50 + 0) / 2, rtol=1e-3)
    assert "SetB (diverged on 1 of 2 tasks)" in words.legend(ax)


def test_a_set_that_was_evaluated_only_before_training_is_not_drawn(root, write, cells):
    for task in ("Task0", "Task1"):
        write(task, "Short", np.ones((1, 2, 1)))
    ax = vis.plot_normalized("Task*", ["SetA", "Short"], NORMALIZERS, root=root)
    assert words.legend(ax) == ["baseline", "SetA", "Short (not evaluated after training)"]


def test_evaluations_that_differ_are_drawn_where_they_agree(root, write):
    write("Task0", "SetA", falling(0.01, num_evals=11))
    write("Task1", "SetA", falling(0.01, num_evals=5), eval_every=20)
    ax = vis.plot_normalized("Task*", "SetA", NORMALIZERS, root=root)
    assert list(line_of(ax, "SetA").get_xdata()) == [0, 20, 40, 60, 80]
    assert "horizons: 80, 100 steps" in words.notes(ax)


def test_all_is_cut_at_the_last_step_of_the_shortest_normalizer(root, write, cells):
    def ending(horizon, task):
        scale = Normalizer([0, horizon], [10, 10 - horizon * {"Task0": 0.01, "Task1": 0.02}[task]])
        return {**NORMALIZERS, task: scale}

    def draw(normalizers):
        ax = vis.plot_normalized("Task*", ["SetA", "SetB"], normalizers, ema=0, root=root)
        return {label: line_of(ax, label).get_xdata()[-1] for label in ("SetA", "SetB")}, ax

    for normalizers in (ending(50, "Task0"), {**ending(50, "Task1"), "Task2": Normalizer([0, 1], [1, 0])}):
        ends, ax = draw(normalizers)
        assert ends == {"SetA": 50, "SetB": 50}
        assert [0, 50] in [list(line.get_xdata()) for line in ax.lines]
        assert "cut at step 50, the normalizer's last" in words.notes(ax)
    for normalizers in (NORMALIZERS, ending(100, "Task0"), ending(1000, "Task1")):
        ends, ax = draw(normalizers)
        assert ends == {"SetA": 100, "SetB": 100}
        assert [0, 100] in [list(line.get_xdata()) for line in ax.lines]
        assert "cut" not in words.notes(ax)


def test_stand_in_data_bear_a_watermark(root, write, cells):
    write("Task2", "SetA", falling(0.02), data_source="synthetic")
    used = {**NORMALIZERS, "Task2": normalizer(0.01)}
    for normalizers, stamped in ((NORMALIZERS, False), (used, True)):
        ax = vis.plot_normalized("Task*", "SetA", normalizers, root=root)
        assert (words.STAND_IN in [text.get_text() for text in ax.texts]) == stamped


def test_given_axes_are_drawn_on(root, cells):
    figure, ax = plt.subplots()
    results = statistics.read_results("Task*", ["SetA", "SetB"], root)
    looks = {"labels": ["a", "b"], "colors": ["red", "green"]}
    assert vis.draw_normalized(results, NORMALIZERS, ax, ema=0, **looks) is ax
    assert words.legend(ax) == ["a", "baseline", "b"]
    assert figure.axes == [ax]


def test_errors_are_in_words(root, cells):
    with pytest.raises(MissingFileError, match="no archive of `SetX` for task `Task0`"):
        vis.plot_normalized("Task*", "SetX", NORMALIZERS, root=root)
    with pytest.raises(ValueError, match=r"`colors` needs one for each hparam set, 2 .*, got 0"):
        vis.plot_normalized("Task*", ["SetA", "SetB"], NORMALIZERS, colors=[], root=root)
    with pytest.raises(ValueError, match="needs the results of a cell or more"):
        vis.draw_normalized([], NORMALIZERS)
