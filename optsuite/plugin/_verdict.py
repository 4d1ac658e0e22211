"""Verdicts in the closing summary, on the optimizers that the options added."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from optsuite import verdict
from optsuite.hparam_sets import get_hparam_set
from optsuite.optimizers import is_import_path
from optsuite.plugin._options import Options, explained
from optsuite.runner import Result
from optsuite.suites import Suite

_MOST_SETS = 4  # that a summary judges


def verdict_lines(options: Options, results: Sequence[Result], suite: Suite | None = None) -> list[str]:
    """Return a verdict on each set of an added optimizer, against all others of its length, or of a suite.

    Nothing fails: what cannot be judged is said in words.
    """
    if not (options.optimizers or options.checkpoints):
        return []
    tasks: dict[tuple[str, str], list[str]] = {}
    for result in results:
        if result.summary is not None and _is_added(result.set):
            tasks.setdefault((result.set, result.source), []).append(result.task)
    lines = [
        line
        for (name, source), there in list(tasks.items())[:_MOST_SETS]
        for line in _judged(options, name, source, list(dict.fromkeys(there)), suite)
    ]
    if len(tasks) > _MOST_SETS:
        lines += ["", f"{len(tasks) - _MOST_SETS} more sets can be judged by `optsuite verdict --of SET`"]
    return lines


def _is_added(name: str) -> bool:
    """Whether a set trains optimizers of import paths or checkpoints."""
    configs = get_hparam_set(name).configs
    return any(is_import_path(config.optimizer) or "theta" in config.hparams for config in configs)


def _judged(
    options: Options, name: str, source: str, tasks: Sequence[str], suite: Suite | None
) -> Iterator[str]:
    """Yield the verdict on one set."""
    yield ""
    try:
        against = [] if suite else ["*"]
        found = verdict.judge(name, against, tasks, suite=suite, root=options.run.store(source).archives)
        yield from verdict.page(found)
    except Exception as error:  # noqa: BLE001 - the curves are recorded: nothing may fail the session now
        yield f"no verdict on {name}: {explained(error)}"
