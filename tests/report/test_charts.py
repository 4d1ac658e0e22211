"""The data of the charts: small, rounded, of the settings that were chosen."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from examples import make_archive, sgd

from optsuite import archives, report

from .pages import Page
from .verdicts import LRS, make_verdict

pytestmark = pytest.mark.usefixtures("drawn")


@pytest.fixture
def chart_data(tmp_path):
    """Writes a page and reads the data of its charts."""

    def chart_data(results, **arguments):
        written = report.write_report(str(tmp_path / "report.html"), results, **arguments)
        html = (tmp_path / "report.html").read_text()
        assert written.problems == []
        (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
        return json.loads(text)

    return chart_data


def lines_of(data, group=0):
    return {data["looks"][line["place"]]["name"]: line for line in data["groups"][group]["lines"]}


def test_a_long_curve_is_thinned_to_its_ends_and_200_steps_between(add, read, chart_data):
    add(num_steps=5000, lrs=(0.1,))
    (line,) = lines_of(chart_data(read())).values()
    assert len(line["x"]) == len(line["mid"]) == len(line["low"]) == 201
    assert (line["x"][0], line["x"][-1]) == (0, 5000)


def test_numbers_have_four_digits_and_none_stands_for_what_is_not_finite(add, read, chart_data):
    losses = np.array([np.inf, 2 / 3, 1 / 3], np.float32)
    names = ("loss", "loss_normalized", "accuracy")
    metrics = {f"{split}/{name}": losses for split in ("train", "outer_valid", "test") for name in names}
    add(lrs=(0.1,), eval_metrics=metrics)
    (line,) = lines_of(chart_data(read())).values()
    assert line["mid"] == [None, 0.6667, 0.3333]


def test_an_optimizer_has_one_look_on_the_page_whatever_its_tasks(add, read, chart_data):
    add("T", "AdamLR_20_R2")
    add("T", "SGDLR_20_R2")
    add("U", "SGDLR_20_R2")
    data = chart_data(read())
    assert [look["name"] for look in data["looks"]] == ["AdamLR_20_R2", "SGDLR_20_R2"]
    assert lines_of(data, 1)["SGDLR_20_R2"]["place"] == 1


def test_twenty_five_optimizers_look_unlike(add, read, chart_data):
    for i in range(25):
        add("T", f"Adam{i}_20_R2", lrs=(0.1,))
    looks = chart_data(read())["looks"]
    assert len({(look["color"], tuple(look["dash"])) for look in looks}) == 25


def test_a_verdict_names_the_optimizers_and_chooses_their_settings(chart_data):
    lines = lines_of(chart_data([], verdict=make_verdict(packaged=("Adam",))))
    assert list(lines) == ["Mine", "Adam", "SGD"]  # the lowest loss first
    assert lines["Mine"]["lr"]["x"] == list(LRS)
    assert lines["Mine"]["lr"]["best"] == 1
    assert lines["Mine"]["lr"]["plateau"] == [0.005, 0.02]
    assert lines["Mine"]["seconds"] == 0.001
    assert lines["Adam"]["seconds"] is None  # of another machine
    assert lines["Adam"]["flops"] == 1e6
    assert len(lines["Mine"]["best-of"]["mid"]) == 3


def test_results_of_the_verdicts_cells_are_shown_once(add, read, chart_data):
    add("T", "MineLR_200_R3", num_steps=200, seeds=(0, 1, 2), data_source="real")
    lines = lines_of(chart_data(read(), verdict=make_verdict(("T",))))
    assert list(lines) == ["Mine", "Adam", "SGD"]


def test_an_optimizer_of_the_verdict_keeps_its_name_on_other_tasks(add, read, chart_data):
    add("V", "AdamLR_200_R3", num_steps=200, seeds=(0, 1, 2), data_source="real")
    data = chart_data(read(), verdict=make_verdict(("T",)))
    assert list(lines_of(data, 0)) == ["Adam"]
    assert [look["name"] for look in data["looks"]] == ["Adam", "Mine", "SGD"]


def test_a_best_setting_at_the_end_of_its_grid_is_marked_without_a_verdict(root, read, chart_data):
    curves = [
        make_archive({label: hparams}, loss=loss, data_source="real")
        for (label, hparams), loss in zip(sgd(0.1, 0.2, 0.4).items(), (3, 2, 1), strict=True)
    ]
    stacked = {key: np.concatenate([one[key] for one in curves]) for key in curves[0]}
    archives.write_archive("T", "SGDLR_20_R2", stacked, root)
    (line,) = lines_of(chart_data(read())).values()
    assert (line["lr"]["best"], line["lr"]["edge"]) == (2, 1)


def test_profiles_are_cut_to_the_scores_that_tell_something(chart_data):
    (mine, adam, _) = chart_data([], verdict=make_verdict())["profiles"]["lines"]
    assert mine["x"] == adam["x"] == [0.25, 0.5, 1, 2, 4]
    assert adam["mid"] == [1, 0.9, 0.5, 0.1, 0]


def test_the_numbers_of_a_chart_are_a_table_too(tmp_path):
    report.write_report(str(tmp_path / "report.html"), [], verdict=make_verdict(("T",)))
    text = Page((tmp_path / "report.html").read_text()).text["tasks"]
    assert (
        "Numbers optimizer step 0 step 50 step 100 step 150 step 200 Mine 2.000 1.631 [1.629, 1.634]" in text
    )
    assert "optimizer best plateau 0.001 0.01 0.1 Mine 0.01 0.005 to 0.02 0.7650 [0.7500, 0.7800]" in text
    assert "optimizer 1 2 3 Mine 1.510 [0.5100, 2.510]" in text
