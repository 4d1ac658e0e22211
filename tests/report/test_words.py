"""Numbers, times and places in words."""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone

import pytest

from optsuite.report import _words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.0, "0.000"),
        (0.412, "0.4120"),
        (2.3, "2.300"),
        (-12.3456, "-12.35"),
        (999.96, "1,000"),
        (1234.0, "1,234"),
        (12345.6, "12,350"),
        (4.5e9, "4.500e+09"),
        (1.23456e-7, "1.235e-07"),
        (math.inf, "inf"),
    ],
)
def test_numbers_have_four_significant_digits(value, words):
    assert _words.number(value) == words


def test_a_moment_has_its_zone_if_it_is_known():
    time = datetime(2026, 1, 2, 3, 4)
    assert _words.moment(time) == "2026-01-02 03:04"
    assert _words.moment(time.replace(tzinfo=timezone(timedelta(hours=1), "CET"))) == "2026-01-02 03:04 CET"


@pytest.mark.parametrize(
    ("url", "page", "words"),
    [
        ("/data/figures/a b.svg", "/data/report.html", "figures/a%20b.svg"),
        ("/data/figures/a.svg", "/data/one/report.html", "../figures/a.svg"),
        ("/data/one/../figures/a.svg", "/data/one/report.html", "../figures/a.svg"),
        ("/other/a.svg", "/data/report.html", "file:///other/a.svg"),
        ("/figures/a.svg", "/report.html", "figures/a.svg"),
        ("s3://bucket/figures/a.svg", "s3://bucket/reports/report.html", "../figures/a.svg"),
        ("s3://other/a.svg", "s3://bucket/report.html", "s3://other/a.svg"),
        ("gs://bucket/a.svg", "s3://bucket/report.html", "gs://bucket/a.svg"),
        ("memory://figures/a.svg", "memory://report.html", "figures/a.svg"),
    ],
)
def test_links_are_relative_within_a_root(url, page, words):
    assert _words.link(url, page) == words


def test_only_local_places_can_be_opened():
    assert _words.href("/a b/<c>") == "file:///a%20b/%3Cc%3E"
    assert _words.href("file:///a") == "file:///a"
    assert _words.href("s3://bucket/a") is None
