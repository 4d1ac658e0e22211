"""The heat map of final losses."""

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.collections import QuadMesh

from optsuite import archives, statistics, vis
from optsuite.errors import UnknownNameError
from optsuite.storage import MissingFileError
from tests.vis import words


def ending(loss, num_configs=2, num_seeds=2):
    """Losses (H, S, E) whose best config ends at `loss`, mean over seeds."""
    offsets = np.linspace(-0.1, 0.1, num_seeds)[None, :] * loss + np.arange(num_configs)[:, None]
    return np.stack([np.full_like(offsets, 9.0), loss + offsets], axis=-1)


def texts(ax, num_rows):
    """What the cells say, row by row."""
    said = [text.get_text() for text in ax.texts if text.get_text() != words.STAND_IN]
    return np.array(said).reshape(num_rows, -1).tolist()


def colors(ax):
    (mesh,) = [child for child in ax.collections if isinstance(child, QuadMesh)]
    return np.asarray(mesh.get_array())


@pytest.fixture
def cells(write, tmp_path):
    """Two tasks by four sets, each trouble once."""
    write("Task0", "SetA", ending(2.0))
    write("Task0", "SetB", ending(1.0))
    write("Task0", "SetC", np.full((2, 2, 2), np.nan))
    write("Task1", "SetA", ending(0.01))
    write("Task1", "SetB", ending(0.0125))
    write("Task1", "SetC", ending(1.0))
    write("Task1", "SetD", ending(0.02))
    (tmp_path / "Task1" / "SetC.npz").write_bytes(b"no npz")


NAMES = ["SetA", "SetB", "SetC", "SetD"]


def test_cells_say_their_loss_or_why_there_is_none(root, cells):
    ax = vis.plot_final_losses(["Task0", "Task1"], NAMES, root=root)
    assert texts(ax, 2) == [["2", "1", "diverged", "missing"], ["0.01", "0.0125", "unreadable", "0.02"]]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["Task0", "Task1"]
    assert [label.get_text() for label in ax.get_xticklabels()] == NAMES
    assert ax.yaxis_inverted()
    assert ax.get_title() == "final training loss"
    assert "above the best\nof the task" in words.everything(ax.figure)


def test_a_loss_from_before_training_is_no_final_loss(root, write):
    write("Task0", "SetA", ending(2.0))
    write("Task0", "Short", np.ones((1, 2, 1)))
    ax = vis.plot_final_losses("Task0", ["SetA", "Short"], root=root)
    assert texts(ax, 1) == [["2", "not evaluated"]]


def test_colors_compare_within_rows(root, cells):
    ax = vis.plot_final_losses(["Task0", "Task1"], NAMES, root=root)
    rgba = colors(ax)
    np.testing.assert_array_equal(rgba[0, 1], rgba[1, 0])  # the best
    np.testing.assert_array_equal(rgba[0, 0], rgba[1, 3])  # twice the best
    assert rgba[0, 1].sum() > rgba[1, 1].sum() > rgba[0, 0].sum()
    bold = [text.get_text() for text in ax.texts if text.get_fontweight() == "bold"]
    assert bold == ["1", "0.01"]


def test_the_best_is_that_of_as_many_steps(root, write):
    for name, loss, eval_every in (("SetA", 2.0, 10), ("SetB", 4.0, 10), ("SetC", 1.0, 100)):
        write("Task", name, ending(loss), eval_every=eval_every)
    ax = vis.plot_final_losses("Task", ["SetA", "SetB", "SetC"], root=root)
    rgba = colors(ax)
    np.testing.assert_array_equal(rgba[0, 0], rgba[0, 2])
    assert rgba[0, 1].sum() < rgba[0, 0].sum()
    assert [text.get_text() for text in ax.texts if text.get_fontweight() == "bold"] == ["2", "1"]
    assert "above the best\nof the task\nwith as many steps" in words.everything(ax.figure)


@pytest.mark.parametrize("losses", [(-2.0, -1.0), (0.0, 1.0), (5.0, 1e30)])
def test_any_finite_losses_have_a_color(root, write, losses):
    for name, loss in zip(NAMES, losses, strict=False):
        write("Task", name, np.full((1, 1, 2), loss))
    rgba = colors(vis.plot_final_losses("Task", NAMES[:2], root=root))
    assert np.isfinite(rgba).all()
    assert rgba[0, 0].sum() > rgba[0, 1].sum()


def test_split_picks_the_loss_and_the_title(root, write):
    write("Task", "SetA", ending(2.0))
    archive = archives.load_archive("Task", "SetA", root)
    archive["eval/test/loss"] = archive["eval/test/loss"] + 1
    del archive["eval/outer_valid/loss"]
    archives.write_archive("Task", "SetA", archive, root)
    ax = vis.plot_final_losses("Task", "SetA", split="test", root=root)
    assert (ax.get_title(), texts(ax, 1)) == ("final test loss", [["3"]])
    ax = vis.plot_final_losses("Task", "SetA", split="outer_valid", root=root)
    assert (ax.get_title(), texts(ax, 1)) == ("final outer validation loss", [["not recorded"]])


def test_stand_in_rows_say_so(root, write):
    for i in range(4):
        write(f"Task{i}", "SetA", ending(1.0), data_source="synthetic" if i in (1, 2) else "real")
    ax = vis.plot_final_losses("Task*", "SetA", root=root)
    rows = [label.get_text() for label in ax.get_yticklabels()]
    assert rows == ["Task0", "Task1 (stand-in)", "Task2 (stand-in)", "Task3"]
    (stamp,) = [text for text in ax.texts if text.get_text() == words.STAND_IN]
    assert stamp.get_position() == (0.5, 0.5)  # over the two rows in the middle


def test_unequal_horizons_and_seeds_are_said(root, write):
    write("Task", "SetA", ending(1.0))
    write("Task", "SetB", ending(1.0, num_seeds=5), eval_every=1000)
    ax = vis.plot_final_losses("Task", ["SetA", "SetB"], root=root)
    assert ax.get_xlabel().replace("\n", " ") == "horizons: 10, 1,000 steps; seeds: 2 to 5"


def test_figures_grow_with_rows_and_columns(root, write):
    write("Task", "SetA", ending(1.0))
    one = statistics.read_results("Task", "SetA", root)[0]
    sizes = []
    for num_rows, num_columns in ((2, 2), (44, 10)):
        places = np.ndindex(num_rows, num_columns)
        many = [vars(one) | {"task": f"Task{t}", "hparam_set": f"Set{s}"} for t, s in places]
        ax = vis.draw_final_losses([statistics.Results(**fields) for fields in many])
        sizes.append(ax.figure.get_size_inches())
    assert sizes[1][0] - sizes[0][0] > 8 * 0.7
    assert sizes[1][1] - sizes[0][1] > 42 * 0.25


def test_given_axes_are_drawn_on(root, cells):
    figure, ax = plt.subplots()
    results = statistics.read_results(["Task0", "Task1"], NAMES, root)
    assert vis.draw_final_losses(results, ax) is ax
    assert figure.axes == [ax]
    assert len(plt.get_fignums()) == 1


def test_errors_are_in_words(root, cells):
    with pytest.raises(UnknownNameError, match="unknown split `tset`: did you mean test"):
        vis.plot_final_losses("Task0", "SetA", split="tset", root=root)
    with pytest.raises(MissingFileError, match="no archive of `SetX` for task `Task0`"):
        vis.plot_final_losses("Task0", "SetX", root=root)
    with pytest.raises(ValueError, match="needs the results of a cell or more"):
        vis.draw_final_losses([])


def test_more_sets_than_tasks_and_than_fit_are_rows(root, write):
    for i in range(9):
        write("Task", f"Set{i}", ending(float(9 - i)), data_source="synthetic")
    ax = vis.plot_final_losses("Task", "Set*", root=root)
    assert [label.get_text() for label in ax.get_yticklabels()] == [f"Set{i}" for i in range(9)]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["Task (stand-in)"]
    (best,) = [text for text in ax.texts if text.get_fontweight() == "bold" and text.get_text() == "1"]
    assert best.get_position() == (0.5, 8.5)
    assert colors(ax).shape[:2] == (9, 1)
    assert [text.get_text() for text in ax.texts].count(words.STAND_IN) == 1


def test_the_scale_of_few_rows_is_as_high_as_its_words(root, write):
    write("Task", "Set", ending(1.0))
    ax = vis.plot_final_losses("Task", "Set", root=root)
    ax.figure.draw_without_rendering()
    (bar,) = ax.child_axes
    label = bar.yaxis.label.get_window_extent()
    assert label.height <= 1.2 * bar.get_window_extent().height
