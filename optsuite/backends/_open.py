"""Back ends by their names."""

from collections.abc import Callable

import torch

from optsuite.backends._backend import Backend, LocalBackend, Tell, num_cores
from optsuite.backends._dask import DaskBackend
from optsuite.backends._process import ProcessBackend, process_devices
from optsuite.backends._work import Site


def open_backend(
    name: str,
    site: Site,
    tell: Tell,
    say: Callable[[str], None],
    *,
    device: torch.device | str | None = None,
    num_workers: int | None = None,
    dask_address: str | None = None,
) -> Backend:
    """Start a back end.

    Args:
        name: One of `choices.BACKENDS`.
        site: What workers need.
        tell: Called with the progress of jobs; `dask` does not call it.
        say: Shows the user a line at once.
        device: Where to train; None leaves it to the back end.
        num_workers: Number of processes, or of workers of a cluster on this machine; None leaves it to the
            back end.
        dask_address: Address of the scheduler of a running cluster.

    Raises:
        RemoteError: There is no such cluster, or it is not like this process.
        UnsupportedError: A package is missing.
    """
    if name == "local":
        return LocalBackend(device, tell)
    where = None if device is None else str(device)
    if name == "process":
        return ProcessBackend(num_workers, site, tell, device=where)
    return DaskBackend(dask_address, num_workers, site, say, device=where)


def count_workers(
    name: str, *, device: str | None, num_workers: int | None, dask_address: str | None = None
) -> int:
    """Return how many workers a back end would have; 1 for a cluster that nobody has asked yet."""
    if name == "process":
        return len(process_devices(num_workers, device))
    if name == "dask" and dask_address is None:
        return num_workers or num_cores()
    return 1
