"""The command `sets`: lists hparam sets."""

import argparse
import sys

from optsuite.cli._own_sets import add_own_sets
from optsuite.cli._text import print_table
from optsuite.hparam_sets import (
    get_hparam_set,
    list_hparam_sets,
    needs_checkpoint,
    split_name,
)
from optsuite.optimizers import WRAPPERS

_GRAMMAR = (
    "and any <RULE>LR[xWD][_WRAPPER[NUMBER]...]_<STEPS>_R<REPETITIONS>, such as "
    "AdamWLRxWD_cosine_clip0p5_2000_R2, with wrappers in this order: {}"
)


def show_sets(args: argparse.Namespace) -> int:
    """Print the published hparam sets that match a glob."""
    add_own_sets(args)
    rows = [("name", "configs", "repetitions", "steps", "first and last config")]
    print_table([*rows, *map(_row_of_set, list_hparam_sets(args.pattern))])
    print(_GRAMMAR.format(", ".join(WRAPPERS)), file=sys.stderr)
    return 0


def _row_of_set(name: str) -> tuple[str, ...]:
    if needs_checkpoint(name) and (parts := split_name(name)):
        return name, "-", str(parts[2]), f"{parts[1]:,}", "needs a checkpoint: --lopt PATH"
    one = get_hparam_set(name)
    counts = (str(len(one.labels)), str(one.repetitions), f"{one.schedule.num_steps:,}")
    return one.name, *counts, f"{one.labels[0]} ... {one.labels[-1]}"
