"""What the commands share."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from optsuite import storage
from optsuite.errors import in_face
from optsuite.words import aligned

__all__ = ["explained", "print_table", "roots"]


def roots(args: argparse.Namespace) -> tuple[str | None, str | None]:
    """Of curves and archives, as for `Store.at`."""
    return storage.roots_for(args.precision, args.storage, args.archives)


def explained(error: Exception) -> str:
    """Return what an error says in the terms of these commands."""
    return in_face(error, "cli")


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows in columns."""
    print("\n".join(aligned(rows)))
