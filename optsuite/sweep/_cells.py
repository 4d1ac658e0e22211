"""Cells of the matrix, and where their results lie."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from optsuite import data, storage
from optsuite.hparam_sets import Config, HParamSet, Trial
from optsuite.tasks import Task, get_task

__all__ = ["Cell", "Store", "roots_for"]


@dataclass(frozen=True)
class Cell:
    """One task and one hparam set."""

    task_name: str
    hparam_set: HParamSet
    precision: str = "float32"
    """As for `Trial`."""

    @property
    def name(self) -> str:
        """`<task>-<set>`."""
        return f"{self.task_name}-{self.hparam_set.name}"

    @property
    def task(self) -> Task:
        """The task itself."""
        return get_task(self.task_name)

    def source(self, mode: str | None) -> data.Source:
        """Kind of data that the task trains on, as `data.resolve_source` decides."""
        return data.resolve_source(self.task.dataset.dataset, mode)

    def trials(self, configs: Iterable[Config] | None = None) -> list[Trial]:
        """The trials of all configs, or of some."""
        kept = None if configs is None else {config.label for config in configs}
        every = self.hparam_set.trials(self.task_name, self.precision)
        return [trial for trial in every if kept is None or trial.config.label in kept]


class Store(NamedTuple):
    """Where curves and archives lie."""

    curves: str
    archives: str

    @classmethod
    def at(cls, curves_root: str | None, archives_root: str | None, source: str) -> Store:
        """The store of results on that kind of data.

        Args:
            curves_root: None reads `LOPT_BASELINE_DIR`.
            archives_root: None reads `LOPT_BASELINE_ARCHIVES_DIR`; but beside `curves_root` if that is given.
            source: Results on stand-ins lie under `<root>_synthetic`, so that they never mix with real ones.
        """
        if archives_root is None and curves_root is not None:
            archives_root = _beside(curves_root, "archives")
        roots = (curves_root or storage.baseline_dir(), archives_root or storage.archives_dir())
        return cls(
            *(storage.clean_root(root if source == "real" else _beside(root, source)) for root in roots)
        )

    @classmethod
    def reports(cls, curves_root: str | None) -> str:
        """Where reports and their figures lie, of results on any kind of data: `<curves root>_reports`."""
        return storage.clean_root(_beside(curves_root or storage.baseline_dir(), "reports"))

    def absolute(self) -> Store:
        """The same for a process in another folder."""
        return Store(*(root if "://" in root else os.path.abspath(root) for root in self))  # noqa: PTH100 - may be a URL

    def check_writable(self) -> None:
        """Raise StorageError if either root cannot be written to."""
        for root in self:
            storage.check_writable(root)

    def folder(self, trial: Trial) -> str:
        """Where a trial's curve lies."""
        return storage.curve_dir(
            trial.task_name, trial.config.label, **vars(trial.schedule), root=self.curves
        )


def roots_for(
    precision: str, curves_root: str | None, archives_root: str | None
) -> tuple[str | None, str | None]:
    """Roots of results of a precision; those below float32 lie apart, under `<root>_<precision>`.

    Args:
        precision: As for `Trial`.
        curves_root: As for `Store.at`.
        archives_root: As for `Store.at`; None is beside the curves.
    """
    if precision == "float32":
        return curves_root, archives_root
    return (
        _beside(curves_root or storage.baseline_dir(), precision),
        archives_root and _beside(archives_root, precision),
    )


def _beside(root: str, word: str) -> str:
    """`<root>_<word>`; inside the root where that is all of a URL, such as a bucket."""
    if match := re.fullmatch(r"([\w.+-]+://[^/]*)/*", root):
        return f"{match[1]}/{word}"
    return f"{root.rstrip('/')}_{word}"
