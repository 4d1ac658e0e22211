"""Plugins that run a failed test once more, as pytest-rerunfailures does with --reruns."""

from __future__ import annotations

from .conftest import EXTENSIONS, LABELS, read_curves, text

RERUNNING = """
from _pytest.runner import runtestprotocol


def pytest_runtest_protocol(item, nextitem):
    reports = runtestprotocol(item, nextitem=nextitem, log=False)
    if any(report.failed for report in reports):
        with open("failed.txt", "a") as file:
            print(item.name, file=file)
        fixed.touch()
        item._initrequest()
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    return True
"""


def test_a_rerun_trains_again(bench):
    bench.pytester.makeconftest(EXTENSIONS + RERUNNING)
    result = bench.run("--junitxml=junit.xml", tasks="Breaks")
    result.assert_outcomes(passed=2)
    # The first rerun trains its own config; the failure of the other, from the same training, is told first.
    assert len((bench.path / "failed.txt").read_text().splitlines()) == 2
    assert len(read_curves(bench.path)) == 4
    assert bench.labels() == set(LABELS)
    assert "the loss is broken" not in text(result)
    junit = (bench.path / "junit.xml").read_text()
    assert junit.count('name="optsuite_trained" value="2"') == 2


def test_a_rerun_of_what_fails_again_fails(bench):
    bench.pytester.makeconftest(EXTENSIONS + RERUNNING.replace("fixed.touch()", ""))
    result = bench.run(tasks="Breaks")
    result.assert_outcomes(failed=2)
    assert "the loss is broken" in text(result)
