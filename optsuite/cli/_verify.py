"""The command `verify`: compares two optimizers."""

import argparse

from optsuite import verification


def verify(args: argparse.Namespace) -> int:
    """Print how two optimizers compare; the status is 0 if they are the same."""
    result = verification.verify(args.optimizer, args.against, num_steps=args.steps, rtol=args.rtol)
    print(result)
    return 0 if result.is_same else 1
