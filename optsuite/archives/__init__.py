"""Archives: the curves of a cell, stacked `[configs, repetitions, ...]` in one npz file.

An archive lies at `<root>/<task>/<hparam set>.npz` and has the keys of its curves: `train/loss` is float32
(H, S, num_steps + 1), `num_steps` int64 (H, S), for H configs and S repetitions. Archives of
learned_optimization (`baselines/run_archive.py`) are read here, and ours there. Ours also hold `curve_file`
(H, S), the names of the curves' files.

`read_archive` gives an `Archive`, the validated value that tables, statistics and normalizers use.
"""

from optsuite.archives._build import Built, build_archive, missing_repetitions, stack_curves, try_archive
from optsuite.archives._cells import (
    delete_archive,
    explained,
    find_cells,
    list_hparam_sets_for_task,
    load_archive,
    read_archive,
    read_each,
    require_any,
    write_archive,
)
from optsuite.archives._value import (
    Absent,
    Archive,
    Facts,
    NotEvaluatedError,
    RecordedConfig,
    describe,
    recorded_config,
)
