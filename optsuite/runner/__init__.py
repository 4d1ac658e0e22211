"""Runs cells: reads what is recorded, trains the rest, archives what is complete, and writes the report.

A face (the pytest plugin, the `optsuite` command) chooses cells, hands them to a `Runner` and shows the
events that it tells; so all faces leave the same files.

| step | what happens |
| --- | --- |
| `plan` | looks at the store, estimates the cost, keeps what fits a budget |
| `take` | is told the cells to run |
| `connect` | sees that results can be written, and starts the back end |
| `train`, `train_all` | train what is not recorded, of one cell or of all |
| `close` | ends what was started, and removes the marks of this run from the stores |
| `build` | archives complete cells, updates normalizers, draws figures and writes the page |
"""

from optsuite.runner._build import archive_cell
from optsuite.runner._contest import Contest, make_contest
from optsuite.runner._events import Ended, Event, Outcomes, Progress, Said, Started, Warned
from optsuite.runner._options import RunOptions
from optsuite.runner._results import Result, result_of
from optsuite.runner._runner import Runner
