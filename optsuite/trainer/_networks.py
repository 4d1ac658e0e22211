"""Networks that optimizer objects keep, as those of learned optimizers do: their memory, and their dumps."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from optsuite.errors import UnsupportedError

# Attributes that torch gives to every module; what a module computes by is in the others and its tensors.
_OF_TORCH = vars(nn.Module()).keys() - {"training"}
# What recurrent layers keep besides, of their parameters, and keep up to date themselves.
_OF_RECURRENT = {"_flat_weights", "_flat_weight_refs", "_flat_weights_names"}
_AS_MADE = "as made"


@final
class Networks:
    """The modules that are attributes of an object, in memory that objects of a class share while they can.

    A parameter or buffer with the bits of the first object's lies where that lies, until somebody writes into
    one of them: that one then gets memory of its own (they are *copied on write*). So nothing that an object
    does to its network reaches another's, and every step comes out as it would have. A tensor stays as it is
    if something else refers to its memory, e.g. another attribute or a parameter that is tied to it, and if
    torch did not allocate that, e.g. where it is an array's, a mapped file's or shared with other processes.

    Args:
        owner: The object, just made.
        made: What the tensors of earlier objects held first, by name; those of this one are added.
    """

    def __init__(self, owner: object, made: dict[str, Tensor]) -> None:
        self.modules = {name: value for name, value in vars(owner).items() if isinstance(value, nn.Module)}
        self._made = made
        self._owner = type(owner).__name__
        self._lazy = [name for name, tensor in self._tensors() if is_lazy(tensor)]
        for name, tensor in self._tensors():
            clone = _lazy_clone(tensor) if _is_alone(tensor) else None
            if clone is not None:
                first = made.setdefault(name, clone)
                if _is_same(tensor, first):
                    tensor.data = torch._lazy_clone(first)

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        for name, module in self.modules.items():
            params = module.named_parameters(name, remove_duplicate=False)
            yield from itertools.chain(params, module.named_buffers(name, remove_duplicate=False))

    def facts(self) -> dict[str, Any]:
        """Give all that decides what the modules compute, except for tensors as they were made.

        Raises:
            UnsupportedError: A tensor had no shape when it was made, as those of lazy layers, so that the
                modules of another object cannot take its numbers.
        """
        if self._lazy:
            raise UnsupportedError(
                f"`{self._owner}` makes `{self._lazy[0]}` of its network without a shape, which cannot be "
                "saved: give its layer all sizes, or pass something through the network, in the constructor"
            )
        return {
            name: {path: self._facts(path, part) for path, part in _parts(module, name)}
            for name, module in self.modules.items()
        }

    def _facts(self, path: str, part: nn.Module) -> dict[str, Any]:
        tensors = {**part._parameters, **part._buffers}
        apart = _OF_TORCH | (_OF_RECURRENT if isinstance(part, nn.RNNBase) else set())
        return {
            "attributes": {name: value for name, value in vars(part).items() if name not in apart},
            "tensors": {name: self._fact(f"{path}.{name}", tensor) for name, tensor in tensors.items()},
            "grads": {name: param.grad for name, param in part._parameters.items() if param is not None},
        }

    def _fact(self, name: str, tensor: Tensor | None) -> Tensor | str | None:
        if tensor is None:
            return None
        is_as_made = name in self._made and _is_alone(tensor) and _is_same(tensor, self._made[name])
        return _AS_MADE if is_as_made else tensor.detach()

    def load(self, facts: dict[str, Any]) -> None:
        """Go on from the facts of another object's modules, whose tensors were made as these."""
        for name, module in self.modules.items():
            for path, part in _parts(module, name):
                vars(part).update(facts[name][path]["attributes"])
                for key, tensor in facts[name][path]["tensors"].items():
                    if isinstance(tensor, Tensor) and key in part._buffers:
                        part._buffers[key] = tensor
                    elif isinstance(tensor, Tensor):
                        part.get_parameter(key).data = tensor
                for key, grad in facts[name][path]["grads"].items():
                    part.get_parameter(key).grad = grad


def _parts(module: nn.Module, name: str) -> Iterator[tuple[str, nn.Module]]:
    yield from module.named_modules(prefix=name, remove_duplicate=False)


def _is_alone(tensor: Tensor) -> bool:
    """Tell whether nothing else refers to the memory of a tensor."""
    is_plain = type(tensor) in (Tensor, nn.Parameter) and tensor.layout == torch.strided
    return is_plain and _can_share() and _references(tensor) == _references(torch.empty(1))


def _can_share() -> bool:
    """Tell whether this version of torch has what is needed, none of which it documents."""
    return hasattr(torch, "_lazy_clone") and hasattr(torch._C, "_storage_Use_Count")


def _references(tensor: Tensor) -> int:
    return torch._C._storage_Use_Count(tensor.untyped_storage()._cdata)


def _lazy_clone(tensor: Tensor) -> Tensor | None:
    """Return a copy on write, or None if the memory is not torch's own."""
    try:
        return torch._lazy_clone(tensor.detach())
    except RuntimeError:
        return None


def _is_same(tensor: Tensor, other: Tensor) -> bool:
    """Tell whether two tensors are equal bit for bit, a NaN or -0.0 too, and laid out alike."""
    first, second = ((t.shape, t.stride(), t.dtype, t.device) for t in (tensor, other))
    return first == second and torch.equal(_bytes(tensor), _bytes(other))


def _bytes(tensor: Tensor) -> Tensor:
    return tensor.detach().reshape(-1).view(torch.uint8)
