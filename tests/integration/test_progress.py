"""What a run says while it trains."""

from __future__ import annotations

from .conftest import CELL


def test_elsewhere_than_on_a_terminal_progress_comes_in_plain_lines(bench):
    result = bench.run()
    assert "\r" not in result.stdout.str()
    assert "\x1b" not in result.stdout.str()
    result.stdout.re_match_lines([rf"{CELL}: trained, 44 trial-steps in \d+ s, [\d,]+ trial-steps/s$"])


def test_a_session_without_a_terminal_reporter_trains_in_silence(bench):
    result = bench.run("-p", "no:terminal")
    assert result.ret == 0
    assert result.stdout.str().strip() == ""
    assert len(bench.curve_files) == 4
    assert len(bench.archive_files) == 1
