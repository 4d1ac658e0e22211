"""Comparison of two stores: the same trials last night and tonight, with a gate for real changes."""

from optsuite.comparison._history import COLUMNS, read_history, record_night
from optsuite.comparison._rounds import Rounds, rounds_of, train_in_turn
from optsuite.comparison._stores import compare
from optsuite.comparison._value import (
    FALSE_ALARMS,
    Change,
    ComparedCell,
    Comparison,
    Divergence,
    Slowdown,
)
from optsuite.comparison._words import CHANGED, NOTHING, SAME, SLOWER, exit_status, lines, to_json

__all__ = [
    "CHANGED",
    "COLUMNS",
    "FALSE_ALARMS",
    "NOTHING",
    "SAME",
    "SLOWER",
    "Change",
    "ComparedCell",
    "Comparison",
    "Divergence",
    "Rounds",
    "Slowdown",
    "compare",
    "exit_status",
    "lines",
    "read_history",
    "record_night",
    "rounds_of",
    "to_json",
    "train_in_turn",
]
