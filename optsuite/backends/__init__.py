"""Back ends, where jobs run: in this process, in processes beside it, or on the workers of a Dask cluster.

A worker trains those groups of a job's trials that it can claim, and records their curves to the store. Only
which trials failed, and why, and which are trained elsewhere comes back; the curves are read from the store.
So a job may run twice, and a worker that dies takes with it no more than what it had not yet saved.
"""

from optsuite.backends._backend import Backend, BackendOptions, num_cores
from optsuite.backends._open import count_workers, open_backend
from optsuite.backends._stop import Stop, interrupted_by_sigterm
from optsuite.backends._train import ElsewhereError, StoreGoneError, run_job
from optsuite.backends._work import Site
