"""Figures of the numbers of a verdict: best of k settings, profiles, ranks."""

import numpy as np
import pytest

from optsuite import vis
from optsuite.statistics import Interval
from tests.vis import words

SCORES = np.array([0.25, 0.5, 1.0, 2.0, 4.0])


def profile(*share):
    return np.array([share, np.maximum(np.array(share) - 0.1, 0), np.minimum(np.array(share) + 0.1, 1)])


def test_the_best_of_k_settings_falls_within_its_interval():
    losses = [Interval(3.0, 2.5, 3.5), Interval(2.0, 1.5, 2.5), Interval(1.0, 0.9, 1.1)]
    ax = vis.draw_best_of({"Adam": losses, "SGD": losses[:2]}, title="T")
    adam, sgd = ax.get_lines()[:2]
    assert (list(adam.get_xdata()), list(adam.get_ydata())) == ([1, 2, 3], [3, 2, 1])
    assert list(sgd.get_ydata()) == [3, 2]
    assert len(ax.collections) == 2
    assert words.legend(ax) == ["SGD", "Adam"]  # in the order in which they end
    assert all(float(tick).is_integer() for tick in ax.get_xticks())


def test_a_loss_that_is_not_finite_is_told():
    lost = [Interval(np.inf, np.nan, np.nan)] * 3
    ax = vis.draw_best_of({"Adam": lost}, is_stand_in=True)
    assert words.legend(ax) == ["Adam (no finite loss)"]
    assert words.STAND_IN in [text.get_text() for text in ax.texts]


def test_profiles_are_drawn_where_they_tell_something():
    profiles = {"Adam": profile(1, 1, 0.5, 0, 0), "SGD": profile(1, 0.6, 0.1, 0, 0)}
    assert vis.profile_span(list(profiles.values())) == slice(0, 5)
    many = {"Adam": profile(*[1] * 6, 0.5, *[0] * 6)}
    assert vis.profile_span(list(many.values())) == slice(4, 9)
    ax = vis.draw_profiles(SCORES, profiles)
    assert ax.get_xscale() == "log"
    assert list(ax.get_lines()[0].get_ydata()) == [1, 1, 0.5, 0, 0]
    assert any(set(line.get_xdata()) == {1} for line in ax.get_lines())  # the reference
    assert words.legend(ax) == ["Adam", "SGD"]


def test_profiles_that_all_agree_are_drawn_whole():
    profiles = {"Adam": profile(1, 1, 1, 1, 1)}
    assert len(vis.draw_profiles(SCORES, profiles).get_lines()[0].get_xdata()) == 5


def test_ranks_stand_from_the_best_on_with_bars_of_those_that_do_not_differ():
    ranks = {"SGD": 3.0, "Adam": 1.2, "Lion": 1.8}
    ax = vis.draw_ranks(ranks, [("Adam", "Lion"), ("SGD",)], 0.004)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["Adam", "Lion", "SGD"]
    assert ax.yaxis_inverted()
    (bar,) = [line for line in ax.get_lines() if line.get_linewidth() == 2.5]
    assert list(bar.get_ydata()) == [-0.2, 1.2]
    assert "p = 0.004" in words.notes(ax)
    assert "1.20" in words.everything(ax.figure)


def test_one_optimizer_has_a_rank_too():
    assert vis.draw_ranks({"Adam": 1.0}).get_ylim() == (0.5, -0.5)


@pytest.mark.parametrize("places", [[3, 9], [0, 25]])
def test_optimizers_look_as_in_the_rest_of_their_document(places):
    losses = [Interval(1.0, 1.0, 1.0)] * 3
    lines = vis.draw_best_of({"A": losses, "B": losses}, places=places).get_lines()[:2]
    for line, place in zip(lines, places, strict=True):
        color, dashes = vis.look(place)
        assert line.get_color() == color
        assert line.is_dashed() == bool(dashes)
