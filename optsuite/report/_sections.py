"""Sections of the page: each is a function that gives plain data, and a template of the same name.

To add one, write both and add a row to `SECTIONS`.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from optsuite.archives import Absent
from optsuite.report._charts import Chart, charts, groups, profiles_chart
from optsuite.report._contents import Contents, Figure, Group, final
from optsuite.report._leaderboard import leaderboard
from optsuite.report._summary import summary
from optsuite.report._words import href, moment, number
from optsuite.statistics import TRAIN_LOSS, Results
from optsuite.verdict import lines
from optsuite.words import counted, duration


class Section(NamedTuple):
    """Part of the page."""

    name: str
    """Name of its template, and its anchor."""
    title: str
    """Heading; empty for a section that is not in the table of contents either."""
    tell: Callable[[Contents], Any]
    """Function that gives the template's data; the section is left out if they are empty."""


def lede(contents: Contents) -> str:
    """Return the whole in a sentence, e.g. `3 cells of 2 tasks; 4 of 90 trials diverged`."""
    tasks = {one.task for one in contents.cells}
    cells = len(contents.cells)
    parts = [f"{counted(cells, 'cell')} of {counted(len(tasks), 'task')}" if cells else "no results"]
    if contents.absent:
        parts.append(f"{len(contents.absent)} without results")
    if diverged := sum(int(one.diverged.sum()) for one in contents.results):
        trials = sum(one.diverged.size for one in contents.results)
        parts.append(f"{diverged} of {counted(trials, 'trial')} diverged")
    if contents.facts and contents.facts.failures:
        parts.append(f"{counted(len(contents.facts.failures), 'config')} failed")
    return "; ".join(parts)


# Notice


class _Notice(NamedTuple):
    is_all: bool
    """Whether no result is of real data."""
    datasets: Sequence[tuple[str, str]]
    tasks: Sequence[str]


def _notice(contents: Contents) -> _Notice | None:
    if not contents.results:
        return None
    data = contents.facts.data if contents.facts else {}
    datasets = [
        (name, words.removeprefix("STAND-IN").lstrip(" ,:"))
        for name, words in data.items()
        if words != "real"
    ]
    tasks = list(dict.fromkeys(one.task for one in contents.results if one.is_stand_in))
    is_all = all(one.is_stand_in for one in contents.results)
    return _Notice(is_all, datasets, tasks) if datasets or tasks else None


# Verdict


class _Words(NamedTuple):
    lines: Sequence[str]
    basis: str
    """Tasks, data, seeds and rule that the numbers rest on."""
    notes: Sequence[str]


def _verdict(contents: Contents) -> _Words | None:
    verdict = contents.verdict
    if verdict is None:
        return None
    sources = [contents.is_packaged(one) for one in contents.results if contents.entry(one)]
    kinds = {"stand-in" if key.is_stand_in else "real" for key in contents.entries}
    parts = [
        verdict.tasks_in_words,
        f"{' and '.join(sorted(kinds))} data",
        counted(verdict.num_steps, "step"),
        counted(verdict.num_seeds, "seed"),
        *([f"{sources.count(True)} of {counted(len(sources), 'cell')} packaged"] if any(sources) else []),
        f"reference {verdict.reference}",
    ]
    return _Words(lines(verdict), f"{'; '.join(parts)}. Rule: {verdict.rule}.", verdict.notes)


# Session


class _Fact(NamedTuple):
    term: str
    lines: Sequence[str]
    is_verbatim: bool = False
    """Whether the lines are to be typed or copied."""


def _session(contents: Contents) -> list[_Fact]:
    facts = contents.facts
    if facts is None:
        made = _Fact("Made", [f"by hand, {moment(contents.made)}"])
        return [made, _Fact("Archives", _archive_roots(contents), is_verbatim=True)]
    return [
        _Fact("Trials", [f"{facts.trained:,} trained, {facts.recorded:,} recorded before"]),
        _Fact("Time", [duration(facts.seconds), f"from {moment(facts.started)}"]),
        _Fact("Device", [facts.device]),
        _Fact("Preset", [facts.preset]),
        _Fact("Data", [f"{name}: {words}" for name, words in facts.data.items()]),
        _Fact("Versions", [f"{name} {version}" for name, version in facts.versions.items()]),
        _Fact("Command", [facts.command], is_verbatim=True),
    ]


def _archive_roots(contents: Contents) -> list[str]:
    """Return the roots in which archives were sought."""
    cells = contents.cells
    own = [one for one in cells if isinstance(one, Absent) or not contents.is_packaged(one)]
    return list(dict.fromkeys(one.root for one in own))


# Missing or diverged


class _Gap(NamedTuple):
    title: str
    entries: Sequence[tuple[str, str]]
    """Name and cause; either may be empty."""


def _gaps(contents: Contents) -> list[_Gap]:
    facts, without_best = contents.facts, dict[str, list[tuple[str, str]]]()
    for one in contents.cells:
        if one.why_no_best:
            without_best.setdefault(one.why_no_best, []).append((_cell(one), _cause(one)))
    gaps = [
        _Gap("Failed", facts.failures if facts else ()),
        *(_Gap(reason.capitalize(), cells) for reason, cells in sorted(without_best.items(), reverse=True)),
        _Gap("Not in the verdict", list(contents.verdict.missing.items()) if contents.verdict else ()),
        _Gap("Left out by the preset", [(name, "") for name in facts.left_out] if facts else ()),
        _Gap("Warnings", [("", text) for text in facts.warnings] if facts else ()),
    ]
    return [gap for gap in gaps if gap.entries]


def _cause(one: Results | Absent) -> str:
    """Return the error of a cell; empty for one that has none or whose archive is just not there."""
    return str(one.error) if isinstance(one, Absent) and one.reason != "missing" else ""


def _cell(one: Results | Absent) -> str:
    return f"{one.task}-{one.hparam_set}"


# Figures


class _Task(NamedTuple):
    group: Group
    place: int
    """Place of its data among those of the charts."""
    best: Sequence[str]
    """Sentence about the best cell of each number of steps."""
    notes: Sequence[tuple[str, str]]
    """Optimizer, and a reservation or advice about it."""
    charts: Sequence[tuple[Chart, Figure | None]]
    """Charts, each with the figure whose files show the same."""


class _Overview(NamedTuple):
    figures: Sequence[Figure]
    profiles: tuple[Chart, Figure | None] | None


def _overview(contents: Contents) -> _Overview | None:
    figures = [figure for figure in contents.figures if figure.task is None and not figure.chart]
    chart = profiles_chart(contents)
    if not figures and not chart:
        return None
    return _Overview(figures, (chart, _figure_of(contents, "profiles", None)) if chart else None)


def _figure_of(contents: Contents, kind: str, group: Group | None) -> Figure | None:
    """Return the figure that shows the same as a chart, of one task or of all."""
    figures = (figure for figure in contents.figures if figure.chart == kind)
    if group is None:
        return next(figures, None)
    return next((one for one in figures if (one.task, one.is_stand_in) == group), None)


def _tasks(contents: Contents) -> list[_Task]:
    return [
        _Task(
            group,
            place,
            _in_words(contents, group),
            _notes(contents, group),
            [(chart, _figure_of(contents, chart.kind, group)) for chart in charts(contents, group)],
        )
        for place, group in enumerate(groups(contents))
    ]


def _notes(contents: Contents, group: Group) -> list[tuple[str, str]]:
    """Return what the verdict says about its optimizers on a task besides numbers."""
    entries = [one for key, one in contents.entries.items() if (key.task, key.is_stand_in) == group]
    return [(one.optimizer, note) for one in entries for note in (one.edge, *one.notes) if note]


def _in_words(contents: Contents, group: Group) -> list[str]:
    best, sentences = contents.best[group], []
    for num_steps, one in best.items():
        which = f" of {counted(num_steps, 'step')}" if len(best) > 1 else ""
        if one is None:
            others = (other for other in contents.results if Group.of(other) == group)
            causes = dict.fromkeys(other.why_no_best for other in others if other.num_steps == num_steps)
            sentences.append(f"No best config{which}: {', '.join(causes)}.")
            continue
        loss = number(final(one, TRAIN_LOSS).mean())
        sentences.append(f"Best{which}: {one.hparam_set} with {one.best_label}, train loss {loss}.")
    return sentences


# Files


def _files(contents: Contents) -> list[tuple[str, Sequence[tuple[str, str | None]]]]:
    """Return kinds of files, each with its roots: text and where a browser finds it."""
    facts = contents.facts
    roots = {
        "Archives": facts.archives if facts else _archive_roots(contents),
        "Curves": facts.curves if facts else [],
        "Figures": [contents.figures_url] if any(one.links for one in contents.figures) else [],
    }
    return [(kind, [(root, href(root)) for root in urls]) for kind, urls in roots.items() if urls]


def sections(contents: Contents) -> list[Section]:
    """Return the sections of a page in order: results come first unless a leaderboard does."""
    if contents.verdict is None:
        return list(SECTIONS)
    table = next(section for section in SECTIONS if section.name == "summary")
    others = [section for section in SECTIONS if section is not table]
    at = others.index(next(section for section in others if section.name == "session"))
    return [*others[:at], table, *others[at:]]


SECTIONS = (
    Section("notice", "", _notice),
    Section("verdict", "Verdict", _verdict),
    Section("leaderboard", "Leaderboard", leaderboard),
    Section("summary", "Results", summary),
    Section("overview", "Overview", _overview),
    Section("tasks", "Tasks", _tasks),
    Section("session", "Session", _session),
    Section("gaps", "Missing or diverged", _gaps),
    Section("files", "Files", _files),
)
