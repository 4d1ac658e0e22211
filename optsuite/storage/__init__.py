"""Roots of curves and archives, and files that are safe to write and to read, at any URL."""

from optsuite.storage._checks import check_writable, check_writable_file, sweep_temporaries
from optsuite.storage._errors import CorruptFileError, MissingFileError, UnreachableError
from optsuite.storage._files import (
    MOST_BYTES,
    THREADS,
    create,
    exists,
    expand_globs,
    is_glob,
    is_same_file,
    list_files,
    list_folders,
    read_bytes,
    remove,
    set_aside,
    thread_map,
    write_bytes,
)
from optsuite.storage._filesystems import clean_root, is_local, join_url
from optsuite.storage._json import MOST_JSON, parse_json, read_json, write_json
from optsuite.storage._lease import Claim, Holder, claim, end_dead, holder_of, locked
from optsuite.storage._npz import MOST_NPZ, Header, Npz, read_npz, write_npz
from optsuite.storage._owner import Owner, owned_name, owner_of
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
