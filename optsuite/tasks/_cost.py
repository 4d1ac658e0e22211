"""Counts the cost of one loss and its gradient, or of an estimate of it, from the operators that run."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from optsuite._types import Batch, Params
from optsuite.gradients import GradientEstimator, Loss
from optsuite.modules import FLOP_FORMULAS
from optsuite.noise import generators_kept


class Cost(NamedTuple):
    """Cost of one estimate of the gradient; the properties of `Task` say more of each number."""

    flops: int
    activation_bytes: int
    peak_bytes: int
    num_ops: int
    carry_bytes: int = 0


PIECE = 10
"""Number of steps of an inner training whose states are remembered while their gradient is computed."""

UNKNOWN_COST = Cost(-1, -1, -1, -1)
"""Cost of a task whose operators cannot be counted."""


def counted(loss_fn: Callable[[nn.Module, Batch, Tensor], Tensor], module: nn.Module, batch: Batch) -> Cost:
    """Count the operators of a loss and its gradient while they run.

    Args:
        loss_fn: Maps network, batch and noise key to a 0-d loss.
        module: The network; on the meta device nothing is computed.
        batch: On the same device.
    """
    given = {_storage_key(t) for t in (*module.parameters(), *module.buffers(), *batch.values())}
    kept: dict[int, torch.UntypedStorage] = {}  # holds them: the next would get a freed one's key

    def keep(tensor: Tensor) -> Tensor:
        if (key := _storage_key(tensor)) not in given:
            kept[key] = tensor.untyped_storage()
        return tensor

    params = [param for param in module.parameters() if param.requires_grad]
    device = next(iter(batch.values())).device
    with torch.enable_grad(), generators_kept(), _Counter(given) as counter:
        with device, torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
            loss = loss_fn(module, batch, torch.zeros((), dtype=torch.int64))
        # `torch.func` takes gradients in this way, which holds what a second derivative would need.
        gradient = torch.autograd.grad(loss, params, create_graph=True, allow_unused=True)
    activations = sum(storage.nbytes() for storage in kept.values())
    del gradient, loss  # they count until here
    return Cost(counter.flops, activations, counter.peak_bytes, counter.num_ops)


def counted_estimate(estimator: GradientEstimator, loss_fn: Loss, params: Params, batch: Batch) -> Cost:
    """Count the operators of an estimate of the gradient while they run, and the bytes of its carry.

    Args:
        estimator: The estimator.
        loss_fn: The loss that it is given.
        params: Parameters; on the meta device nothing is computed.
        batch: On the same device.
    """
    device, held_bytes = next(iter(batch.values())).device, 0
    key = torch.zeros((), dtype=torch.int64, device=device)
    carry = estimator.init(params, key)
    carried = [leaf for leaf in tree_leaves(carry) if isinstance(leaf, Tensor)]
    given = {_storage_key(tensor) for tensor in (*params.values(), *carried, *batch.values(), key)}

    def loss(params: Params, batch: Batch, key: Tensor) -> Tensor:
        nonlocal held_bytes
        value = loss_fn(params, batch, key)
        held_bytes = counter.held_bytes  # what the estimate still needs once the last loss is known
        return value

    with generators_kept(), _Counter(given) as counter, device:
        estimator.estimate(loss, params, carry, batch, key)
    carry_bytes = sum(leaf.nbytes for leaf in carried)
    return Cost(counter.flops, held_bytes, counter.peak_bytes, counter.num_ops, carry_bytes)


def of_many_steps(two: Cost, three: Cost, num_steps: int) -> Cost:
    """Extrapolate the cost of two and of three steps of an inner training to more of them.

    The gradient remembers the states of one piece, and one for each other piece.
    """

    def at(count: int) -> Cost:
        return Cost(*(a + (count - 2) * (b - a) for a, b in zip(two, three, strict=True)))

    in_memory = at(min(num_steps, PIECE + num_steps // PIECE))
    cost = at(num_steps)
    return cost._replace(activation_bytes=in_memory.activation_bytes, peak_bytes=in_memory.peak_bytes)


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts operators whose outcome is floating-point, their operations, and the memory of all outcomes.

    Args:
        given: Keys of storages that were there before.
    """

    def __init__(self, given: set[int]) -> None:
        from torch.utils.flop_counter import FlopCounterMode  # takes long

        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = self.num_ops = self.peak_bytes = self.held_bytes = 0
        self._known = set(given)
        self._formulas = FlopCounterMode(display=False, custom_mapping=FLOP_FORMULAS).flop_registry

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
        self.peak_bytes = max(self.peak_bytes, self.held_bytes)
        return outcome

    def _hold(self, storage: torch.UntypedStorage) -> None:
        key, num_bytes = int(storage._cdata), storage.nbytes()
        if key in self._known:
            return
        self._known.add(key)
        self.held_bytes += num_bytes
        weakref.finalize(storage, self._release, key, num_bytes)

    def _release(self, key: int, num_bytes: int) -> None:
        self._known.remove(key)
        self.held_bytes -= num_bytes


def _storage_key(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
