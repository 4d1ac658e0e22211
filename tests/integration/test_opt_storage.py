"""--opt-storage and --opt-archives."""

from __future__ import annotations

import uuid

import fsspec
import pytest

from optsuite import load_archive, load_baseline_results_from_dir

from .conftest import LABELS, SET, TASK, text

ARCHIVE = f"{TASK}/{SET}.npz"


def test_archives_lie_beside_the_curves(bench):
    result = bench.run()
    assert bench.archive_files == [f"curves_archives_synthetic/{ARCHIVE}"]
    places = f"curves in {bench.storage}_synthetic, archives in {bench.storage}_archives_synthetic"
    assert text(result).count(places) == 2  # in the plan and in the summary


def test_archives_can_lie_elsewhere(bench):
    bench.run(f"--opt-archives={bench.path / 'elsewhere'}").assert_outcomes(passed=2)
    assert bench.archive_files == [f"elsewhere_synthetic/{ARCHIVE}"]


def test_a_url_will_do(bench):
    root = f"memory://{uuid.uuid4().hex}"
    bench.run(f"--opt-storage={root}/curves", storage=None).assert_outcomes(passed=2)
    folder = f"{root}/curves_synthetic/{TASK}/{LABELS[0]}/10_10_5_10"
    assert len(load_baseline_results_from_dir(folder)) == 2
    archive = load_archive(TASK, SET, root=f"{root}/curves_archives_synthetic")
    assert archive["train/loss"].shape == (2, 2, 11)
    assert bench.results() == []
    fsspec.filesystem("memory").rm(root.removeprefix("memory:/"), recursive=True)


@pytest.mark.parametrize("name", ["a::b", "a#b %?[c]*", "ä ö"])
def test_a_folder_may_have_any_name(bench, name):
    (bench.path / "a").write_text("mine")
    result = bench.run(f"--opt-storage={bench.path / name / 'curves'}", storage=None, report="on")
    result.assert_outcomes(passed=2)
    assert {path.relative_to(bench.path).parts[0] for path in bench.curve_files} == {name}
    assert bench.archive_files == [f"{name}/curves_archives_synthetic/{ARCHIVE}"]
    assert (bench.path / "a").read_text() == "mine"
    assert list((bench.path / name).rglob("report.html"))


def test_a_chained_url_ends_the_session_before_training(bench):
    result = bench.run("--opt-storage=simplecache::memory://a", storage=None)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "optsuite: `simplecache::memory://a" in text(result)
    assert "cannot be a root" in text(result)


def test_the_environment_variables_are_the_default(bench, monkeypatch):
    monkeypatch.setenv("LOPT_BASELINE_DIR", str(bench.path / "b"))
    monkeypatch.setenv("LOPT_BASELINE_ARCHIVES_DIR", str(bench.path / "a"))
    bench.run(storage=None).assert_outcomes(passed=2)
    assert {path.relative_to(bench.path).parts[0] for path in bench.curve_files} == {"b_synthetic"}
    assert bench.archive_files == [f"a_synthetic/{ARCHIVE}"]


def test_without_any_results_lie_in_the_home_folder(bench):
    result = bench.run("--opt-plan", storage=None)
    home = bench.path  # pytester's
    assert f"curves in {home}/lopt_baselines_synthetic" in text(result)
    assert f"archives in {home}/lopt_baselines_archives_synthetic" in text(result)


@pytest.mark.parametrize("option", ["--opt-storage", "--opt-archives"])
def test_a_place_that_cannot_be_written_ends_the_session_before_training(bench, option):
    (bench.path / "file").touch()
    given = {"storage": None} if option == "--opt-storage" else {}  # an option takes one value
    result = bench.run(f"{option}={bench.path / 'file' / 'here'}", **given)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert f"optsuite: cannot write to `{bench.path}/file/here_synthetic`" in text(result)
    assert "choose another place" in text(result)
    assert "INTERNALERROR" not in text(result)
    assert bench.curve_files == []


def test_a_url_of_an_unknown_kind_ends_the_session_before_training(bench):
    result = bench.run("--opt-storage=zebra://here", storage=None)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "zebra://here/synthetic" in text(result)
