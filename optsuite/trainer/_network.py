"""The network that runs the trials of a program, and what it holds besides trained parameters."""

from __future__ import annotations

import copy
import enum
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import CellType, FunctionType
from typing import Any, Never, final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import type_before_parametrizations

from optsuite import data
from optsuite._types import Params
from optsuite.errors import UnsupportedError
from optsuite.noise import generator_states, generators_kept
from optsuite.tasks import Task

_PLAIN = (bool, int, float, complex, str, bytes, set, frozenset, torch.dtype, torch.device, enum.Enum)
# Attributes of every module that are compared elsewhere, are given to it, or play no part in a forward pass.
_APART = {
    *("_parameters", "_buffers", "_modules"),
    *("_state_dict_hooks", "_state_dict_pre_hooks"),
    *("_load_state_dict_pre_hooks", "_load_state_dict_post_hooks"),
}


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

    def admit(self, modules: Sequence[nn.Module]) -> None:
        """Check that the network can stand for those of some seeds; the first ones give it.

        Args:
            modules: The networks, not to be used afterwards.

        Raises:
            NetworksDifferError: They differ in a plain attribute, for example in a number drawn when they
                are made.
        """
        model = modules[0] if self._module is None else self._module
        if not all(module is model or _is_alike(module, model, set()) for module in modules):
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


def draws(task: Task, seed: int, source: data.Source) -> bool:
    """Tell whether a plain forward pass draws from global generators, and check that it changes no buffer.

    Raises:
        UnsupportedError: It changes a buffer, which would make a loss depend on the steps before.
    """
    module = task.module(seed)
    batch = next(task.dataloader("train", seed, mode=source))
    before = copy.deepcopy(dict(module.named_buffers()))
    with generators_kept():
        states = generator_states()
        with suppress(Exception):  # what is wrong with a task, its trials will tell
            task.loss(module, batch, torch.tensor(0))
        has_drawn = states != generator_states()
    for name, buffer in module.named_buffers():
        if name not in before or not _is_alike(buffer, before[name], set()):
            owner = type(module.get_submodule(name.rpartition(".")[0])).__name__
            refuse_changed(task.name, name, f" of `{owner}`")
    return has_drawn


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


def _is_alike(one: Any, other: Any, met: set[tuple[int, int]]) -> bool:  # noqa: ANN401 - any attributes
    """Tell whether two values are equal in all that they hold; what is not understood is not."""
    if one is other or (id(one), id(other)) in met:
        return True
    met.add((id(one), id(other)))
    if isinstance(one, nn.Module) and isinstance(other, nn.Module):
        kinds = {type_before_parametrizations(module) for module in (one, other)}
        return len(kinds) == 1 and _is_alike(_attributes(one), _attributes(other), met)
    if type(one) is not type(other):
        return False
    match one:
        case Tensor():
            key = (other.shape, other.dtype, other.device, other.requires_grad)
            return (one.shape, one.dtype, one.device, one.requires_grad) == key and torch.equal(one, other)
        case np.ndarray():
            return (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())
        case Mapping():
            return list(one) == list(other) and all(_is_alike(one[key], other[key], met) for key in one)
        case list() | tuple():
            return len(one) == len(other) and all(map(_is_alike, one, other, [met] * len(one)))
        case FunctionType():
            return one.__code__ is other.__code__ and _is_alike(_inputs(one), _inputs(other), met)
        case CellType():
            return _is_alike(one.cell_contents, other.cell_contents, met)
    return isinstance(one, _PLAIN) and bool(one == other)


def _attributes(module: nn.Module) -> dict[str, Any]:
    plain = {name: value for name, value in sorted(vars(module).items()) if name not in _APART}
    return {**plain, " modules": dict(module._modules)}


def _inputs(fn: FunctionType) -> tuple[Any, ...]:
    return fn.__closure__, fn.__defaults__, fn.__kwdefaults__, id(fn.__globals__), vars(fn)
