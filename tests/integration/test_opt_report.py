"""--opt-report: figures and a page after the session, which they never fail."""

from __future__ import annotations

import json

from .conftest import CELL, LABELS, SET, TASK, text


def pages(bench):
    return sorted(bench.path.glob("curves_reports/*/report.html"))


def figures(bench):
    return {path.name: path.stat().st_mtime_ns for path in bench.path.glob("curves_reports/figures/*")}


def stems(bench):
    """Names of the figures without the fingerprints that they end in."""
    return {f"{name[: name.rindex('-')]}.{name.rpartition('.')[2]}" for name in figures(bench)}


def test_a_session_writes_one_page_and_says_where(bench):
    result = bench.run(report="on")
    result.assert_outcomes(passed=len(LABELS))
    (page,) = pages(bench)
    assert f"report: {page}" in text(result)
    words = page.read_text()
    assert all(word in words for word in (TASK, SET, "SGD_lr0.1", "STAND-IN", "4 trained"))
    names = {f"{TASK}-{kind}-stand-in.{form}" for kind in ("curves", "lr") for form in ("png", "svg")}
    assert names <= stems(bench)
    assert "warning" not in text(result)


def test_it_is_written_unless_it_is_switched_off(bench):
    bench.run(report=None)
    assert len(pages(bench)) == 1


def test_off_writes_archives_only(bench):
    result = bench.run(report="off")
    assert len(bench.archive_files) == 1
    assert not (bench.path / "curves_reports").exists()
    assert "report:" not in text(result)


def test_a_second_session_has_its_own_page_and_draws_nothing_again(bench):
    bench.run(report="on")
    before = figures(bench)
    bench.run(report="on")
    assert figures(bench) == before
    assert len(pages(bench)) == 2
    words = [page.read_text() for page in pages(bench)]
    assert sorted("0 trained, 4 recorded before" in page for page in words) == [False, True]


def test_what_was_trained_again_is_drawn_again(bench):
    bench.run(report="on")
    before = figures(bench)
    curve = bench.curve_files[0]
    curve.write_bytes(b"damaged")
    bench.run("--opt-rerun=failed", report="on")
    # The same trial gives the same curve: there is nothing new to draw.
    assert figures(bench) == before
    bench.run("--opt-steps=20", sets="TinyLR_20_R2", report="on")
    after = figures(bench)
    assert before.items() < after.items()
    assert sum(name.startswith(f"{TASK}-curves-stand-in-") for name in after) == 4


def test_a_figure_that_cannot_be_drawn_is_a_warning(bench, monkeypatch):
    from optsuite import vis

    def break_down(*args, **kwargs):
        raise ArithmeticError("no ink")

    monkeypatch.setattr(vis, "draw_lr_sensitivity", break_down)
    result = bench.run(report="on")
    assert result.ret == 0
    assert f"{TASK}-lr-stand-in: ArithmeticError: no ink" in text(result)
    assert len(pages(bench)) == 1


def test_a_page_that_cannot_be_written_is_a_warning(bench):
    (bench.path / "curves_reports").write_text("in the way")
    result = bench.run(report="on")
    assert result.ret == 0
    assert "warning: no report: cannot write" in text(result)
    assert len(bench.archive_files) == 1


def test_a_cell_that_is_not_complete_is_said_to_be_missing(bench):
    bench.run("-k", "SGD_lr0.1", report="on")
    (page,) = pages(bench)
    words = page.read_text()
    assert "missing" in words.lower()
    assert CELL.partition("-")[2] in words


def test_an_older_archive_is_not_shown_for_a_cell_that_is_not_complete_now(bench):
    bench.run()
    bench.curve_files[0].unlink()
    bench.run("-k", "SGD_lr0.1", report="on")
    (page,) = pages(bench)
    assert len(bench.archive_files) == 1
    assert "missing" in page.read_text().lower()
    assert not figures(bench)


def test_a_failure_is_on_the_page_with_its_cause(bench):
    result = bench.run(tasks="Breaks", report="on")
    result.assert_outcomes(failed=len(LABELS))
    (page,) = pages(bench)
    assert "the loss is broken" in page.read_text()
    assert f"report: {page}" in text(result)


def test_curves_of_a_test_that_failed_are_counted(bench):
    bench.pytester.makepyfile(
        test_mine="""
        def test_mine(cell_config, curve_store):
            assert not curve_store.curves(cell_config)
        """
    )
    bench.run("test_mine.py", report="on").assert_outcomes(failed=len(LABELS))
    bench.run("test_mine.py", report="on").assert_outcomes(failed=len(LABELS))
    words = [page.read_text() for page in pages(bench)]
    assert sum("4 trained, 0 recorded before" in page for page in words) == 1
    assert sum("0 trained, 4 recorded before" in page for page in words) == 1


def test_ctrl_c_while_reporting_keeps_the_summary(bench, monkeypatch):
    from optsuite import report

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(report, "write_report", interrupt)
    result = bench.run(report="on")
    assert result.ret == 0
    assert "complete cells archived: 1" in text(result)
    assert "warning: interrupted" in text(result)


def test_normalizers_are_built_where_their_baselines_are_there(bench):
    result = bench.run(sets="AdamLR_10_R1", report="on")
    (file,) = bench.path.glob("curves_archives_synthetic/*.json")
    assert file.name == "speedup_over_adam_10_R1.json"
    xs, ys = json.loads(file.read_text())[TASK]
    assert len(xs) == len(ys) == 512
    assert f"{file.stem}-stand-in.svg" in stems(bench)
    assert "warning" not in text(result)
