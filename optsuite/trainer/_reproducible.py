"""The device, the precision, and arithmetic that gives the same bits in every run on a machine."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch

from optsuite.errors import OptsuiteError, UnsupportedError, in_words, parameter
from optsuite.noise import generators_kept


def resolve_device(device: torch.device | str | None) -> torch.device:
    """Return the device to train on: the one asked for, else CUDA if there is one.

    Raises:
        OptsuiteError: It does not exist here.
    """
    if device is None:
        where = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        _prepare(where)
        return where
    try:
        where = torch.device(device)
        _prepare(where)
        torch.empty(0, device=where)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise OptsuiteError(
            f"cannot train on device `{device}` ({reason}): pass cpu, cuda or cuda:N"
        ) from error
    return where


def _prepare(device: torch.device) -> None:
    """Ask cuBLAS for workspaces of fixed sizes, without which it sums in no fixed order.

    torch looks for that once, at the first product on the device, whoever takes it.
    """
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def check_precision(precision: str, device: torch.device) -> None:
    """Check that a device has a precision.

    Raises:
        UnsupportedError: It has not.
    """
    if precision == "tf32" and not (device.type == "cuda" and torch.cuda.is_tf32_supported()):
        raise UnsupportedError(
            f"tf32 is a precision of later CUDA devices, not of `{device}`: pass float32 or bf16"
        )


@contextmanager
def reproducible(device: torch.device, precision: str = "float32") -> Iterator[None]:
    """Sum in a fixed order, compiled or not, and take products and convolutions in that precision.

    An operator of a user's that knows no fixed order warns. The generators of torch, NumPy and Python
    are left as they were.

    Args:
        device: Where it happens.
        precision: Under `tf32` factors are rounded to 10 bits; else they are not.

    Raises:
        UnsupportedError: A precision is set by `torch.backends`, beside which torch takes no other.
    """
    products = _products("high" if precision == "tf32" else "highest")
    unadvised = _unadvised() if device.type == "cuda" else nullcontext()
    with products, unadvised, _in_order(device, precision), generators_kept(device):
        yield


@contextmanager
def _unadvised() -> Iterator[None]:
    """Leave out the compiler's advice to round factors, which is what `precision` decides."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="TensorFloat32 tensor cores")
        yield


@contextmanager
def _products(precision: str) -> Iterator[None]:
    try:
        before = torch.get_float32_matmul_precision()
        if before != precision:
            torch.set_float32_matmul_precision(precision)
    except RuntimeError as error:
        raise UnsupportedError(
            f"a precision is set by `torch.backends` ({in_words(error)}): leave that to "
            f"`{parameter('precision')}`"
        ) from error
    try:
        yield
    finally:
        if before != precision:
            torch.set_float32_matmul_precision(before)


@contextmanager
def _in_order(device: torch.device, precision: str) -> Iterator[None]:
    mode = torch.get_deterministic_debug_mode()
    deterministic: Any = torch.utils.deterministic  # whose attribute its types do not know
    fills = deterministic.fill_uninitialized_memory
    _prepare(device)
    try:
        # The more usual `use_deterministic_algorithms` imports the compiler, which takes as long as torch.
        torch.set_deterministic_debug_mode("warn")
        deterministic.fill_uninitialized_memory = False  # costs time, and nothing reads what was not written
        with torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=True, allow_tf32=precision == "tf32"
        ):
            yield
    finally:
        torch.set_deterministic_debug_mode(mode)
        deterministic.fill_uninitialized_memory = fills
