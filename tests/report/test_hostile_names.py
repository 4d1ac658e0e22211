"""Names are shown as text, whatever they hold: they come from folders that others may write to."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import re
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optsuite import archives, report, statistics, storage
from optsuite.report import SessionFacts
from optsuite.report._contents import Contents, Figure, with_entries
from optsuite.report._figures import inline
from optsuite.report._page import _render
from optsuite.report._words import shown
from optsuite.storage import CorruptFileError
from tests.report.conftest import SETS
from tests.report.pages import Page
from tests.report.verdicts import make_verdict

HOSTILE = (
    "<script>steal()</script>",
    '"><img src=x onerror=steal()>',
    "' onclick='steal()",
    "javascript:steal()",
    "javascript://%0asteal()",
    "</style></title><svg onload=steal()>",
    "{{ 7 * 7 }}{% raw %}",
    "<!--",
    "]]>&amp;&#60;",
    "\0\x1b[31m\x7f\x85\u202egnp",
    "\udcff\ud800",
    "../../x",
)
names = st.sampled_from(HOSTILE) | st.text(min_size=1, max_size=20)

TAGS = set(
    "html head meta title style body header p button h1 time nav a main section div strong ul li dl dt dd "  # noqa: SIM905
    "code b span h2 h3 h4 table thead tr th tbody td small script details summary figure figcaption article "
    "svg g path label input select output".split()
)


@functools.cache
def a_page(name):
    """A page in which all that can be named is named so."""
    text = name.encode(errors="replace").decode().rstrip("\0") or "?"  # as archives hold it
    arrays = {
        "train/loss": np.ones((1, 2, 3)),
        "eval/xs": np.tile([0, 2], (1, 2, 1)),
        "eval/train/loss": np.ones((1, 2, 2)),
        "opt_name": np.full((1, 2), text),
        "gin_operative_config": np.full((1, 2), "{}"),
        "data_source": np.full((1, 2), "synthetic"),
    }
    cell = archives.describe(arrays, task=name, hparam_set=name, url=f"r/{name}/x.npz", store=name)
    absent = archives.Absent(
        task=name, hparam_set=f"{name}2", url=f"r/{name}/y", error=CorruptFileError(name)
    )
    facts = SessionFacts(
        started=datetime(2026, 1, 1, tzinfo=UTC),
        seconds=1.0,
        command=name,
        device=name,
        preset=name,
        versions={name: name},
        data={name: name},
        trained=1,
        recorded=0,
        failures=[(name, name)],
        left_out=[name],
        warnings=[name],
        curves=[f"s3://{name}"],
        archives=[f"memory://{name}"],
    )
    markup, on_disk = inline("<svg><g/></svg>", "f0", name), name.replace("\ud800", "")
    figures = [
        Figure(name, name, None, is_stand_in=True, svg=markup, links={name: f"s3://b/{on_disk}"}),
        Figure(name, name, name, is_stand_in=True, chart="curves", links={name: f"s3://b/{on_disk}"}),
        Figure(name, name, None, is_stand_in=True, problem=name, is_drawn=False),
    ]
    # longer than any name, so that no name is the same task
    verdict = make_verdict(["TheTaskOfTheVerdictAlone"], names=(name, f"{name}2"), words=name)
    contents = Contents(
        made=facts.started,
        cells=with_entries([statistics.summarize(cell), absent], verdict),
        figures=figures,
        figures_url=f"s3://b/{name}",
        facts=facts,
        verdict=verdict,
    )
    return Page(_render(contents, "s3://b/report.html").encode().decode())


@settings(deadline=None)
@given(names)
def test_names_add_no_elements_attributes_or_addresses(name):
    page, plain = a_page(name), a_page("plain")
    assert page.tags == plain.tags
    assert set(page.tags) <= TAGS
    assert page.attributes == plain.attributes
    assert all(href.startswith(("#", "s3://")) or ":" not in href for href in page.hrefs)


@settings(deadline=None)
@given(names)
def test_names_are_shown_as_they_are_but_for_what_a_page_cannot_hold(name):
    assert " ".join(shown(name).split()) in a_page(name).text["session"]
    assert not re.search("[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]", a_page(name).html)


def test_what_a_page_can_show_is_shown():
    text = "Ünï ± \t\n \N{NO-BREAK SPACE}λ=½ \U0001f600"
    assert shown(text) == text


@settings(deadline=None)
@given(names)
def test_names_in_the_data_of_charts_end_no_element_and_stay_as_they_are(name):
    page = a_page(name)
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page.html, re.DOTALL)
    assert not re.search("[<>&]", data)
    assert shown(name) in [look["name"] for look in json.loads(data)["looks"]]


def test_a_browser_is_told_to_run_the_pages_own_scripts_alone():
    html = a_page("x").html
    scripts = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', html)
    assert policy.startswith("default-src 'none';")
    assert len(scripts) == 2
    assert policy.endswith("script-src " + " ".join(f"'sha256-{digest}'" for digest in digests))
    assert html.index("Content-Security-Policy") < html.index("<style>")


@pytest.mark.parametrize("name", ['id="a" url(#b) fill: #22262b', "<!-- c -->", 'x" onload="steal()'])
def test_words_in_a_figure_stay_as_they_are(name, add, read, tmp_path):
    """With the real plots, whose markup is put into the page."""
    for hparam_set in SETS:
        add(name, hparam_set, lrs=(0.1,), data_source="real")
    written = report.write_report(str(tmp_path / "report.html"), read())
    assert written.problems == []
    page = Page(storage.read_bytes(written.url).decode())
    assert page.text["tasks"].count(name) == 1
    assert page.text["overview"].count(name) == 1
    assert not any(key.startswith("on") for _, key in page.attributes)


def test_no_figure_lies_outside_its_folder(tmp_path, drawn):
    cell = statistics.summarize(
        archives.describe(
            {
                "train/loss": np.ones((1, 1, 3)),
                "eval/xs": np.array([[[0, 2]]]),
                "eval/train/loss": np.ones((1, 1, 2)),
            },
            task="../../escaped",
            hparam_set="A",
            url="r/T/x.npz",
        )
    )
    written = report.write_report(str(tmp_path / "a" / "b" / "report.html"), [cell])
    assert all("cannot name a folder" in problem for problem in written.problems)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["report.html"]
