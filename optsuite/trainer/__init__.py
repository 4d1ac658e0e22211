"""Trains trials of one task, many as one program.

The only place that calls `torch.compile`, or `vmap` over trials. A trial's curve is a function of (task,
config, schedule, seed, data source, device kind): which trials ran beside it changes it by float rounding
only.
"""

from __future__ import annotations

from optsuite.trainer._compile import is_long
from optsuite.trainer._grid import ProgramSpec, group_by_spec, split_into_grids
from optsuite.trainer._layouts_file import Layout
from optsuite.trainer._memory import trial_bytes, width_limit
from optsuite.trainer._outcome import Outcome
from optsuite.trainer._reproducible import check_precision, resolve_device
from optsuite.trainer._run import choose_layouts, run, train, train_many
