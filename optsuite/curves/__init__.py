"""Curves: the records of single trials, and the files that hold them.

A curve is a flat mapping from keys to arrays; its keys, dtypes and folders are those of
learned_optimization (`baselines/utils.py`, `baselines/run_trainer.py`), plus `ADDED_KEYS`.

| key | dtype | shape |
| --- | --- | --- |
| `train/xs`, `train/loss` | int64, float32 | (num_steps + 1,) |
| `eval/xs` | int64 | (E,), E = num_steps // eval_every + 1 |
| `eval/{train,outer_valid,test}/<metric>` | float32 | (E,) |
| counts, `seed`, `peak_memory_bytes`, `flops_per_step` (-1: unknown) | int64 | () |
| `seconds_per_step` (NaN: unknown) | float64 | () |
| names, versions, `gin_operative_config` (the configuration as text) | unicode | () |

A curve lies at `<root>/<task>/<config label>/<schedule>/<YYYYmmdd_HHMMSS>_<trial id>.curves`.
"""

from optsuite.curves._check import check_length, is_text
from optsuite.curves._curve import (
    ADDED_KEYS,
    EVAL_KEYS,
    EVAL_SPLITS,
    REQUIRED_KEYS,
    SCHEDULE_KEYS,
    Curve,
    make_curve,
    package_version,
)
from optsuite.curves._names import (
    SUFFIX,
    curve_filename,
    files_of_trial,
    find_folders,
    recorded_trial_ids,
    trial_id_of,
)
from optsuite.curves._read import (
    CorruptFileWarning,
    Read,
    load_baseline_results,
    load_baseline_results_from_dir,
    read_curve,
    read_each,
    read_folders,
    set_aside,
    tell_bad_files,
)
from optsuite.curves._write import remove_twins, write_curve
