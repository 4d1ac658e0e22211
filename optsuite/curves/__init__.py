"""Curves: the records of single trials, and the files that hold them."""

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
from optsuite.curves._files import (
    SUFFIX,
    CorruptFileWarning,
    curve_filename,
    files_of_trial,
    find_folders,
    load_baseline_results,
    load_baseline_results_from_dir,
    read_folders,
    recorded_trial_ids,
    trial_id_of,
    write_curve,
)
