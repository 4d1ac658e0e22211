"""The rule of roots: where results of each kind lie.

A root is a path or URL under which curves or archives lie. Results that must not mix with those of a root
lie beside it, at its name and a word; where the root is a whole bucket, a name beside it would be someone
else's bucket, so they lie inside.

| results | curves root `/runs` | curves root `s3://bucket` |
| --- | --- | --- |
| curves on real data | `/runs` | `s3://bucket` |
| archives, unless their root is given | `/runs_archives` | `s3://bucket/archives` |
| curves on stand-ins | `/runs_synthetic` | `s3://bucket/synthetic` |
| archives on stand-ins | `/runs_archives_synthetic` | `s3://bucket/archives_synthetic` |
| curves of a precision below float32 | `/runs_bf16` | `s3://bucket/bf16` |
| reports, on any kind of data | `/runs_reports` | `s3://bucket/reports` |

Words follow one another in the order precision, `archives` or `reports`, kind of data. Where no root is
given, curves lie in `LOPT_BASELINE_DIR` and archives in `LOPT_BASELINE_ARCHIVES_DIR`.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from optsuite.errors import StorageError
from optsuite.storage._checks import check_writable
from optsuite.storage._files import list_folders
from optsuite.storage._filesystems import clean_root, is_local, join_url, local_path

# A whole bucket or file system: a name beside it would not be in it.
_WHOLE = re.compile(r"/|[\w.+-]+://(?:[^/]*|/+)")
_WORDS = frozenset({"archives", "reports", "synthetic", "tf32", "bf16"})


class Store(NamedTuple):
    """The two roots of results on one kind of data, at one precision."""

    curves: str
    archives: str

    @classmethod
    def at(
        cls, curves_root: str | None, archives_root: str | None, source: str, precision: str = "float32"
    ) -> Store:
        """Return the store of results on a kind of data.

        Args:
            curves_root: Root of the curves on real data; `baseline_dir()` if `None`.
            archives_root: Root of the archives on real data; if `None`, beside `curves_root`, or
                `archives_dir()` where that is `None` too.
            source: Kind of data, `real` or `synthetic`.
            precision: Precision of the trials, as for `Trial`.
        """
        curves_root, archives_root = _roots_for(precision, curves_root, archives_root)
        if archives_root is None and curves_root is not None:
            archives_root = beside(curves_root, "archives")
        roots = (curves_root or baseline_dir(), archives_root or archives_dir())
        return cls(*(clean_root(root) if source == "real" else beside(root, source) for root in roots))

    @classmethod
    def reports(cls, curves_root: str | None, precision: str = "float32") -> str:
        """Return the root of the reports, which show results on any kind of data; arguments as for `at`."""
        return beside(_roots_for(precision, curves_root, None)[0] or baseline_dir(), "reports")

    def absolute(self) -> Store:
        """Return the same store for a process that runs in another folder."""
        return Store(*(str(local_path(root)) if is_local(root) else root for root in self))

    def check_writable(self, curve: str | None = None, archive: str | None = None) -> None:
        """Raise StorageError if either root cannot be written to.

        Args:
            curve: Path of a curve below the root of curves that will be written, as for `check_writable`.
            archive: Likewise of an archive.
        """
        check_writable(self.curves, curve)
        check_writable(self.archives, archive)


def shared_dir(root: str) -> str:
    """Return the folder in a root of curves for what runners must know of each other."""
    return join_url(clean_root(root), ".optsuite")


def beside(root: str, word: str) -> str:
    """Return the root of results that must not mix with those of `root`.

    >>> beside("s3://bucket/runs/", "synthetic"), beside("s3://bucket", "synthetic")
    ('s3://bucket/runs_synthetic', 's3://bucket/synthetic')
    """
    root = clean_root(root)
    return join_url(root, word) if _WHOLE.fullmatch(root) else f"{root}_{word}"


def list_tasks(root: str) -> list[str]:
    """Return the sorted names of the tasks that a root has folders of, by one listing.

    Other roots that lie in a whole bucket are no tasks.

    Raises:
        StorageError: The storage cannot be reached.
    """
    is_shared = _WHOLE.fullmatch(clean_root(root))
    return [name for name in list_folders(root) if not (is_shared and _WORDS.issuperset(name.split("_")))]


def _roots_for(
    precision: str, curves_root: str | None, archives_root: str | None
) -> tuple[str | None, str | None]:
    """Return the roots of results of a precision, as `Store.at` takes them."""
    if precision == "float32":
        return curves_root, archives_root
    archives_root = archives_root and beside(archives_root, precision)
    return beside(curves_root or baseline_dir(), precision), archives_root


def baseline_dir() -> str:
    """Return the root of the curves: `LOPT_BASELINE_DIR`, else `~/lopt_baselines`; no trailing slash."""
    return clean_root(os.environ.get("LOPT_BASELINE_DIR") or "~/lopt_baselines")


def archives_dir() -> str:
    """Return the root of the archives: `LOPT_BASELINE_ARCHIVES_DIR`, else `~/lopt_baselines_archives`."""
    return clean_root(os.environ.get("LOPT_BASELINE_ARCHIVES_DIR") or "~/lopt_baselines_archives")


def curve_dir(
    task_name: str,
    opt_name: str,
    num_steps: int,
    eval_every: int,
    eval_batches: int,
    last_eval_batches: int,
    root: str | None = None,
) -> str:
    """Return the folder of the curves of one task, config and schedule.

    Args:
        task_name: Name of the task.
        opt_name: Label of the config, e.g. `Adam_lr0.001`.
        num_steps: Training steps.
        eval_every: Steps between evaluations.
        eval_batches: Batches per evaluation.
        last_eval_batches: Batches of the last evaluation.
        root: Root of the curves; `baseline_dir()` if `None`.

    Raises:
        StorageError: A name cannot be a folder.
    """
    schedule = f"{num_steps}_{eval_every}_{eval_batches}_{last_eval_batches}"
    root = baseline_dir() if root is None else clean_root(root)
    return join_url(root, check_name(task_name), check_name(opt_name), schedule)


def archive_path(task_name: str, hparam_set_name: str, root: str | None = None) -> str:
    """Return the URL of the archive of one cell.

    Args:
        task_name: Name of the task.
        hparam_set_name: Name of the hparam set.
        root: Root of the archives; `archives_dir()` if `None`.

    Raises:
        StorageError: A name cannot be a folder or file.
    """
    root = archives_dir() if root is None else clean_root(root)
    return join_url(root, check_name(task_name), f"{check_name(hparam_set_name)}.npz")


def check_name(name: str) -> str:
    """Return a name that is to be that of a folder or file.

    Raises:
        StorageError: It cannot be.
    """
    if not name or name.startswith(".") or any(mark in name for mark in ("/", "\\", "::", "\0")):
        raise StorageError(
            f"`{name}` cannot name a folder: it must not be empty, begin with `.`, nor hold `/`, `\\` or `::`"
        )
    return name
