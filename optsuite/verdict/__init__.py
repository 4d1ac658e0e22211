"""Verdicts: is this optimizer better, by how much, and how sure are we?"""

from optsuite.verdict._value import Entry, Outcome, Standing, Verdict

__all__ = ["Entry", "Outcome", "Standing", "Verdict"]
