"""Back ends by their names: the class `<Name>Backend` of the file `_<name>.py`."""

import importlib

from optsuite.backends._backend import Backend, BackendOptions, Say, Tell
from optsuite.backends._work import Site


def open_backend(options: BackendOptions, site: Site, tell: Tell, say: Say) -> Backend:
    """Start a back end.

    Args:
        options: Which one, and how it is to run.
        site: Facts that workers need.
        tell: Called with the progress of jobs, also from other threads; `dask` does not call it.
        say: Shows the user a line at once.

    Raises:
        RemoteError: There is no such cluster, or it is not like this process.
        UnsupportedError: A package is missing.
    """
    return _class_of(options)(options, site, tell, say)


def count_workers(options: BackendOptions) -> int:
    """Return how many workers a back end would have; 1 for a cluster that nobody has asked yet."""
    return _class_of(options).count_workers(options)


def _class_of(options: BackendOptions) -> type[Backend]:
    module = importlib.import_module(f"optsuite.backends._{options.backend}")
    found: type[Backend] = getattr(module, f"{options.backend.title()}Backend")
    return found
