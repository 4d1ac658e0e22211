"""What the commands share."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TypeAlias

from optsuite import sweep
from optsuite.errors import in_face
from optsuite.hparam_sets import PRECISIONS
from optsuite.words import aligned

__all__ = ["Commands", "add_precision", "explained", "print_table", "roots"]

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
"""Where subcommands are declared."""


def add_precision(parser: argparse.ArgumentParser) -> None:
    """Declare the option on which `roots` depend."""
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="float32",
        help="tf32 and bf16: results of that precision, which lie under <root>_<precision>",
    )


def roots(args: argparse.Namespace) -> tuple[str | None, str | None]:
    """Of curves and archives, as for `Store.at`."""
    return sweep.roots_for(args.precision, args.storage, args.archives)


def explained(error: Exception) -> str:
    """Return what an error says in the terms of these commands."""
    return in_face(error, "cli")


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows in columns."""
    print("\n".join(aligned(rows)))
