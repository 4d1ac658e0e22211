"""The pytest face: options, the matrix of benchmarks, their outcomes, and the summary.

Hooks hand over: a session of benchmarks is in `_session`, words are in `_terminal`, and all that can be done
without pytest is in `optsuite.runner`. Sessions without benchmarks are left alone, and import nothing heavy.
"""

from __future__ import annotations

import importlib
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from optsuite._waiting import spin_briefly
from optsuite.errors import OptsuiteError
from optsuite.plugin import _keywords, _options, _xdist
from optsuite.plugin._ids import config_of
from optsuite.plugin._results import Recorder, properties_of

if TYPE_CHECKING:
    from optsuite.hparam_sets import Trial
    from optsuite.plugin._curve_store import CellConfig, CurveStore
    from optsuite.plugin._session import Session
    from optsuite.tasks import Task

__all__ = ["CellConfig", "CurveStore"]

_SESSION = pytest.StashKey["Session"]()
_RECORDER = pytest.StashKey[Recorder]()
_ERROR = pytest.StashKey[str]()
_WAS_RUN = pytest.StashKey[bool]()


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module `{__name__}` has no attribute `{name}`")
    return getattr(importlib.import_module("optsuite.plugin._curve_store"), name)


def _session_of(config: pytest.Config) -> Session:
    """Return the state of the session, made when its first benchmark is seen."""
    if _SESSION not in config.stash:
        spin_briefly()
        from optsuite.plugin._session import Session

        config.stash[_SESSION] = Session(config)
    return config.stash[_SESSION]


def _is_worker(config: pytest.Config) -> bool:
    """Return whether this process is a worker of xdist, whose controller does the session's work."""
    return hasattr(config, "workerinput")


def _cell_config_of(item: pytest.Item) -> CellConfig | None:
    """Return the config that an item is a benchmark of; None for other items."""
    if _SESSION not in item.config.stash:
        return None
    from optsuite.plugin._curve_store import CellConfig

    callspec = getattr(item, "callspec", None)
    found = callspec.params.get("cell_config") if callspec else None
    return found if isinstance(found, CellConfig) else None


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the `--opt-...` options and their `optsuite_...` ini names."""
    _options.add(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker; collect results where the session's work is done."""
    config.addinivalue_line(
        "markers",
        "optsuite(task, set, opt, label): a benchmark of one config; -m \"optsuite(opt='Adam')\" "
        "selects exactly",
    )
    if config.option.opt_plan and hasattr(config.option, "dist"):
        config.option.dist = "no"  # a plan needs no workers of xdist
    if not _is_worker(config):
        config.stash[_RECORDER] = Recorder()
        config.pluginmanager.register(config.stash[_RECORDER])


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Cross a test that asks for `cell_config`, or for `task` alone, with the matrix."""
    name = next((name for name in ("cell_config", "task") if _asks_for_ours(metafunc, name)), None)
    if name is None:
        return
    config = metafunc.config
    params: Sequence[Any] = []
    try:
        session = _session_of(config)
        if name == "cell_config":
            params = session.config_params(_keywords.chosen_by_keyword(metafunc))
        else:
            params = session.task_names()
    except (OptsuiteError, pytest.UsageError) as error:
        words = _options.explained(error) if isinstance(error, OptsuiteError) else str(error)
        config.stash[_ERROR] = f"optsuite: {words}"
        if _is_worker(config):  # its usage errors would bring down the controller
            raise pytest.Collector.CollectError(config.stash[_ERROR]) from None
    metafunc.parametrize(name, params, indirect=True)


def _asks_for_ours(metafunc: pytest.Metafunc, name: str) -> bool:
    """Return whether a test gets a fixture from here, not one of its own by the same name."""
    definitions = metafunc._arg2fixturedefs.get(name)
    if name not in metafunc.fixturenames or not definitions:
        return False
    marks = metafunc.definition.iter_markers("parametrize")
    given = {word.strip() for mark in marks for word in _argnames(mark)}
    return definitions[-1].func.__module__ == __name__ and name not in given


def _argnames(mark: pytest.Mark) -> Sequence[str]:
    names: str | Sequence[str] = mark.args[0] if mark.args else mark.kwargs.get("argnames", ())
    return names.split(",") if isinstance(names, str) else names


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what the preset leaves out, once `-k` and `-m` have chosen.

    Raises:
        pytest.UsageError: An option has a bad value; raised here, since pytest takes what is raised while it
            collects for an error of the file.
    """
    if _ERROR in config.stash and not _is_worker(config):
        raise pytest.UsageError(config.stash[_ERROR])
    found = {item: cell_config for item in items if (cell_config := _cell_config_of(item))}
    if found:
        dropped = set(_session_of(config).select(found))
        items[:] = [item for item in items if item not in dropped]
        config.hook.pytest_deselected(items=list(dropped))


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Print the plan before anything trains, under `-q` too."""
    config = session.config
    if _SESSION in config.stash and _ERROR not in config.stash and not _is_worker(config):
        _session_of(config).print_lines(_session_of(config).plan_lines())


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any, ids: list[str]) -> None:  # noqa: ANN401 - xdist is optional
    """Print the plan once, from the first worker's choice; find out now whether results can be written."""
    if not any(map(config_of, ids)):  # none asked for, or a bad option that the worker reports
        return
    session = _session_of(node.config)
    if session.select_ids(ids):
        session.print_lines(session.plan_lines())
        session.before_tests()


@pytest.hookimpl(wrapper=True, optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Generator[None, Any, Any]:  # noqa: ANN401
    """Keep the configs of a cell on one worker, since they train together."""
    usual = yield
    ours = _xdist.by_cell(config, log)
    return _xdist.LateChoice(usual, ours) if ours else usual


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Stop after the plan if that is asked for; find out now whether results can be written."""
    config = session.config
    if _SESSION not in config.stash or config.option.collectonly or _is_worker(config):
        return None
    return _session_of(config).before_tests()


@pytest.fixture
def cell_config(request: pytest.FixtureRequest) -> CellConfig:
    """One config of one cell of the matrix, with its repetitions in `cell_config.trials`."""
    chosen: CellConfig = request.param
    _session_of(request.config).check_data(chosen)
    return chosen


@pytest.fixture
def task(request: pytest.FixtureRequest) -> Task:
    """The config's task; in a test that asks for no config, each task of the matrix in turn."""
    from optsuite.tasks import get_task

    name = getattr(request, "param", None) or request.getfixturevalue("cell_config").task_name
    return get_task(name)


@pytest.fixture
def trials(cell_config: CellConfig) -> list[Trial]:
    """The repetitions of the config."""
    return cell_config.trials


@pytest.fixture(scope="session")
def curve_store(request: pytest.FixtureRequest) -> CurveStore:
    """The store that gives the curves of a config; trains its whole cell first if they are not recorded."""
    return _session_of(request.config).curve_store


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Train again what failed, if the item is run once more, as plugins do that rerun failures."""
    found = _cell_config_of(item)
    if found is not None and item.stash.get(_WAS_RUN, False):
        _session_of(item.config).curve_store.forget_failures(found)
    item.stash[_WAS_RUN] = True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Attach a benchmark's results to its report, for JUnit, xdist and the summary."""
    report = yield
    found = _cell_config_of(item)
    if found is not None and (report.when == "call" or (report.when == "setup" and report.failed)):
        properties = properties_of(_session_of(item.config).curve_store.result(found))
        names = {name for name, _ in properties}  # of an earlier run of the item too
        others = [given for given in item.user_properties if given[0] not in names]
        item.user_properties[:] = [*others, *properties]  # JUnit reads those of the teardown's report
        report.user_properties = list(item.user_properties)
        if (gone := _session_of(item.config).runner.gone) is not None:
            item.session.shouldstop = f"nothing more can be recorded: {_options.explained(gone)}"
    return report


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Archive the cells that this session completed, and report."""
    if _SESSION in session.config.stash:
        _session_of(session.config).runner.close()
    if _RECORDER in session.config.stash and (results := session.config.stash[_RECORDER].results):
        is_interrupted = exitstatus == pytest.ExitCode.INTERRUPTED
        _session_of(session.config).after_tests(results, is_interrupted=is_interrupted)
        if _session_of(session.config).is_gate_shut and exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the best config of each cell, and where everything is."""
    if _RECORDER in config.stash and config.stash[_RECORDER].results:
        terminalreporter.section("optsuite")
        for line in _session_of(config).summary_lines(config.stash[_RECORDER].results):
            terminalreporter.write_line(line)
