"""Linear algebra of many small matrices, in threads that each take a share of them.

LAPACK would divide the work within every matrix, and its threads then wait for each other: beside another
busy process, for much longer than they work. A matrix that one thread decomposes has the same bits whatever
the number of threads.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import torch
from torch import Tensor

_Tensors = tuple[Tensor, ...]


def over_matrices(fn: Callable[..., _Tensors], *stacks: Tensor) -> _Tensors:
    """Return what a function gives for stacks of matrices, each matrix treated by one thread.

    Args:
        fn: Takes stacks (N, ...) and returns tensors (N, ...), by arithmetic alone; no gradient is recorded.
        stacks: On the CPU, (N, ...) each.
    """
    count = torch.get_num_threads()
    if count == 1:
        return fn(*stacks)
    shares = zip(*(stack.chunk(count) for stack in stacks), strict=True)
    parts = _workers(count, os.getpid()).map(lambda share: _without_gradient(fn, share), shares)
    return tuple(torch.cat(same) for same in zip(*parts, strict=True))


def _without_gradient(fn: Callable[..., _Tensors], stacks: _Tensors) -> _Tensors:
    # The mode of the thread that asks is not that of its workers.
    with torch.no_grad():
        return fn(*stacks)


@functools.cache
def _workers(count: int, process: int) -> ThreadPoolExecutor:
    """Make threads whose own linear algebra uses no others; a forked process has none of its parent's."""
    del process
    workers = ThreadPoolExecutor(count, thread_name_prefix="optsuite-matrices")
    together = Barrier(count)

    def start() -> None:
        together.wait()  # so that every thread takes one of these calls
        # A new thread takes the common number when it is first asked, and would forget its own.
        torch.get_num_threads()
        torch.set_num_threads(1)

    for started in [workers.submit(start) for _ in range(count)]:
        started.result()
    # Threads that start later take the number that was set last.
    torch.set_num_threads(count)
    return workers
