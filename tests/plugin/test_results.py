"""Results as properties of reports."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optsuite.plugin._results import Recorder, from_report, properties_of
from optsuite.runner import Result
from optsuite.statistics import Summary


def report(properties, outcome="passed"):
    return pytest.TestReport("id", ("f", 1, "d"), {}, outcome, None, "call", user_properties=properties)


def result(label="a", **facts):
    summary = Summary({"train": 0.5, "test": 0.7}, 0, 2)
    return Result("T", "AdamLR_10_R2", label, "real", **{"summary": summary} | facts)


@given(
    losses=st.dictionaries(st.sampled_from(["train", "outer_valid", "test"]), st.floats(allow_nan=False)),
    counts=st.lists(st.integers(0, 9), min_size=4, max_size=4),
)
def test_a_result_survives_its_properties(losses, counts):
    diverged, trained, recorded, num_failed = counts
    before = result(
        summary=Summary(losses, diverged, 9),
        num_trained=trained,
        num_recorded=recorded,
        num_failed=num_failed,
    )
    assert from_report(report([*properties_of(before), ("other", "x")])) == before


def test_properties_are_flat_and_plain():
    assert dict(properties_of(result())) == {
        "optsuite_task": "T",
        "optsuite_set": "AdamLR_10_R2",
        "optsuite_label": "a",
        "optsuite_data": "real",
        "optsuite_final_train_loss": 0.5,
        "optsuite_final_test_loss": 0.7,
        "optsuite_diverged": 0,
        "optsuite_trials": 2,
        "optsuite_trained": 0,
        "optsuite_recorded": 0,
        "optsuite_failed": 0,
    }


def test_a_report_of_another_test_has_no_result():
    assert from_report(report([("other", "x"), ("optsuite_mine", 1)])) is None


def test_a_report_that_failed_has_no_summary():
    assert from_report(report(properties_of(result()), "failed")).summary is None
    assert from_report(report(properties_of(result(summary=None)))).summary is None


def test_the_recorder_keeps_one_result_a_config_and_none_of_what_did_not_train():
    recorder = Recorder()
    for one, outcome in (
        (result("a", summary=None), "failed"),
        (result("a", num_trained=2), "passed"),
        (result("a", summary=None), "failed"),
        (result("b", summary=None), "passed"),
    ):
        recorder.pytest_runtest_logreport(report(properties_of(one), outcome))
    assert recorder.results == [result("a", num_trained=2)]
