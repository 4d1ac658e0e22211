"""Verdicts: is this optimizer better, by how much, and how sure are we?"""

from optsuite.verdict._export import FORMS, check_output, exit_status, table, to_json, to_latex, write
from optsuite.verdict._judge import judge
from optsuite.verdict._value import Entry, Outcome, Standing, Verdict
from optsuite.verdict._words import lines, page

__all__ = [
    "FORMS",
    "Entry",
    "Outcome",
    "Standing",
    "Verdict",
    "check_output",
    "exit_status",
    "judge",
    "lines",
    "page",
    "table",
    "to_json",
    "to_latex",
    "write",
]
