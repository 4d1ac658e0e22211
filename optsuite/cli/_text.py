"""What the commands share."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TypeAlias

from optsuite.words import aligned

__all__ = ["Commands", "print_table"]

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
"""Where subcommands are declared."""


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows in columns."""
    print("\n".join(aligned(rows)))
