"""The `optsuite` command: one small function for each subcommand, without logic that others would need."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence

from optsuite._waiting import spin_briefly
from optsuite.cli._commands import function_of, make_parser
from optsuite.errors import OptsuiteError, in_face


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: Words after `optsuite`; None for those of this process.

    Returns:
        The exit status: the command's, 0 if it has no other; after an error, which is explained on stderr,
        1, or 2 where 1 is a result; 130 after Ctrl-C, 143 after SIGTERM while cells train.
    """
    spin_briefly()
    typed = sys.argv[1:] if argv is None else list(argv)
    args = make_parser().parse_args(typed, argparse.Namespace(typed=typed))
    try:
        status = function_of(args)(args)
        sys.stdout.flush()
    except OptsuiteError as error:
        print(f"error: {in_face(error, 'cli')}", file=sys.stderr)
        return int(args.status_of_errors)
    except KeyboardInterrupt as interrupt:
        print("interrupted: what was recorded stays, and a second run goes on from there", file=sys.stderr)
        return 128 + int(interrupt.args[0] if interrupt.args else signal.SIGINT)
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status
