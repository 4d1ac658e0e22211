"""What to run: cells, what of them is recorded already, what the rest will cost, and running it.

The store is the truth about what is done: a trial counts as recorded if its folder holds a file of its id.
"""

from optsuite.statistics import Summary
from optsuite.statistics import summarize_curves as summarize
from optsuite.storage import Store, roots_for
from optsuite.sweep._cells import Cell
from optsuite.sweep._cost import Cost, estimated_cost
from optsuite.sweep._matrix import Matrix, make_matrix
from optsuite.sweep._plan import CellPlan, Plan, plan
from optsuite.sweep._run import (
    Job,
    archive_cell,
    missing_trials,
    prepare,
    recorded,
    run_job,
    share_out,
    split,
)
from optsuite.sweep._speed import Speed, measured_speed, nominal_speed
from optsuite.sweep._words import left_out_lines, over_budget_lines, plan_lines, plan_table

__all__ = [
    "Cell",
    "CellPlan",
    "Cost",
    "Job",
    "Matrix",
    "Plan",
    "Speed",
    "Store",
    "Summary",
    "archive_cell",
    "estimated_cost",
    "left_out_lines",
    "make_matrix",
    "measured_speed",
    "missing_trials",
    "nominal_speed",
    "over_budget_lines",
    "plan",
    "plan_lines",
    "plan_table",
    "prepare",
    "recorded",
    "roots_for",
    "run_job",
    "share_out",
    "split",
    "summarize",
]
