"""Whatever the numbers are, a verdict can be said and read."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optsuite.statistics import Interval
from optsuite.verdict import page, to_json, to_latex

from .values import TASKS, entry, evaluations, standing, verdict

NUMBER = st.floats(allow_nan=True, allow_infinity=True)
INTERVAL = st.none() | st.tuples(NUMBER, NUMBER, NUMBER)
OUTCOME = st.sampled_from(["better", "worse", "no difference", "undecided"])
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SETTING = st.none() | st.integers(0, 2)


@st.composite
def verdicts(draw):
    entries = []
    for task in TASKS[: draw(st.integers(1, 2))]:
        for family in ("MineLR", "AdamLR", "SGDLR"):
            ratio = None if family == "AdamLR" else draw(INTERVAL)
            single = evaluations(family, task, lrs=(0.001,)) if draw(st.booleans()) else None
            best = draw(SETTING) if single is None else 0
            edge, final = draw(TEXT), draw(st.tuples(NUMBER, NUMBER, NUMBER))
            made = entry(family, ratio, task=task, best=best, final=final, edge=edge, evaluations=single)
            entries.append(made)
    standings = [
        standing(name, draw(NUMBER), draw(INTERVAL), draw(OUTCOME), score=draw(INTERVAL.map(_interval)))
        for name in ("Mine", "Adam", "SGD")
    ]
    missing = {f"{TASKS[0]}/{draw(TEXT)}": "no archive"}
    return verdict(entries, standings, missing=missing, num_seeds=draw(st.integers(0, 9)), suite=draw(TEXT))


def _interval(numbers):
    return numbers and Interval(*numbers)


@given(verdicts())
def test_json_has_no_constants_that_json_has_not(value):
    told = json.loads(to_json(value), parse_constant=pytest.fail)
    assert told["of"] == "Mine"


@given(verdicts())
def test_no_line_shows_what_is_no_number(value):
    quoted = {value.suite, *(one.edge for one in value.entries), *value.missing}
    for line in page(value, by_task=True):
        for text in sorted(quoted, key=len, reverse=True):
            line = line.replace(text, "") if text else line
        assert not re.search(r"\b(nan|inf|none)\b", line, re.IGNORECASE), line


@given(verdicts())
def test_latex_is_balanced(value):
    text = to_latex(value)
    assert text.count("{") == text.count("}")
    assert all(line.endswith(r"\\") and line.count("&") == 5 for line in text.splitlines()[5:-2])
