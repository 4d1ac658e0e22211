"""Helpers that the commands share."""

from collections.abc import Sequence

from optsuite.errors import in_face
from optsuite.words import aligned


def explained(error: Exception) -> str:
    """Return what an error says in the terms of these commands."""
    return in_face(error, "cli")


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows in columns."""
    print("\n".join(aligned(rows)))
