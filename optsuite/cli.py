"""The `optsuite` command: one small function per subcommand."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from optsuite import data
from optsuite.errors import OptsuiteError

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
