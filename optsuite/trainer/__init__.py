"""Trains trials of one task, many as one program.

The only place that compiles, or calls `vmap` over trials. A trial's curve is a function of (task,
config, schedule, seed, data source, device kind): which trials ran beside it changes it by float rounding
only.

The files, each of which uses those above it:

- `_reproducible`: the device, the precision, and sums in a fixed order.
- `_memory`: how many trials, or batches of an evaluation, fit side by side.
- `_compile`: compilation, and whether it pays.
- `_grid`: what trials must share, the grids that they are cut into, and the ways to run these.
- `_network`: the network that runs all trials of a program.
- `_dump`: trees of tensors as arrays, and back.
- `_seal`: digests of these arrays, and texts among them.
- `_functions`: the gradient and the evaluation of a task, for all its optimizers.
- `_program`: start and step of a grid; the program of pure functions.
- `_networks`, `_unit`: an object of a class of `torch.optim.Optimizer`, and the networks that it keeps.
- `_lift_mode`, `_lifted`: one such object that steps several trials.
- `_adapter`: the program of such classes.
- `_programs`: the programs of a group of trials, by the shape of their grids.
- `_batches`: the batches and noise keys of a grid.
- `_state`: the state of a run between two steps, and its record in the end.
- `_identity`: what must be equal where a state is loaded again.
- `_loop`: the training of one grid, block by block; its state can be dumped and loaded.
- `_layouts_file`, `_layout`: layouts that were measured before, and the choice of one.
- `_ways`: ways to train a grid in place of one that failed.
- `_group`: groups of trials, and where their states are kept.
- `_plan`: the parts of a group, those that ended and those that are pending.
- `_checkpoints`: when the state of a group is saved, and how it is read again.
- `_outcome`: the curve or the error of each trial of a grid.
- `_run`: what others call; trains group after group, and goes on in another way where one fails.
"""

from __future__ import annotations

from optsuite.trainer._adapter import check_fit
from optsuite.trainer._compile import is_long, updates_are_long
from optsuite.trainer._dump import Arrays
from optsuite.trainer._grid import ProgramSpec, group_by_spec, split_into_grids
from optsuite.trainer._group import Group, Keeper, Unkept, make_groups
from optsuite.trainer._layouts_file import Layout
from optsuite.trainer._loop import GridRun
from optsuite.trainer._memory import is_out_of_memory, trial_bytes, width_limit
from optsuite.trainer._outcome import Outcome
from optsuite.trainer._reproducible import check_precision, reproducible, resolve_device
from optsuite.trainer._run import run, run_of_one, train, train_many
from optsuite.trainer._state import RunState
