"""The eigenvectors of moving statistics, followed from time to time by an operator that `vmap` can lift.

Reading on the host whether it is time costs less than finding eigenvectors that nobody needs. On a GPU the
host waits for the device to tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

_OPERATOR = "optsuite::follow_eigenbasis"


def follow_eigenbasis(
    statistics: Tensor, basis: Tensor, is_first: Tensor, is_due: Tensor
) -> tuple[Tensor, Tensor]:
    """Return a basis that is nearer to the eigenvectors, those of large eigenvalues first.

    Args:
        statistics: Symmetric and positive semidefinite, float32 or float64 (n, n).
        basis: Orthogonal, its columns are the vectors, (n, n).
        is_first: (), bool: whether to find the eigenvectors, whatever the basis is.
        is_due: (), bool: whether to take the basis one step of power iteration nearer.

    Returns:
        The basis, (n, n), as it is if neither is so; and the columns of the old one in the order in which
        they were taken, int64 (n,).
    """
    new, order = torch.ops.optsuite.follow_eigenbasis(statistics, basis, is_first, is_due)
    return new, order


def _follow(statistics: Tensor, basis: Tensor, is_first: Tensor, is_due: Tensor) -> tuple[Tensor, Tensor]:
    """Do so for axes of trials in front."""
    order = torch.arange(basis.shape[-1], device=basis.device).expand(basis.shape[:-1])
    new = basis.clone(memory_format=torch.contiguous_format)
    any_due, any_first = torch.stack((is_due.any(), is_first.any())).tolist()
    if any_due:
        product = statistics @ basis
        sizes = (basis * product).sum(-2)
        found = sizes.argsort(dim=-1, descending=True)
        turned, _ = torch.linalg.qr(product.take_along_dim(found.unsqueeze(-2), -1))
        new = torch.where(is_due[..., None, None], turned, new)
        order = torch.where(is_due[..., None], found, order)
    if any_first:
        is_finite = statistics.sum((-2, -1), keepdim=True).isfinite()
        # One matrix that is not finite would be an error of the whole batch.
        _, vectors = torch.linalg.eigh(torch.where(is_finite, statistics, 0.0))
        new = torch.where(is_first[..., None, None], vectors.flip(-1), new)
    return new.contiguous(), order.contiguous()


def _fake(statistics: Tensor, basis: Tensor, is_first: Tensor, is_due: Tensor) -> tuple[Tensor, Tensor]:
    del statistics, is_first, is_due
    return basis.new_empty(basis.shape), basis.new_empty(basis.shape[:-1], dtype=torch.int64)


def _over_trials(
    info: Any,  # noqa: ANN401 - torch's own class
    in_dims: Sequence[int | None],
    *tensors: Tensor,
) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
    stacked = (
        t.expand(info.batch_size, *t.shape) if dim is None else t.movedim(dim, 0)
        for t, dim in zip(tensors, in_dims, strict=True)
    )
    return torch.ops.optsuite.follow_eigenbasis(*stacked), (0, 0)


torch.library.define(
    _OPERATOR, "(Tensor statistics, Tensor basis, Tensor is_first, Tensor is_due) -> (Tensor, Tensor)"
)
torch.library.impl(_OPERATOR, "CompositeExplicitAutograd", _follow)
torch.library.register_fake(_OPERATOR, _fake)
torch.library.register_vmap(_OPERATOR, _over_trials)
