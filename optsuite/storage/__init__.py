"""Roots of curves and archives, and files that are safe to write and to read, at any URL."""

from optsuite.storage._files import (
    THREADS,
    CorruptFileError,
    MissingFileError,
    check_writable,
    clean_root,
    exists,
    expand_globs,
    is_glob,
    is_same_file,
    join_url,
    list_files,
    list_folders,
    read_bytes,
    remove,
    set_aside,
    thread_map,
    write_bytes,
)
from optsuite.storage._lease import Claim, Holder, claim, end_dead, holder_of, locked
from optsuite.storage._npz import Npz, read_npz, write_npz
from optsuite.storage._roots import (
    Store,
    archive_path,
    archives_dir,
    baseline_dir,
    beside,
    check_name,
    curve_dir,
    list_tasks,
    shared_dir,
)
