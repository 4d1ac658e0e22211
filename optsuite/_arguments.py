"""Types of command-line arguments, for pytest's options and the `optsuite` command."""

import argparse

from optsuite.words import seconds_in


def count(text: str) -> int:
    """Parse a whole number of at least 1."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number of at least 1 is needed (got {text!r})")
    return int(text)


def time(text: str) -> float:
    """Parse a time such as 90s or 1h30m into seconds."""
    try:
        return seconds_in(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
