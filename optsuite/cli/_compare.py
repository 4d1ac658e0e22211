"""The commands `compare` and `history`: two stores side by side, and one from night to night."""

from __future__ import annotations

import argparse
import json
import sys

from optsuite import comparison, storage
from optsuite.errors import OptsuiteError


def compare(args: argparse.Namespace) -> int:
    """Print how two stores compare; the status says whether anything changed."""
    if args.train:
        base, head = args.train
        comparison.train_in_turn(
            base,
            head,
            args.a,
            args.b,
            args.task,
            args.sets,
            num_rounds=args.rounds,
            source=args.data,
            tell=lambda line: print(line, file=sys.stderr, flush=True),
        )
    found = comparison.compare(args.a, args.b, args.task, args.sets)
    told = json.dumps(comparison.to_json(found), indent=1, ensure_ascii=False)
    print(told if args.json else "\n".join(comparison.lines(found)))
    if args.output:
        storage.write_bytes(args.output, f"{told}\n".encode())
    return comparison.exit_status(found)


def history(args: argparse.Namespace) -> int:
    """Add tonight's archives to a history and draw it."""
    from optsuite import vis  # seaborn takes seconds to import

    if not args.output.endswith(".csv"):
        raise OptsuiteError(f"a history is written as `.csv` (got `{args.output}`)")
    nights = comparison.record_night(args.roots, args.output, commit=args.commit)
    figure = f"{args.output.removesuffix('.csv')}.png"
    with vis.without_pyplot():
        storage.write_bytes(figure, vis.render(vis.draw_history(nights), "png"))
    print(f"{args.output}\n{figure}")
    return 0
