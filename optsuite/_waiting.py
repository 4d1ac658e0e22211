"""A setting of OpenMP: how its threads wait for each other.

By default a waiting thread of libgomp, which is the OpenMP of torch's wheels, spins for some milliseconds.
Beside another busy process it thereby keeps its core from the thread that it waits for, in each of a step's
many parallel loops. Asleep, it leaves the core to others, at the price of a call to the kernel.
"""

import os
import sys

_VARIABLES = frozenset({"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"})


def waiting_asleep() -> dict[str, str]:
    """Return environment variables by which threads wait asleep; none if the user's say how they wait."""
    return {} if _VARIABLES & os.environ.keys() else {"OMP_WAIT_POLICY": "passive"}


def wait_asleep() -> None:
    """Have the threads of this process wait asleep; once torch is loaded, nothing is changed any more."""
    if "torch" not in sys.modules:
        os.environ.update(waiting_asleep())
