"""Counts the cost of one loss and its gradient, from the operators that they run."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from optsuite._types import Batch
from optsuite.modules import FLOP_FORMULAS

__all__ = ["UNKNOWN_COST", "Cost", "counted"]


class Cost(NamedTuple):
    """Cost of one loss and its gradient; the properties of `Task` say more of each number."""

    flops: int
    activation_bytes: int
    peak_bytes: int
    num_ops: int


UNKNOWN_COST = Cost(-1, -1, -1, -1)
"""Cost of a task whose operators cannot be counted."""


def counted(loss_fn: Callable[[nn.Module, Batch], Tensor], module: nn.Module, batch: Batch) -> Cost:
    """Count the operators of a loss and its gradient while they run.

    Args:
        loss_fn: Maps network and batch to a 0-d loss.
        module: The network; on the meta device nothing is computed.
        batch: On the same device.
    """
    from torch.utils.flop_counter import FlopCounterMode  # takes long

    formulas = FlopCounterMode(display=False, custom_mapping=FLOP_FORMULAS).flop_registry
    given = {_storage_key(t) for t in (*module.parameters(), *module.buffers(), *batch.values())}
    kept: dict[int, torch.UntypedStorage] = {}  # holds them: the next would get a freed one's key

    def keep(tensor: Tensor) -> Tensor:
        if (key := _storage_key(tensor)) not in given:
            kept[key] = tensor.untyped_storage()
        return tensor

    params = [param for param in module.parameters() if param.requires_grad]
    device = next(iter(batch.values())).device
    with torch.enable_grad(), torch.random.fork_rng(devices=[]), _Counter(given, formulas) as counter:
        with device, torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
            loss = loss_fn(module, batch)
        # `torch.func` takes gradients in this way, which holds what a second derivative would need.
        gradient = torch.autograd.grad(loss, params, create_graph=True, allow_unused=True)
    activations = sum(storage.nbytes() for storage in kept.values())
    del gradient, loss  # they count until here
    return Cost(counter.flops, activations, counter.peak_bytes, counter.num_ops)


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts operators whose outcome is floating-point, their operations, and the memory of all outcomes.

    Args:
        given: Keys of storages that were there before.
        formulas: Number of operations by operator, for those that have many.
    """

    def __init__(self, given: set[int], formulas: Mapping[Any, Callable[..., int]]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = self.num_ops = self.peak_bytes = self._held_bytes = 0
        self._known = set(given)
        self._formulas = formulas

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401 - torch has no public type of it
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever the operator gives
        """Run an operator and count it."""
        kwargs = kwargs or {}
        outcome = func(*args, **kwargs)
        if formula := self._formulas.get(func.overloadpacket):
            self.flops += int(formula(*args, **kwargs, out_val=outcome))
        first = outcome[0] if isinstance(outcome, tuple | list) and outcome else outcome
        self.num_ops += isinstance(first, Tensor) and first.is_floating_point()
        for tensor in tree_leaves(outcome):
            if isinstance(tensor, Tensor):
                self._hold(tensor.untyped_storage())
        self.peak_bytes = max(self.peak_bytes, self._held_bytes)
        return outcome

    def _hold(self, storage: torch.UntypedStorage) -> None:
        key, num_bytes = int(storage._cdata), storage.nbytes()
        if key in self._known:
            return
        self._known.add(key)
        self._held_bytes += num_bytes
        weakref.finalize(storage, self._release, key, num_bytes)

    def _release(self, key: int, num_bytes: int) -> None:
        self._known.remove(key)
        self._held_bytes -= num_bytes


def _storage_key(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
