"""What the commands share."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TypeAlias

__all__ = ["Commands", "print_table"]

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
"""Where subcommands are declared."""


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows in columns: the first row is the head, the last column is as wide as it likes."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())
