"""The `optsuite` command: one small function per subcommand."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from optsuite import data
from optsuite.errors import OptsuiteError
from optsuite.hparam_sets import get_hparam_set, list_hparam_sets
from optsuite.tasks import get_task, list_tasks

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: Words after `optsuite`; None takes those of this process.

    Returns:
        The exit status: 0, or 1 after an error that is explained on stderr.
    """
    args = _parser().parse_args(argv)
    try:
        status: int = args.run(args)
    except OptsuiteError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="optsuite", description="Benchmarks for optimizers.")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    tasks = commands.add_parser("tasks", help="the fixed tasks")
    tasks.add_argument("pattern", nargs="?", default="*", metavar="GLOB")
    tasks.set_defaults(run=_tasks)

    sets = commands.add_parser("sets", help="the published hparam sets")
    sets.add_argument("pattern", nargs="?", default="*", metavar="GLOB")
    sets.set_defaults(run=_sets)

    _add_data_commands(commands.add_parser("data", help="list, fetch and find datasets"))
    return parser


def _add_data_commands(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    listing = commands.add_parser("list", help="every dataset, and whether it is here")
    listing.set_defaults(run=_data_list)

    fetching = commands.add_parser("fetch", help="download datasets")
    fetching.add_argument("names", nargs="+", metavar="NAME", help="e.g. cifar10")
    fetching.set_defaults(run=_data_fetch)

    path = commands.add_parser("path", help="the folder of all datasets, or of one")
    path.add_argument("name", nargs="?", metavar="NAME")
    path.set_defaults(run=_data_path)


def _tasks(args: argparse.Namespace) -> int:
    rows = [("name", "dataset", "batch", "parameters", "MFLOP/step")]
    for task in map(get_task, list_tasks(args.pattern)):
        counts = (str(task.batch_size), f"{task.num_params:,}", f"{task.flops_per_step / 1e6:,.0f}")
        rows.append((task.name, task.dataset.dataset, *counts))
    _print_table(rows)
    return 0


def _sets(args: argparse.Namespace) -> int:
    rows = [("name", "configs", "repetitions", "steps", "first and last config")]
    for one in map(get_hparam_set, list_hparam_sets(args.pattern)):
        counts = (str(len(one.configs)), str(one.repetitions), f"{one.schedule.num_steps:,}")
        rows.append((one.name, *counts, f"{one.configs[0].label} ... {one.configs[-1].label}"))
    _print_table(rows)
    return 0


def _data_list(_args: argparse.Namespace) -> int:
    rows = [("name", "train", "test", "shape", "classes", "where")]
    for info in data.DATASETS.values():
        found = data.find_files(info)
        where = str(found) if found else f"missing: {info.how_to_get}"
        shape = f"{info.channels}x{info.size}x{info.size}" if info.size else "any size"
        counts = (str(info.num_train), str(info.num_test))
        rows.append((info.name, *counts, shape, str(info.num_classes), where))
    _print_table(rows)
    return 0


def _data_fetch(args: argparse.Namespace) -> int:
    infos = [data.get_dataset(name) for name in args.names]  # a misspelt name downloads nothing
    for info in infos:
        print(f"{info.name}: {data.fetch(info.name)}")
    return 0


def _data_path(args: argparse.Namespace) -> int:
    if args.name is None:
        print(data.data_dir())
    else:
        info = data.get_dataset(args.name)
        print(data.find_files(info) or data.dataset_dir(info))
    return 0


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows in columns: the first row is the head, the last column is as wide as it likes."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())


if __name__ == "__main__":
    sys.exit(main())
