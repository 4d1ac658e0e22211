"""The pytest face: options, the matrix of benchmarks, their outcomes, archives and the summary.

Hooks hand over: sessions of benchmarks are in `_session`, words in `_terminal`, and all that could be done
without pytest in `optsuite.sweep`. Sessions without benchmarks are left alone.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from optsuite.errors import OptsuiteError, in_face
from optsuite.hparam_sets import Trial
from optsuite.plugin import _options, _terminal
from optsuite.plugin._session import CurveStore, Recorder, Session, Setting
from optsuite.tasks import Task, get_task

if TYPE_CHECKING:
    from xdist.scheduler import LoadScopeScheduling

__all__ = ["CurveStore", "Setting"]

_SESSION = pytest.StashKey[Session]()
_RECORDER = pytest.StashKey[Recorder]()
_ERROR = pytest.StashKey[str]()


def _session(config: pytest.Config) -> Session:
    """The state of the session, made when its first benchmark is seen."""
    if _SESSION not in config.stash:
        config.stash[_SESSION] = Session(config)
    return config.stash[_SESSION]


def _is_worker(config: pytest.Config) -> bool:
    """Whether this process is a worker of xdist, whose controller does the session's work."""
    return hasattr(config, "workerinput")


def _setting_of(item: pytest.Item) -> Setting | None:
    callspec = getattr(item, "callspec", None)
    setting = callspec.params.get("setting") if callspec else None
    return setting if isinstance(setting, Setting) else None


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the `--opt-...` options and their `optsuite_...` ini names."""
    _options.add(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker; collect results where the session's work is done."""
    config.addinivalue_line(
        "markers",
        "optsuite(task, set, opt, label): a benchmark of one setting; -m \"optsuite(opt='Adam')\" "
        "selects exactly",
    )
    if config.option.opt_plan and hasattr(config.option, "dist"):
        config.option.dist = "no"  # a plan needs no workers of xdist
    if not _is_worker(config):
        config.stash[_RECORDER] = Recorder()
        config.pluginmanager.register(config.stash[_RECORDER])


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Cross a test that asks for `setting`, or for `task` alone, with the matrix."""
    name = next((name for name in ("setting", "task") if _asks_for_ours(metafunc, name)), None)
    if name is None:
        return
    config = metafunc.config
    try:
        session = _session(config)
        params = session.setting_params() if name == "setting" else session.task_names()
    except (OptsuiteError, pytest.UsageError) as error:
        said = in_face(error, "pytest") if isinstance(error, OptsuiteError) else str(error)
        config.stash[_ERROR] = f"optsuite: {said}"
        if _is_worker(config):  # its usage errors would bring down the controller
            raise pytest.Collector.CollectError(config.stash[_ERROR]) from None
        params = []
    metafunc.parametrize(name, params, indirect=True)


def _asks_for_ours(metafunc: pytest.Metafunc, name: str) -> bool:
    """Whether a test gets a fixture from here, not one of its own by the same name."""
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
    settings = {item: setting for item in items if (setting := _setting_of(item))}
    if settings:
        dropped = set(_session(config).select(settings))
        items[:] = [item for item in items if item not in dropped]
        config.hook.pytest_deselected(items=list(dropped))


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Print the plan before anything trains, under `-q` too."""
    config = session.config
    if _SESSION in config.stash and _ERROR not in config.stash and not _is_worker(config):
        _session(config).print_lines(_session(config).plan_lines())


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any, ids: list[str]) -> None:  # noqa: ANN401 - xdist is optional
    """Print the plan once, from the first worker's choice; find out now whether results can be written."""
    if not any(map(_terminal.setting_of, ids)):  # none asked for, or a bad option that the worker reports
        return
    session = _session(node.config)
    if session.select_ids(ids):
        session.print_lines(session.plan_lines())
        session.before_tests()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling | None:  # noqa: ANN401
    """Keep the settings of a cell on one worker, since they train together."""
    if config.getvalue("dist") != "load":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class CellScheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
        def _split_scope(self, nodeid: str) -> str:
            return _terminal.cell_of(nodeid) or nodeid

    return CellScheduling(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Stop after the plan if that is asked for; find out now whether results can be written."""
    config = session.config
    if _SESSION not in config.stash or config.option.collectonly or _is_worker(config):
        return None
    return _session(config).before_tests()


@pytest.fixture
def setting(request: pytest.FixtureRequest) -> Setting:
    """One config of one cell of the matrix, with its repetitions in `setting.trials`."""
    chosen: Setting = request.param
    _session(request.config).check_data(chosen)
    return chosen


@pytest.fixture
def task(request: pytest.FixtureRequest) -> Task:
    """The setting's task; in a test that asks for no setting, each task of the matrix in turn."""
    name = getattr(request, "param", None) or request.getfixturevalue("setting").task_name
    return get_task(name)


@pytest.fixture
def trials(setting: Setting) -> list[Trial]:
    """The repetitions of the setting."""
    return setting.trials


@pytest.fixture(scope="session")
def curve_store(request: pytest.FixtureRequest) -> CurveStore:
    """Gives the curves of a setting; trains its whole cell first where they are not recorded."""
    return _session(request.config).curve_store


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Attach a benchmark's results to its report, for JUnit, xdist and the summary."""
    report = yield
    setting = _setting_of(item)
    if setting is not None and (report.when == "call" or (report.when == "setup" and report.failed)):
        properties = _session(item.config).curve_store.properties(setting)
        report.user_properties.extend(properties)
        item.user_properties.extend(properties)  # JUnit reads those of the teardown's report
    return report


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Archive the cells that this session completed, and report."""
    if _SESSION in session.config.stash:
        _session(session.config).close()
    if _RECORDER in session.config.stash and (results := session.config.stash[_RECORDER].results):
        is_interrupted = exitstatus == pytest.ExitCode.INTERRUPTED
        _session(session.config).after_tests(results, is_interrupted=is_interrupted)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the best setting of each cell, and where everything is."""
    if _RECORDER in config.stash and config.stash[_RECORDER].results:
        terminalreporter.section("optsuite")
        for line in _session(config).summary_lines(config.stash[_RECORDER].results):
            terminalreporter.write_line(line)
