"""Verdicts in the closing summary, on the optimizers that the options added."""

from __future__ import annotations

from collections.abc import Sequence

from optsuite import verdict
from optsuite.hparam_sets import get_hparam_set
from optsuite.optimizers import is_import_path
from optsuite.plugin._options import Options, explained
from optsuite.runner import Result
from optsuite.suites import Suite
from optsuite.verdict import Verdict

Judged = Verdict | str
"""Verdict, or the reason in words why there is none."""

_MOST_SETS = 4  # that a summary judges


def judge_added(options: Options, results: Sequence[Result], suite: Suite | None = None) -> list[Judged]:
    """Judge each set of an added optimizer, against all others of its length, or of a suite.

    Nothing fails: what cannot be judged is said in words.
    """
    if not (options.optimizers or options.checkpoints):
        return []
    tasks: dict[tuple[str, str], list[str]] = {}
    for result in results:
        if result.summary is not None and _is_added(result.set):
            tasks.setdefault((result.set, result.source), []).append(result.task)
    judged = [
        _judged(options, name, source, list(dict.fromkeys(there)), suite)
        for (name, source), there in list(tasks.items())[:_MOST_SETS]
    ]
    if len(tasks) > _MOST_SETS:
        judged.append(f"{len(tasks) - _MOST_SETS} more sets can be judged by `optsuite verdict --of SET`")
    return judged


def first(judged: Sequence[Judged]) -> Verdict | None:
    """Return the verdict that a page begins with."""
    return next((one for one in judged if isinstance(one, Verdict)), None)


def verdict_lines(judged: Sequence[Judged]) -> list[str]:
    """Return what the closing summary says."""
    shown = ([one] if isinstance(one, str) else verdict.page(one) for one in judged)
    return [line for lines in shown for line in ("", *lines)]


def _is_added(name: str) -> bool:
    """Whether a set trains optimizers of import paths or checkpoints."""
    configs = get_hparam_set(name).configs
    return any(is_import_path(config.optimizer) or "theta" in config.hparams for config in configs)


def _judged(options: Options, name: str, source: str, tasks: Sequence[str], suite: Suite | None) -> Judged:
    """Judge one set."""
    try:
        against = [] if suite else ["*"]
        return verdict.judge(name, against, tasks, suite=suite, root=options.run.store(source).archives)
    except Exception as error:  # noqa: BLE001 - the curves are recorded: nothing may fail the session now
        return f"no verdict on {name}: {explained(error)}"
