"""The command `upload`: writes the curves that wait on this machine to where they belong."""

import argparse
import sys

from optsuite import choices, spool, storage
from optsuite.words import counted


def upload(args: argparse.Namespace) -> int:
    """Print how many curves went where; the status is 1 if some still wait or were set aside."""
    done = [spool.upload(root) for root in _roots(args.storage)]
    num_uploaded = 0
    for root, urls in ((root, urls) for one in done for root, urls in one.urls.items()):
        print(f"{root}: {counted(len(urls), 'curve')}")
        num_uploaded += len(urls)
    problems = [problem for one in done for problem in one.problems]
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    if not num_uploaded and not problems:
        print("no curve waits")
    return 1 if problems else 0


def _roots(url: str | None) -> list[str] | list[None]:
    """Return the roots of curves of any kind of data and precision; None stands for all that there are."""
    if url is None:
        return [None]
    sources = (mode for mode in choices.MODES if mode != "auto")
    return [
        storage.Store.at(url, None, source, precision).curves
        for source in sources
        for precision in choices.PRECISIONS
    ]
