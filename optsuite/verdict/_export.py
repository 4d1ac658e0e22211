"""Verdicts as JSON, tables and LaTeX."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from optsuite import storage
from optsuite.errors import OptsuiteError
from optsuite.statistics import Interval
from optsuite.verdict._numbers import has_limits, ratio
from optsuite.verdict._value import Entry, Standing, Verdict

if TYPE_CHECKING:
    import pandas as pd

FORMS = ("json", "csv", "parquet", "tex")

_EXIT_STATUS = {"better": 0, "no difference": 3, "worse": 4, "undecided": 5}

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{mark: f"\\{mark}" for mark in "&%$#_{}"},
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
}


def exit_status(verdict: Verdict) -> int:
    """Return the status with which commands end: 0 better, 3 no difference, 4 worse, 5 undecided."""
    return _EXIT_STATUS[verdict.outcome]


def table(verdict: Verdict, *, by_task: bool = False) -> pd.DataFrame:
    """Return optimizers by rank, a row each, or tasks and optimizers.

    Args:
        verdict: The verdict.
        by_task: Whether a row is an optimizer on one task.

    Returns:
        Columns `optimizer`, `outcome` and `rank`, or `task`, `optimizer`, `setting` and `edge`; each number
        with its limits, e.g. `steps_ratio`, `steps_ratio_low`, `steps_ratio_high`, missing where there is
        none; and what they rest on: `tasks` or `configs`, `seeds`, `data_source`, `num_steps`, `rule`,
        `reference`, `suite`.
    """
    import pandas as pd

    if by_task:
        return pd.DataFrame([_entry_row(verdict, entry) for entry in verdict.entries])
    return pd.DataFrame([_standing_row(verdict, standing) for standing in verdict.standings])


def to_json(verdict: Verdict) -> str:
    """Return a verdict as JSON, where null stands for what is no number.

    Returns:
        An object with `format`, 1, `of`, `reference`, `outcome`, `exit_status`, `suite`, `num_suite_tasks`,
        `rule`, `num_steps`, `num_seeds`, `standings` by rank, `entries` (an optimizer on a task), `scores`
        (at which profiles are told), `ranks_differ` (p-value), `rank_groups`, `missing` (reasons by
        `<task>/<set>`) and `notes`. Numbers with intervals are objects with `value`, `low`, `high` and
        `level`. Fields are those of `Verdict`, `Standing` and `Entry`.
    """
    document = {
        "format": 1,
        "of": verdict.of,
        "reference": verdict.reference,
        "outcome": verdict.outcome,
        "exit_status": exit_status(verdict),
        "suite": verdict.suite,
        "num_suite_tasks": verdict.num_suite_tasks,
        "rule": verdict.rule,
        "num_steps": verdict.num_steps,
        "num_seeds": verdict.num_seeds,
        "standings": [_standing_json(standing) for standing in verdict.standings],
        "entries": [_entry_json(entry) for entry in verdict.entries],
        "scores": verdict.scores.tolist(),
        "ranks_differ": _number(verdict.ranks_differ),
        "rank_groups": [list(group) for group in verdict.rank_groups],
        "missing": dict(verdict.missing),
        "notes": list(verdict.notes),
    }
    return json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False)


def to_latex(verdict: Verdict) -> str:
    """Return the table by rank as a `tabular` of the LaTeX package booktabs."""
    mine = [one for one in verdict.standings if one.optimizer == verdict.of]
    level = mine[0].steps_ratio.level if mine and mine[0].steps_ratio else 0.95
    rows = [_latex_row(verdict, one) for one in verdict.standings]
    about = (
        f"{verdict.tasks_in_words}, {verdict.num_seeds} seeds, "
        f"{verdict.num_steps:,} steps; {verdict.rule}; intervals of {level:.0%}"
    )
    return "\n".join(
        [
            f"% {escaped(about)}",
            r"\begin{tabular}{rlrrrr}",
            r"\toprule",
            rf"Rank & Optimizer & Steps & {round(100 * level)}\,\% & Better on & Worse on \\",
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def escaped(text: str) -> str:
    """Return text as LaTeX shows it."""
    return "".join(_LATEX.get(mark, mark) if mark.isprintable() else " " for mark in text)


def write(verdict: Verdict, url: str, *, by_task: bool = False) -> None:
    """Write a verdict, as the name of the file says: `.json`, `.csv`, `.parquet` or `.tex`.

    Args:
        verdict: The verdict.
        url: Path or URL.
        by_task: Whether a row of a table is an optimizer on one task.

    Raises:
        OptsuiteError: The ending is another.
        StorageError: Writing fails, or there is no package for Parquet.
    """
    _check_form(url)
    form = url.rpartition(".")[2]
    if form in ("json", "tex"):
        text = to_json(verdict) + "\n" if form == "json" else to_latex(verdict)
        storage.write_bytes(url, text.encode())
    else:
        from optsuite import tables  # pandas takes a while to import

        tables.write_table(table(verdict, by_task=by_task), url)


def check_output(url: str) -> None:
    """Check that a verdict can be written to a file, to fail before training rather than after.

    Raises:
        OptsuiteError: The ending is none of `FORMS`.
        StorageError: There is no writing there.
    """
    _check_form(url)
    storage.check_writable_file(url)


def _check_form(url: str) -> None:
    if url.rpartition(".")[2] not in FORMS:
        raise OptsuiteError(
            f"a verdict is written as {', '.join(f'.{form}' for form in FORMS)} (got `{url}`)"
        )


def _standing_row(verdict: Verdict, one: Standing) -> dict[str, Any]:
    return {
        "rank": _number(one.rank),
        "optimizer": one.optimizer,
        "outcome": one.outcome,
        **_columns("steps_ratio", one.steps_ratio),
        **_columns("seconds_ratio", one.seconds_ratio),
        **_columns("score", one.score),
        **_columns("improvement", one.improvement),
        "better_on": one.better_on,
        "worse_on": one.worse_on,
        "tasks": one.num_tasks,
        "seeds": verdict.num_seeds,
        "data_source": " and ".join(sorted({entry.evaluations.data_source for entry in verdict.entries})),
        **_basis(verdict),
    }


def _entry_row(verdict: Verdict, entry: Entry) -> dict[str, Any]:
    plateau = entry.plateau or (None, None)
    return {
        "task": entry.task,
        "optimizer": entry.optimizer,
        "set": entry.evaluations.hparam_set,
        "source": entry.evaluations.source,
        "setting": entry.best.label if entry.best else None,
        "why_no_best": entry.why_no_best,
        "edge": entry.edge,
        **_columns("final", entry.final),
        **_columns("steps_ratio", entry.steps_ratio),
        **_columns("seconds_ratio", entry.seconds_ratio),
        **_columns("flops_ratio", entry.flops_ratio),
        "plateau_low": _number(plateau[0]),
        "plateau_high": _number(plateau[1]),
        "configs": len(entry.evaluations.configs),
        "seeds": len(entry.evaluations.seeds),
        "data_source": entry.evaluations.data_source,
        **_basis(verdict),
    }


def _basis(verdict: Verdict) -> dict[str, Any]:
    return {
        "num_steps": verdict.num_steps,
        "rule": verdict.rule,
        "reference": verdict.reference,
        "suite": verdict.suite,
    }


def _columns(name: str, interval: Interval | None) -> dict[str, float | None]:
    found = _interval(interval) or {}
    return {
        name: found.get("value"),
        f"{name}_low": found.get("low"),
        f"{name}_high": found.get("high"),
    }


def _standing_json(one: Standing) -> dict[str, Any]:
    return {
        "optimizer": one.optimizer,
        "outcome": one.outcome,
        "rank": _number(one.rank),
        "num_tasks": one.num_tasks,
        "steps_ratio": _interval(one.steps_ratio),
        "seconds_ratio": _interval(one.seconds_ratio),
        "score": _interval(one.score),
        "improvement": _interval(one.improvement),
        "better_on": one.better_on,
        "worse_on": one.worse_on,
        "profile": [[_number(share) for share in row] for row in one.profile.tolist()],
    }


def _entry_json(entry: Entry) -> dict[str, Any]:
    evaluations, best = entry.evaluations, entry.best
    return {
        "task": entry.task,
        "optimizer": entry.optimizer,
        "set": evaluations.hparam_set,
        "source": evaluations.source,
        "origin": evaluations.origin,
        "data_source": evaluations.data_source,
        "num_configs": len(evaluations.configs),
        "seeds": evaluations.seeds.tolist(),
        "best": None if best is None else {"label": best.label, "hparams": _plain(best.hparams)},
        "why_no_best": entry.why_no_best,
        "edge": entry.edge,
        "final": _interval(entry.final),
        "best_of": [_interval(one) for one in entry.best_of],
        "plateau": None if entry.plateau is None else [_number(end) for end in entry.plateau],
        "steps_ratio": _interval(entry.steps_ratio),
        "seconds_ratio": _interval(entry.seconds_ratio),
        "flops_ratio": _interval(entry.flops_ratio),
        "notes": list(entry.notes),
    }


def _interval(one: Interval | None) -> dict[str, float | None] | None:
    return None if one is None else {name: _number(value) for name, value in one._asdict().items()}


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def _plain(value: Any) -> Any:  # noqa: ANN401 - a hyperparameter is of many types
    """Return a value of a file as JSON can hold it."""
    if isinstance(value, dict) or hasattr(value, "items"):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return _number(value) if isinstance(value, float) else value


def _latex_row(verdict: Verdict, one: Standing) -> str:
    interval, rank = one.steps_ratio, f"{one.rank:.1f}" if math.isfinite(one.rank) else "--"
    if one.optimizer == verdict.reference:
        cells = ("1", "reference", "--", "--")
    elif not one.num_tasks:
        cells = ("--", "--", "--", "--")
    else:
        limits = "--"
        if interval and has_limits(interval):
            limits = f"[{ratio(interval.low)}, {ratio(interval.high)}]"
        value = ratio(interval.value) if interval else "--"
        cells = (value, limits, f"{one.better_on}/{one.num_tasks}", str(one.worse_on))
    name = escaped(one.optimizer)
    name = rf"\textbf{{{name}}}" if one.optimizer == verdict.of else name
    return rf"{rank} & {name} & {' & '.join(cells)} \\"
