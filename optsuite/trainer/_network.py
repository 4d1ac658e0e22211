"""The network that runs the trials of a program, and what it holds besides trained parameters."""

from __future__ import annotations

import copy
import enum
import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from types import CellType, FunctionType, MethodType, ModuleType
from typing import Any, Never, TypeAlias, final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import type_before_parametrizations

from optsuite import data
from optsuite._types import Batch, Params
from optsuite.errors import UnsupportedError
from optsuite.noise import generator_states, generators_kept, seed_generators
from optsuite.tasks import Task

_PLAIN = (bool, int, float, complex, str, bytes, set, frozenset, torch.dtype, torch.device, enum.Enum)
# Attributes of every module that are compared elsewhere, are given to it, or play no part in a forward pass.
_APART = {
    *("_parameters", "_buffers", "_modules"),
    *("_state_dict_hooks", "_state_dict_pre_hooks"),
    *("_load_state_dict_pre_hooks", "_load_state_dict_post_hooks"),
}


_Met: TypeAlias = dict[tuple[int, int], tuple[object, object]]
"""Pairs that are compared already, by their identities; held, so that these are not given to others."""


class NetworksDifferError(Exception):
    """Networks that differ in more than parameters and buffers; one of them cannot stand for the others."""


@final
class Network:
    """The network that runs trials at given parameters and buffers, taken from the first seed that starts."""

    def __init__(self) -> None:
        self._module: nn.Module | None = None

    @property
    def module(self) -> nn.Module:
        """The network, without parameters of its own."""
        if self._module is None:
            raise RuntimeError("a program must start a grid before it steps or evaluates")
        return self._module

    @property
    def is_given(self) -> bool:
        """True once a seed has started."""
        return self._module is not None

    def admit(self, modules: Sequence[nn.Module]) -> None:
        """Check that the network can stand for those of some seeds; the first ones give it.

        Args:
            modules: The networks, not to be used afterwards.

        Raises:
            NetworksDifferError: They differ in a plain attribute, for example in a number drawn when they
                are made.
        """
        model = modules[0] if self._module is None else self._module
        if not all(module is model or _are_alike(module, model) for module in modules):
            raise NetworksDifferError
        if self._module is None:
            self._module = model
            _empty(model)


def trained_params(module: nn.Module) -> Params:
    """Return the parameters that are trained, detached, by name."""
    return {name: p.detach() for name, p in module.named_parameters() if p.requires_grad}


def constants_of(module: nn.Module) -> Params:
    """Return the frozen parameters and the buffers, detached, by name."""
    frozen = {name: p.detach() for name, p in module.named_parameters() if not p.requires_grad}
    return {**frozen, **dict(module.named_buffers())}


def examine(task: Task, seed: int, source: data.Source) -> bool:
    """Check that a task is a function of parameters, batch, key and generators, by computing it twice.

    Returns:
        Whether it draws from global generators.

    Raises:
        UnsupportedError: It keeps state, changes a buffer, or reaches a parameter other than by its name.
    """
    module = task.module(seed)
    _check_references(task.name, module)
    batch = next(task.dataloader("train", seed, mode=source))
    buffers = copy.deepcopy(dict(module.named_buffers()))
    has_drawn, attributes, values = False, {}, []
    with generators_kept(), suppress(Exception):  # what is wrong with a task, its trials will tell
        for _ in range(2):
            attributes = _copied_attributes(module)  # after the first time, which may fill caches
            seed_generators(seed)
            states = generator_states()
            values.append(_computed(task, module, batch))
            has_drawn = states != generator_states()
    for name, buffer in module.named_buffers():
        if name not in buffers or not is_alike(buffer, buffers[name], {}):
            owner = type(module.get_submodule(name.rpartition(".")[0])).__name__
            refuse_changed(task.name, name, f" of `{owner}`")
    _check_stateless(task.name, module, attributes, values)
    return has_drawn


def _computed(task: Task, module: nn.Module, batch: Batch) -> Tensor:
    """Compute the loss and the metrics, (1 + metrics,)."""
    key = torch.tensor(0)
    values = (task.loss(module, batch, key), *task.metrics(module, batch, key).values())
    return torch.stack([torch.as_tensor(value).detach().double() for value in values])


def _check_stateless(
    task_name: str, module: nn.Module, attributes: dict[str, Any], values: Sequence[Tensor]
) -> None:
    """Check that the second of two computations gave what the first gave, and left the network as it was."""
    after = _plain_attributes(module)
    changed = [name for name in attributes if not is_alike(after.get(name), attributes[name], {})]
    if len(values) < 2:  # it failed, as its trials will
        return
    if not changed and torch.allclose(values[0], values[1], 1e-6, 1e-7, equal_nan=True):
        return
    what = f"changes its attribute `{changed[0]}`" if changed else "gives other losses or metrics"
    raise UnsupportedError(
        f"`{task_name}` {what} when it is computed again from the same parameters, batch, key and global "
        "generators, so trials would depend on each other: keep no state in the network, its loss or its "
        "metrics, and draw from the global generators of torch, NumPy or Python, or by the key"
    )


def _check_references(task_name: str, module: nn.Module) -> None:
    """Check that parameters and buffers are reached by their names alone, by which trials give theirs."""
    names = {id(tensor): name for name, tensor in (*module.named_parameters(), *module.named_buffers())}
    registered = set(module.modules())
    for path, value in _plain_attributes(module).items():
        held = next((tensor for tensor in _held(value, registered, set()) if id(tensor) in names), None)
        if held is not None:
            raise UnsupportedError(
                f"`{task_name}` keeps `{names[id(held)]}` in its attribute `{path}` too, where a trial's own "
                "cannot take its place: reach it by the name that it is registered under"
            )


def _held(value: Any, registered: set[nn.Module], met: set[int]) -> Iterator[Tensor]:  # noqa: ANN401 - any attribute
    """List the tensors that a plain attribute holds, also in containers, functions and objects."""
    if id(value) in met or (isinstance(value, nn.Module) and value in registered):
        return
    met.add(id(value))
    inner: Iterable[Any] = ()
    match value:
        case Tensor():
            yield value
        case nn.Module():
            inner = value.parameters()
        case Mapping():
            inner = value.values()
        case list() | tuple() | set() | frozenset():
            inner = value
        case FunctionType():
            inner = _inputs(value)
        case functools.partial():
            inner = (value.func, value.args, value.keywords)
        case CellType():
            with suppress(ValueError):  # it is empty
                inner = (value.cell_contents,)
        case MethodType():
            inner = (value.__self__,)
        case type() | ModuleType():
            pass
        case _:
            inner = getattr(value, "__dict__", {}).values()
    for one in inner:
        yield from _held(one, registered, met)


def _plain_attributes(module: nn.Module) -> dict[str, Any]:
    """Return what the network and its parts hold besides parameters, buffers and parts, by path."""
    return {
        f"{path}.{name}".lstrip("."): value
        for path, part in module.named_modules()
        for name, value in _attributes(part).items()
    }


def _copied_attributes(module: nn.Module) -> dict[str, Any]:
    """Copy the plain attributes that can be copied and compared."""
    copied = {}
    for name, value in _plain_attributes(module).items():
        with suppress(Exception):
            clone = copy.deepcopy(value)
            if is_alike(clone, value, {}):
                copied[name] = clone
    return copied


def refuse_changed(task_name: str, name: str, owner: str = "") -> Never:
    """Raise the error for a buffer that changes."""
    raise UnsupportedError(
        f"`{task_name}` changes the buffer `{name}`{owner} in its forward pass, but a loss must depend on "
        "parameters, batch and key alone: keep no running state, for example by track_running_stats=False in "
        "normalisation layers, or by weight_norm in place of spectral_norm"
    )


def _empty(module: nn.Module) -> None:
    """Move the parameters to the meta device in place, or fill them with NaN where torch cannot.

    What refers to one of them other than by its name, which is how trials give theirs, must not silently read
    numbers of another trial.
    """
    for param in module.parameters():
        bare = nn.Parameter(torch.empty_like(param, device="meta"), requires_grad=param.requires_grad)
        try:
            torch.utils.swap_tensors(param, bare)  # type: ignore[no-untyped-call]
        except RuntimeError:  # something refers to it weakly, as recurrent layers do
            param.detach().fill_(torch.nan)


def _are_alike(one: nn.Module, other: nn.Module) -> bool:
    """Tell whether two networks are equal in all but their registered parameters and buffers."""
    parts, others = dict(one.named_modules()), dict(other.named_modules())
    met: _Met = {(id(part), id(others.get(name))): (part, others.get(name)) for name, part in parts.items()}
    return list(parts) == list(others) and all(
        type_before_parametrizations(part) is type_before_parametrizations(others[name])
        and is_alike(_attributes(part), _attributes(others[name]), met)
        for name, part in parts.items()
    )


def is_alike(one: Any, other: Any, met: _Met) -> bool:  # noqa: ANN401 - any attributes
    """Tell whether two values are equal in all that they hold; what is not understood is not."""
    if one is other or (id(one), id(other)) in met:
        return True
    met[id(one), id(other)] = one, other
    if type(one) is not type(other):
        return False
    match one:
        case nn.Module():  # not registered, so that no trial gives its parameters
            return is_alike(vars(one), vars(other), met)
        case Tensor():
            key = (other.shape, other.dtype, other.device, other.requires_grad)
            return (one.shape, one.dtype, one.device, one.requires_grad) == key and torch.equal(one, other)
        case np.ndarray():
            return (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())
        case Mapping():
            return list(one) == list(other) and all(is_alike(one[key], other[key], met) for key in one)
        case list() | tuple():
            return len(one) == len(other) and all(map(is_alike, one, other, [met] * len(one)))
        case FunctionType():
            return one.__code__ is other.__code__ and is_alike(_inputs(one), _inputs(other), met)
        case CellType():
            return is_alike(one.cell_contents, other.cell_contents, met)
    return isinstance(one, _PLAIN) and bool(one == other)


def _attributes(module: nn.Module) -> dict[str, Any]:
    """Return what a part of a network holds itself besides parameters, buffers and parts."""
    is_recurrent = isinstance(module, nn.RNNBase)  # keeps lists of its parameters up to date itself
    return {
        name: value
        for name, value in sorted(vars(module).items())
        if name not in _APART and not (is_recurrent and name.startswith("_flat_weight"))
    }


def _inputs(fn: FunctionType) -> tuple[Any, ...]:
    return fn.__closure__, fn.__defaults__, fn.__kwdefaults__, id(fn.__globals__), vars(fn)
