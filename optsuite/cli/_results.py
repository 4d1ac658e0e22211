"""Commands that read what was recorded: archive, table, plot, report, normalizer."""

from __future__ import annotations

import argparse
import fnmatch
import functools
import math
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from optsuite import archives, curves, normalizers, runner, statistics, storage, sweep, verdict
from optsuite.cli._own_sets import add_own_sets
from optsuite.cli._text import explained, print_table
from optsuite.errors import OptsuiteError
from optsuite.hparam_sets import (
    Family,
    Schedule,
    Trial,
    get_family,
    get_hparam_set,
    list_families,
    list_hparam_sets,
    needs_checkpoint,
)

if TYPE_CHECKING:
    import pandas as pd


_SUMMARY = {
    "task": "task",
    "set": "hparam set",
    "data_source": "data",
    "best_config": "best config",
    "train_loss_mean": "train",
    "outer_valid_loss_mean": "outer_valid",
    "test_loss_mean": "test",
    "test_accuracy_mean": "test accuracy",
}
"""Columns of the summary that the terminal shows, with their heads."""

_PAGES = {"real": "report.html", "synthetic": "report-stand-in.html"}


def _store(args: argparse.Namespace) -> storage.Store:
    return storage.Store.at(args.storage, args.archives, args.data, args.precision)


def archive(args: argparse.Namespace) -> int:
    """Archive the cells whose curves are all recorded."""
    add_own_sets(args)
    store = _store(args)
    tasks = fnmatch.filter(storage.list_tasks(store.curves), args.task)
    if not tasks:
        of = "" if args.task == "*" else f" of task `{args.task}`"
        raise storage.MissingFileError(f"there are no curves{of} in `{store.curves}`")
    for name in args.sets:
        if not storage.is_glob(name):
            get_hparam_set(name)  # a misspelt name archives nothing
    complete = []
    for task in tasks:
        recorded = functools.partial(recorded_sets, task, store.curves, args.data)
        for name in storage.expand_globs(args.sets, recorded):
            if storage.is_glob(name):
                is_hidden = any(map(needs_checkpoint, list_hparam_sets(name)))
                advice = "; sets of learned optimizers are known once --lopt PATH is given" * is_hidden
                print(f"{task}: nothing recorded of `{name}`{advice}")
                continue
            cell = sweep.Cell(task, get_hparam_set(name), args.precision)
            built = runner.archive_cell(cell, args.data, store)
            complete.append(built.url is not None)
            why = f"{built.why}{_of_other_trials(cell, store, built)}"
            print(built.url or f"{cell.name}: not archived from {store.curves}, {why}")
    return 0 if complete and all(complete) else 1


def recorded_sets(task: str, root: str, source: str) -> list[str]:
    """Return the names of the sets for which a glob may stand, of each family and length that has curves.

    They are the published sets of that length. Where there are none, it is the set of as many repetitions as
    the first config of the family has curves; those of a checkpoint that had its name before do not count.
    """
    labels = storage.list_folders(storage.join_url(root, task))
    names = []
    for family in map(get_family, list_families()):
        there = [label for label in family.labels if label in labels][:1]
        for label in there:
            folders = storage.list_folders(storage.join_url(root, task, label))
            lengths = (folder.partition("_")[0] for folder in folders)
            for steps in sorted({int(length) for length in lengths if length.isdecimal()} - {0}):
                folder = storage.curve_dir(task, label, **vars(Schedule(steps)), root=root)
                if files := storage.list_files(folder, curves.SUFFIX):
                    published = list_hparam_sets(f"{family.name}_{steps}_R*")
                    count = _num_own(family, label, task, Schedule(steps), files, source)
                    names += published or [family.set_name(steps, count)]
    return names


def _num_own(
    family: Family, label: str, task: str, schedule: Schedule, files: Sequence[str], source: str
) -> int:
    """Return how many of the curves of a label are its config's; all of them where none has an id of ours."""
    if family.known_labels is not None:  # its configs are in a file that this need not read
        return len(files)
    (config,) = (config for config in family.configs if config.label == label)
    ids = {curves.trial_id_of(file) for file in files}
    own = [seed for seed in range(len(files)) if Trial(task, config, schedule, seed).id(source) in ids]
    return len(own) or len(files)


def _of_other_trials(cell: sweep.Cell, store: storage.Store, built: archives.Built) -> str:
    """Say how many curves there are in place of those that are missing."""
    if not built.missing:
        return ""
    lacking = archives.missing_repetitions(cell.task_name, cell.hparam_set, store.curves)
    others = len(built.missing) - len(lacking)
    return (
        f"; {others} curves there are of other trials (other data or hyperparameters)" if others > 0 else ""
    )


def table(args: argparse.Namespace) -> int:
    """Print or write a table of results."""
    from optsuite import tables  # pandas takes a while to import

    store = _store(args)
    if args.kind == "curves":
        table = tables.curves_table(args.task, args.sets, store.curves)
    else:
        make = tables.summary_table if args.kind == "summary" else tables.archive_table
        table = make(args.task, args.sets, store.archives)
    if args.output:
        tables.write_table(table, args.output)
        print(args.output)
    elif args.kind == "summary":
        _print_summary(table)
    else:
        table.to_csv(sys.stdout, index=False)
    return 0


def _print_summary(table: pd.DataFrame) -> None:
    kinds = {kind: "real" if kind == "real" else "stand-in" for kind in table["data_source"].dropna()}
    sources = table["data_source"].astype(object).map(kinds) if "stand-in" in kinds.values() else None
    table = table.assign(data_source=sources)
    shown = {column: head for column, head in _SUMMARY.items() if table[column].notna().any()}
    rows = [(*shown.values(), "diverged")]
    for row in table.to_dict("records"):
        words = f"{row['diverged']} of {row['trials']}" if row["status"] == "complete" else row["status"]
        rows.append((*(_cell(row[column]) for column in shown), words))
    print_table(rows)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "-" if math.isnan(value) else f"{value:.4g}"
    return "-" if value is None else str(value)


def plot(args: argparse.Namespace) -> int:
    """Draw a figure of archives and write it."""
    from matplotlib import pyplot as plt

    from optsuite import vis  # seaborn takes seconds to import

    plt.switch_backend("Agg")  # opens no window
    form = args.output.rpartition(".")[2]
    if form not in ("png", "svg"):
        raise OptsuiteError(f"a figure is written as `.png` or `.svg` (got `{args.output}`)")
    root = _store(args).archives
    cells = archives.find_cells(args.task, args.sets, root)
    tasks, sets = (list(dict.fromkeys(names)) for names in zip(*cells, strict=True))
    draw: dict[str, Callable[[], Any]] = {
        "curves": lambda: vis.plot_tasks_and_sets(
            tasks if len(tasks) > 1 else tasks[0], sets, initial_shift=args.initial_shift, root=root
        ),
        "lr": lambda: vis.plot_lr_sensitivity(_only(tasks), sets, root=root),
        "final": lambda: vis.plot_final_losses(tasks, sets, root=root),
        "normalized": lambda: vis.plot_normalized(tasks, sets, _normalizers(args), root=root),
    }
    drawn = draw[args.kind]()
    storage.write_bytes(args.output, vis.render(drawn, form))
    plt.close(np.ravel(drawn)[0].figure)
    print(args.output)
    return 0


def _only(tasks: Sequence[str]) -> str:
    if len(tasks) > 1:
        raise OptsuiteError(f"this plot shows one task (got {len(tasks)}: {', '.join(tasks)})")
    return tasks[0]


def _normalizers(args: argparse.Namespace) -> normalizers.Normalizers:
    if not args.normalizer:
        raise OptsuiteError("--kind normalized needs --normalizer URL; `optsuite normalizer` makes one")
    return normalizers.load(args.normalizer)


def report(args: argparse.Namespace) -> int:
    """Write the report page of archived cells."""
    from optsuite import report  # seaborn takes seconds to import

    root = _store(args).archives
    results = archives.require_any(statistics.read_results(args.task, args.sets, root), root)
    cells = [(result.task, result.hparam_set) for result in results]
    reports = storage.Store.reports(args.storage, args.precision)
    url = args.output or storage.join_url(reports, _PAGES[args.data])
    problems: list[str] = []
    scales = normalizers.load_for(cells, root, problems)
    judged = verdict.judge(args.of, args.against, [args.task], root=root) if args.of else None
    written = report.write_report(url, results, normalizers=scales, verdict=judged)
    for problem in [*problems, *written.problems]:
        print(f"warning: {problem}", file=sys.stderr)
    print(written.url)
    return 0


def normalizer(args: argparse.Namespace) -> int:
    """Build a normalizer of archives and write it."""
    root = _store(args).archives
    definition = normalizers.get_definition(args.name)
    built, status = {}, 0
    for task in _tasks_with(definition.sets, args.tasks, root):
        try:
            built[task] = normalizers.build(task, definition.sets, num_knots=definition.num_knots, root=root)
        except OptsuiteError as error:  # one task does not cost the others
            print(f"error: {explained(error)}", file=sys.stderr)
            status = 1
    if built:
        url = args.output or definition.url(root)
        normalizers.write(built, url, overwrite=args.overwrite)
        print(url)
    return status


def _tasks_with(sets: Sequence[str], patterns: Sequence[str], root: str) -> list[str]:
    """Return the tasks that are named, and those found by globs that have an archive of each set."""
    tasks = storage.expand_globs(patterns, lambda: storage.list_tasks(root))
    listings = storage.thread_map(lambda task: archives.list_hparam_sets_for_task(task, root), tasks)
    found = zip(tasks, listings, strict=True)
    named = [pattern for pattern in patterns if not storage.is_glob(pattern)]
    kept = [task for task, there in found if task in named or {*sets} <= {*there}]
    if not kept:
        raise storage.MissingFileError(f"no task in `{root}` has archives of {', '.join(sets)}")
    if len(kept) < len(tasks):
        print(f"tasks without its archives: {len(tasks) - len(kept)}", file=sys.stderr)
    return kept
