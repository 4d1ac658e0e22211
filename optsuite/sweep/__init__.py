"""Cells to run, which trials of them are recorded already, what the rest costs, and jobs that train it.

The store is the truth about what is done: a trial counts as recorded if its folder holds a file of its id.
What is being done is in the store too: groups of trials, which processes claim.
"""

from optsuite.sweep._cost import Cost, Speed, estimated_cost, measured_speed, nominal_speed
from optsuite.sweep._groups import (
    Failure,
    GroupFile,
    Shares,
    end_recorded,
    gather,
    groups_dir,
    note_failure,
    read_failures,
    read_groups,
    tidy,
    trials_by_id,
)
from optsuite.sweep._jobs import Job, check_writable, prepare, share_out, split
from optsuite.sweep._matrix import Cell, Matrix, make_matrix
from optsuite.sweep._plan import CellPlan, Plan, plan
from optsuite.sweep._recorded import missing_trials, recorded
from optsuite.sweep._status import CellStatus, GroupStatus, status_of
from optsuite.sweep._words import left_out_lines, over_budget_lines, plan_lines, plan_table
