"""A job in another process: what that process needs, what it does, and what it sends back."""

from __future__ import annotations

import importlib.util
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import ModuleType
from typing import NamedTuple

from optsuite import storage
from optsuite.backends._stop import Stop
from optsuite.backends._train import ElsewhereError, StoreGoneError, run_job
from optsuite.curves import package_version
from optsuite.errors import OptsuiteError, RemoteError, parameter, quoted
from optsuite.hparam_sets import Trial, check_facts
from optsuite.storage import Store
from optsuite.sweep import Job, missing_trials, recorded
from optsuite.trainer import Outcome


def versions() -> dict[str, str]:
    """Return the versions of packages that must be the same in every process."""
    return {package: package_version(package) for package in ("optsuite", "torch")}


@dataclass(frozen=True)
class Site:
    """Facts that a worker needs to do the same as the process that the jobs come from.

    Attributes:
        mark: Name of an empty file in the root of the curves, by which a worker knows that it sees the same
            store.
        sys_path: Folders in which modules are found.
        modules: Names and files of modules that register tasks, optimizers and hparam sets when imported.
        versions: Versions of packages in that process.
    """

    mark: str
    sys_path: tuple[str, ...]
    modules: tuple[tuple[str, str], ...]
    versions: dict[str, str]

    @classmethod
    def of_this_process(cls, modules: Iterable[ModuleType] = ()) -> Site:
        """Describe this process.

        Args:
            modules: Modules that register tasks, optimizers or hparam sets.
        """
        files = tuple((module.__name__, str(module.__file__)) for module in modules)
        return cls(storage.owned_name("session"), tuple(sys.path), files, versions())

    def sign(self, store: Store) -> None:
        """Leave the mark in a store.

        Raises:
            StorageError: The mark cannot be written.
        """
        storage.write_bytes(storage.join_url(store.curves, self.mark), b"")

    def is_signed(self, store: Store) -> bool:
        """Return whether a store has the mark."""
        return storage.exists(storage.join_url(store.curves, self.mark))

    def leave(self, store: Store) -> None:
        """Remove the mark from a store."""
        storage.remove(storage.join_url(store.curves, self.mark), missing_ok=True)


class Work(NamedTuple):
    """A job as it travels."""

    job: Job
    site: Site
    device: str | None


class Report(NamedTuple):
    """Message that a worker sends back about a job."""

    new: frozenset[str] = frozenset()
    """Identities of the trials that were trained."""
    failures: dict[str, str] = {}  # noqa: RUF012 - a NamedTuple's default is never written to
    """Reasons why trials could not be trained, by identity."""
    elsewhere: dict[str, str] = {}  # noqa: RUF012 - likewise
    """Who else trains trials, by identity."""
    gone: str = ""
    """Reason why nothing can be written to the store any more; empty if it can."""
    lost: str = ""
    """Reason why the other trials were not trained; empty if they were."""
    warnings: tuple[str, ...] = ()


def do(work: Work, where: str, tell: Callable[[int, int], None], stop: Stop) -> Report:
    """Train and record what is still missing of a job.

    Args:
        work: The job.
        where: Name of this worker, for errors.
        tell: Called with the progress, as for `run_job`.
        stop: Wish to stop, as for `run_job`.
    """
    new, failures, elsewhere = set(), {}, {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        lost, gone = "", ""
        try:
            _settle(work, where)
            job = work.job
            for trial, facts in job.facts.items():
                check_facts(trial, job.source, facts)
            for outcome in run_job(job, device=work.device, tell=tell, stop=stop):
                identity = outcome.trial.id(job.source)
                match outcome.result:
                    case ElsewhereError():
                        elsewhere[identity] = quoted(outcome.result)
                    case Exception():
                        failures[identity] = _in_words(outcome.result, where)
                    case _:
                        new.add(identity)
        except StoreGoneError as error:
            gone = _in_words(error, where)
        except Exception as error:  # noqa: BLE001 - the process that sent the job is told
            lost = _in_words(error, where)
    told = dict.fromkeys(f"{warning.message} (on {where})" for warning in caught)
    return Report(frozenset(new), failures, elsewhere, gone, lost, tuple(told))


def _in_words(error: Exception, where: str) -> str:
    if isinstance(error, OptsuiteError):
        return f"{quoted(error)} (on {where})"
    return f"on {where}:\n{''.join(traceback.format_exception(error)).rstrip()}"


def _settle(work: Work, where: str) -> None:
    """Make this process like the one that the job comes from.

    Raises:
        RemoteError: It cannot be made so.
    """
    site, here = work.site, versions()
    if differing := [f"{k} {v}, not {here[k]}" for k, v in site.versions.items() if here[k] != v]:
        raise RemoteError(f"{where} needs {' and '.join(differing)}: install the same there")
    sys.path.extend(path for path in site.sys_path if path not in sys.path)
    for name, file in site.modules:
        if file not in _imported:
            _imported.add(file)
            _import(name, file)
    store = work.job.store
    if not site.is_signed(store):
        raise RemoteError(
            f"{where} does not see the store at {store.curves}: choose a folder or URL that all workers "
            f"share with {parameter('storage')}"
        )


_imported: set[str] = set()
"""Files that were imported; several may go by the name `conftest`."""


def _import(name: str, file: str) -> None:
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        return
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # noqa: BLE001 - if what it registers is needed, the job will say so
        warnings.warn(f"{file} could not be imported: {type(error).__name__}: {error}", stacklevel=2)


def collect(job: Job, report: Report) -> list[Outcome]:
    """Read the outcomes of a job that ran elsewhere; an error that keeps from it is that of every trial."""
    try:
        return _collect(job, report)
    except OptsuiteError as error:
        return [Outcome(trial, error) for trial in job.trials]


def _collect(job: Job, report: Report) -> list[Outcome]:
    for text in report.warnings:
        warnings.warn(text, RuntimeWarning, stacklevel=2)
    identities = {trial: trial.id(job.source) for trial in job.trials}
    if report.gone:  # failures say where curves are kept
        words = {trial: report.failures.get(identity, report.gone) for trial, identity in identities.items()}
        return [Outcome(trial, StoreGoneError(text)) for trial, text in words.items()]
    errors: dict[Trial, OptsuiteError] = {}
    for trial, identity in identities.items():
        if identity in report.failures:
            errors[trial] = RemoteError(report.failures[identity])
        elif identity in report.elsewhere:
            errors[trial] = ElsewhereError(report.elsewhere[identity])
    unrecorded = missing_trials(job.trials, job.store, job.source)
    if job.rerun == "all":  # an older curve is no outcome of this job
        unrecorded += [trial for trial, identity in identities.items() if identity not in report.new]
    lost = report.lost or f"it was trained, but its curve is not in {job.store.curves}"
    for trial in unrecorded:
        errors.setdefault(trial, RemoteError(lost))
    present = [trial for trial in job.trials if trial not in errors]
    read = recorded(present, job.store, job.source)
    outcomes = [outcome._replace(is_new=identities[outcome.trial] in report.new) for outcome in read]
    return outcomes + [Outcome(trial, error) for trial, error in errors.items()]
