"""A setting of OpenMP: how long its threads spin before they sleep while they wait for each other.

By default a waiting thread of libgomp, which is the OpenMP of torch's wheels for Linux, spins for some
milliseconds. Beside another busy process it thereby keeps its core from the thread that it waits for, in each
of a step's many parallel loops: steps of small networks took 3 to 60 times as long beside one. Spinning for
some microseconds they take 2.5 times as long, and on a quiet machine up to a tenth longer than before; asleep
from the start, 1.7 times as long on either. The variable stays set for processes that this one starts.
"""

import os
import sys

_VARIABLES = frozenset({"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"})


def short_spins() -> dict[str, str]:
    """Return environment variables by which threads spin briefly; none if the user's say how they wait."""
    return {} if _VARIABLES & os.environ.keys() else {"GOMP_SPINCOUNT": "1000"}


def spin_briefly() -> None:
    """Have the threads of this process spin briefly; once torch is loaded, nothing is changed any more."""
    if "torch" not in sys.modules:
        os.environ.update(short_spins())
