"""What to run: cells, what of them is recorded already, what the rest will cost, and running it.

The store is the truth about what is done: a trial counts as recorded if its folder holds a file of its id.
"""

from optsuite.sweep._cells import Cell, Store
from optsuite.sweep._cost import estimated_seconds
from optsuite.sweep._matrix import PRESETS, Matrix, make_matrix
from optsuite.sweep._plan import Plan, plan
from optsuite.sweep._run import (
    RERUNS,
    Job,
    archive_cell,
    missing_trials,
    prepare,
    recorded,
    run_job,
    split,
)
from optsuite.sweep._summary import Summary, summarize

__all__ = [
    "PRESETS",
    "RERUNS",
    "Cell",
    "Job",
    "Matrix",
    "Plan",
    "Store",
    "Summary",
    "archive_cell",
    "estimated_seconds",
    "make_matrix",
    "missing_trials",
    "plan",
    "prepare",
    "recorded",
    "run_job",
    "split",
    "summarize",
]
