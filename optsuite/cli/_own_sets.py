"""The sets that a command's options add to those there are."""

import argparse

from optsuite.hparam_sets import register_checkpoint, register_grid


def add_own_sets(args: argparse.Namespace) -> None:
    """Register the checkpoints and the grids that a command was given."""
    for checkpoint in args.lopt:
        register_checkpoint(checkpoint)
    for grid in args.grid:
        register_grid(grid)
