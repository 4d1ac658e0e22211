"""A stand-in for a GPU: the meta device, on which a value that is asked for is noticed."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

META = torch.device("meta")

# Operators for which the host waits on CUDA: their shapes depend on values, or they look for errors.
_WAITS = {
    *("_local_scalar_dense", "equal", "nonzero", "masked_select", "_unique2", "unique_dim", "bincount"),
    *(
        "_linalg_eigh",
        "_linalg_svd",
        "linalg_eig",
        "follow_eigenbasis",
        "linalg_inv_ex",
        "cholesky",
        "linalg_lstsq",
        "histc",
    ),
}
# Operators that know no fixed order of sums on CUDA (torch's page of `use_deterministic_algorithms`).
_UNORDERED = {
    *("bincount", "histc", "kthvalue", "nll_loss2d_forward", "_adaptive_avg_pool2d_backward"),
    *(
        "avg_pool3d_backward",
        "reflection_pad2d_backward",
        "put_",
        "scatter_reduce",
        "upsample_bilinear2d_backward",
        "grid_sampler_2d_backward",
        "median",
    ),
}


class Crossings(NamedTuple):
    """How often each operator would copy, make the host wait, or sum in no fixed order on a GPU."""

    to_device: Counter[str]
    to_host: Counter[str]
    waits: Counter[str]
    unordered: Counter[str]


class _Made(TorchFunctionMode):
    """Counts tensors that are made of numbers of Python, which no mode of dispatch is told."""

    def __init__(self, counter):
        super().__init__()
        self._counter = counter

    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if func in (torch.tensor, torch.as_tensor, Tensor.new_tensor) and result.device == META:
            self._counter[func.__name__] += 1
        if func in (Tensor.__getitem__, Tensor.__setitem__) and args[0].device == META:
            index = args[1] if isinstance(args[1], tuple) else (args[1],)
            self._counter["list"] += sum(isinstance(part, list) for part in index)
        return result


class StandIn(TorchDispatchMode):
    """Counts what crosses between the host and the meta device while it is active.

    What is copied to the host is zeros there. A tensor of the host among those of the device is an error, as
    on CUDA, but for numbers (0-d tensors) and for indices, which count as copies.
    """

    def __init__(self):
        super().__init__()
        self.to_device, self.to_host, self.waits, self.unordered = Counter(), Counter(), Counter(), Counter()
        self._made = _Made(self.to_device)

    def __enter__(self):
        self._made.__enter__()
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        self._made.__exit__(*error)

    def taken(self):
        """Give what was counted since the last call."""
        counters = self.to_device, self.to_host, self.waits, self.unordered
        crossings = Crossings(*(+counter for counter in counters))
        for counter in counters:
            counter.clear()
        return crossings

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Run an operator and note whether it would copy or wait."""
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        is_on_device = any(tensor.device == META for tensor in tensors)
        if name == "_to_copy" and tensors:
            return self._copied(func, args, kwargs)
        if name == "copy_":
            return self._written(func, args, kwargs)
        if is_on_device:
            is_sum = name == "cumsum" and args[0].is_floating_point()
            if name in _UNORDERED or is_sum:
                self.unordered[name] += 1
            if name in _WAITS:
                self.waits[name] += 1
                if name == "equal":
                    return True
                if name == "_local_scalar_dense":
                    return torch.zeros((), dtype=args[0].dtype, device="cpu").item()
            strays = [t for t in tensors if t.device != META and t.ndim]
            if strays and name in ("index", "index_put", "index_put_"):
                self.to_device[name] += 1
            elif strays:
                raise AssertionError(f"`{name}` takes a tensor of the host, {tuple(strays[0].shape)}")
        return func(*args, **kwargs)

    def _copied(self, func, args, kwargs):
        (source,), target = args, kwargs.get("device") or args[0].device
        if torch.device(target).type == source.device.type:
            return func(*args, **kwargs)
        if source.device == META:
            self.to_host["to"] += 1
            return torch.zeros(source.shape, dtype=kwargs.get("dtype") or source.dtype)
        self.to_device["to"] += 1
        return func(*args, **kwargs)

    def _written(self, func, args, kwargs):
        target, source = args[:2]
        if target.device != META and source.device == META:
            self.to_host["copy_"] += 1
            return target.zero_()
        if target.device == META and source.device != META:
            self.to_device["copy_"] += 1
        return func(*args, **kwargs)
