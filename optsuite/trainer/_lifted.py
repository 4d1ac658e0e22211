"""One object of an optimizer class that steps several trials at once, made of objects of single trials.

The code of the class runs once a step, under `vmap`: parameters, gradients, state and the hyperparameters
that differ are batched tensors, which live as long as the object. What is equal in all trials, such as
counters, stays as it is. So that nothing is silently wrong, witnesses step beside it: objects of single
trials, two at the start and one later, which are others every 64 steps and must agree.
"""

from __future__ import annotations

import copy
import itertools
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from types import FunctionType
from typing import Any, TypeAlias, final

import torch
from torch import Tensor, nn, optim

from optsuite.noise import generator_states, generators_kept
from optsuite.optimizers import set_training
from optsuite.trainer._lift_mode import (
    CannotLiftError,
    LiftMode,
    as_number,
    batched,
    is_batched,
    is_number,
    level_of,
    stack_of,
)
from optsuite.trainer._network import is_alike
from optsuite.trainer._unit import Unit, of_torch

Make: TypeAlias = Callable[[int, list[Tensor]], Unit]
"""A function that makes the object of one trial, by its number, for parameters in some memory."""

# Witnesses are called anew after so many steps, and compared closely in the first of these.
_WINDOW, _CLOSE = 64, 8
# The next witness stands so many trials behind.
_STRIDE = 7
# Both agree if they differ by less than this share of how far they moved, and this share of their size.
_OF_MOVED, _OF_SIZE = 1e-3, 1e-6


@final
class LiftedUnit:
    """An object that steps several trials.

    Args:
        units: Objects of the single trials, not to be used afterwards.
        own: Parameters of all, (N, ...) each, in whose memory those of `units` lie.
        make: Makes objects of single trials.
        num_updates: Number of updates of the run.

    Raises:
        CannotLiftError: The objects cannot be made one; while stepping also: its steps do not agree with
            those of objects of single trials.
    """

    def __init__(self, units: Sequence[Unit], own: Sequence[Tensor], make: Make, num_updates: int) -> None:
        first = units[0]
        self.places = [place for unit in units for place in unit.places]
        self.takes_loss, self.has_modes = first.takes_loss, first.has_modes
        self._own, self._make, self._optimizer = own, make, first.optimizer
        self._num_draws, self._num_updates = first.num_draws, num_updates
        for unit in units:
            _check_plain(unit)
            _check_apart([vars(unit.optimizer), unit.params])
        with self._open() as (_, level):
            self._params = [nn.Parameter(batched(stack, level)) for stack in own]
            merged = _Merge(units, self._params, level)
            attributes = [_attributes(unit.optimizer) for unit in units]
            vars(self._optimizer).update(
                {name: merged([a.get(name) for a in attributes], name) for name in attributes[0]}
            )
            for group in self._optimizer.param_groups:
                if group.get("foreach", False) is not False:
                    group["foreach"] = False  # functions of lists take no numbers of single trials
            for k, param in enumerate(self._params):
                vars(param).update(merged([vars(unit.params[k]) for unit in units], f"parameter {k}"))
                if first.params[k].grad is not None:
                    param.grad = merged([unit.params[k].grad for unit in units], f"gradient {k}")
        self._witnesses: list[_Witness] = []
        self._close_until = 0  # number of the step from which on it is checked less often
        self._is_new, self._has_moved = True, False

    def step(self, grads: Sequence[Tensor], loss: Tensor) -> None:
        """Take one step of every trial.

        Args:
            grads: Gradients, (N, ...) each, into which the class may write.
            loss: Losses, (N,).
        """
        count = self._num_draws - 1
        if self._is_new or count % _WINDOW == 0:
            self._call_witnesses(count)
        is_close = count < self._close_until
        with generators_kept(self._own[0].device) if is_close else nullcontext():
            states = generator_states() if is_close else ()
            for witness in self._witnesses:
                witness.step(grads, loss)
            self._step(grads, loss)
            if is_close and generator_states() != states:
                raise CannotLiftError("it draws random numbers, which trials would share")
        if is_close or (count + 1) % _WINDOW == 0 or count + 1 == self._num_updates:
            self.check()

    def _call_witnesses(self, count: int) -> None:
        """Give some trials objects of their own, which step beside this one from now on."""
        self._is_new, self._close_until = False, count + _CLOSE
        with generators_kept(self._own[0].device):
            self._witnesses = [_Witness(self, n) for n in _sample(self.places, count)]

    def check(self) -> None:
        """Check that witnesses agree, and that nothing is lost when single trials are taken out of it.

        Raises:
            CannotLiftError: One of these is not so.
        """
        _check_apart([vars(self._optimizer), self._params])
        differ = [one for witness in self._witnesses for one in witness.differs(self._own)]
        if differ and torch.stack(differ).any():  # asked once: on a GPU the host waits for the answer
            raise CannotLiftError(
                "its steps for all trials at once are not those of an object of a single trial"
            )

    @contextmanager
    def _open(self) -> Iterator[tuple[LiftMode, int]]:
        size = len(self.places)
        with level_of(size) as level, LiftMode(size, level) as mode:
            yield mode, level

    def _step(self, grads: Sequence[Tensor], loss: Tensor) -> None:
        self._num_draws += 1
        step: Any = self._optimizer.step
        with self._open() as (mode, level):
            for param, grad in zip(self._params, grads, strict=True):
                param.grad = batched(grad, level)
            if self.takes_loss:
                step(loss=batched(loss, level))
            else:
                step()
        self._settle(mode)

    def _settle(self, mode: LiftMode) -> None:
        """Raise what the class caught, and copy parameters that have moved to where others read them."""
        if mode.error is not None:
            raise mode.error
        self._has_moved = self._has_moved or mode.has_rebound
        if self._has_moved:
            for param, stack in zip(self._params, self._own, strict=True):
                stack.copy_(stack_of(param))

    def set_training(self, *, is_training: bool) -> None:
        """Switch between the modes of training and of evaluation, if it has them."""
        for witness in self._witnesses:
            witness.set_training(is_training=is_training)
        with self._open() as (mode, _):
            set_training(self._optimizer, is_training=is_training)
        self._settle(mode)
        self.check()

    def facts(self, n: int, params: Sequence[nn.Parameter], *, are_copies: bool = False) -> dict[str, Any]:
        """Give all that decides the next steps of one trial, as its own object would.

        Args:
            n: Number of the trial.
            params: Parameters that are to stand where those of the trial stand.
            are_copies: Whether to copy tensors, which otherwise lie in the memory of all trials.
        """
        parted = _Part(n, self._params, params, are_copies=are_copies)
        facts = {name: parted(value, name) for name, value in _attributes(self._optimizer).items()}
        numbers = {param: f"parameter {k}" for k, param in enumerate(params)}
        facts["state"] = {numbers.get(key, key): value for key, value in facts["state"].items()}
        return {
            "optimizer": facts,
            "networks": {},
            "grads": [parted(param.grad, "grad") for param in self._params] if self.has_modes else [],
            "data": [],
            "attributes": [parted(vars(param), "param") for param in self._params],
            "num_draws": self._num_draws,
        }

    def params_of(self, n: int) -> list[nn.Parameter]:
        """Return the parameters of one trial, in the memory of all."""
        return [nn.Parameter(stack[n]) for stack in self._own]

    def singles(self) -> list[Unit]:
        """Make new objects of the single trials, in the memory of all."""
        return [self._make(n, [stack[n] for stack in self._own]) for n in range(len(self.places))]

    def remade(self, units: Sequence[Unit]) -> LiftedUnit:
        """Return one that is made of others of the same trials, in the same memory."""
        return LiftedUnit(units, self._own, self._make, self._num_updates)

    def alone(self, n: int, homes: list[Tensor]) -> Unit:
        """Make an object of one trial that goes on from here by itself.

        Args:
            n: Number of the trial.
            homes: Memory of its parameters, in which these are.
        """
        unit = self._make(n, homes)
        if self._num_draws > 1:
            unit.load(**self.facts(n, unit.params, are_copies=True))
        return unit


class _Witness:
    """The object of one trial, which steps beside the lifted one on parameters of its own."""

    def __init__(self, lifted: LiftedUnit, n: int) -> None:
        self._n = n
        self._start = [stack[n].clone() for stack in lifted._own]
        self._homes = [start.clone() for start in self._start]
        self._unit = lifted.alone(n, self._homes)

    def step(self, grads: Sequence[Tensor], loss: Tensor) -> None:
        own = [grad[self._n].clone() for grad in grads]
        self._unit.step(own, loss[self._n].clone(), may_draw=False)

    def set_training(self, *, is_training: bool) -> None:
        self._unit.set_training(is_training=is_training)

    def differs(self, own: Sequence[Tensor]) -> Iterator[Tensor]:
        """Tell of each parameter whether it is another than the lifted one, unless both diverge: (), bool."""
        for start, home, stack in zip(self._start, self._homes, own, strict=True):
            lifted = stack[self._n]
            norm = torch.linalg.vector_norm
            allowed = _OF_MOVED * norm(home - start) + _OF_SIZE * norm(home)
            is_any_finite = home.isfinite().all() | lifted.isfinite().all()
            yield ~(norm(lifted - home) <= allowed) & is_any_finite


def _sample(places: Sequence[tuple[int, int]], count: int) -> list[int]:
    """Choose two trials at the start, of different seeds and configs where there are several; later one."""
    if count:
        return [(count // _WINDOW * _STRIDE) % len(places)]
    seeds, configs = sorted({s for s, _ in places}), sorted({h for _, h in places})
    pairs = ((seeds[0], configs[len(configs) // 3]), (seeds[-1], configs[2 * len(configs) // 3]))
    return sorted({places.index(pair) for pair in pairs})


def _check_plain(unit: Unit) -> None:
    if unit.networks.modules:
        raise CannotLiftError("it keeps a network")
    if unit.has_hooks:
        raise CannotLiftError("it has hooks on parameters or clears gradients itself")
    if any(
        isinstance(value, Mapping) and value
        for name, value in vars(unit.optimizer).items()
        if name in of_torch()
    ):
        raise CannotLiftError("it has hooks on its steps")


def _check_apart(tree: object) -> None:
    """Refuse tensors that share memory, since what one trial has of them would no longer."""
    end = 0
    for first, last in sorted(map(_span, _tensors(tree, set()))):
        if first < end:
            raise CannotLiftError("it keeps tensors that share memory")
        end = last


def _span(tensor: Tensor) -> tuple[int, int]:
    """Return the addresses between which a tensor lies, that of the first trial where it is batched."""
    one = stack_of(tensor)[0] if is_batched(tensor) else tensor
    length = 1 + sum((size - 1) * stride for size, stride in zip(one.shape, one.stride(), strict=True))
    return one.data_ptr(), one.data_ptr() + length * one.element_size()


def _tensors(node: object, met: set[int]) -> Iterator[Tensor]:
    """Give the strided tensors in containers, each once."""
    if id(node) in met:
        return
    met.add(id(node))
    if isinstance(node, Tensor):
        if node.layout == torch.strided and node.numel():
            yield node
    elif isinstance(node, Mapping):
        for key, value in node.items():
            yield from _tensors(key, met)
            yield from _tensors(value, met)
    elif isinstance(node, list | tuple | deque):
        for value in node:
            yield from _tensors(value, met)


def _attributes(optimizer: optim.Optimizer) -> dict[str, Any]:
    return {name: value for name, value in vars(optimizer).items() if name not in of_torch()}


class _Merge:
    """Makes one value of those of all trials."""

    def __init__(self, units: Sequence[Unit], params: Sequence[nn.Parameter], level: int) -> None:
        self._numbers = {id(param): k for unit in units for k, param in enumerate(unit.params)}
        self._params, self._level = params, level
        self._met: dict[tuple[int, ...], tuple[Any, Sequence[Any]]] = {}

    def __call__(self, values: Sequence[Any], path: str) -> Any:  # noqa: ANN401 - any attribute
        key = tuple(map(id, values))
        if key not in self._met:
            self._met[key] = self._merged(values, path), values  # held: ids are given to others
        return self._met[key][0]

    def _merged(self, values: Sequence[Any], path: str) -> Any:  # noqa: ANN401 - any attribute
        first = values[0]
        if (number := self._numbers.get(id(first))) is not None:
            if {self._numbers.get(id(value)) for value in values} == {number}:
                return self._params[number]
            raise _differ(path)
        if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
            return self._number(values)
        if len({type(value) for value in values}) > 1:
            raise _differ(path)
        match first:
            case Tensor():
                return self._tensor(values, path)
            case dict():
                return self._dict(values, path)
            case list() | tuple() | deque():
                return self._sequence(values, path)
        if isinstance(first, FunctionType) and first.__closure__:
            raise CannotLiftError(f"it keeps a function in `{path}` that may remember")
        if all(value is first or is_alike(value, first, {}) for value in values):
            return first
        raise _differ(path)

    def _number(self, values: Sequence[float]) -> float | Tensor:
        if all(value == values[0] and type(value) is type(values[0]) for value in values):
            return values[0]
        stack = torch.tensor(values, dtype=torch.float64, device=self._params[0].device)
        return as_number(batched(stack, self._level))

    def _tensor(self, values: Sequence[Tensor], path: str) -> Tensor:
        first = values[0]
        if all(value is first for value in values):
            return first
        if len({(type(value), value.shape, value.dtype, value.device) for value in values}) > 1:
            raise _differ(path)
        if isinstance(first, nn.Parameter) or first.layout != torch.strided:
            raise CannotLiftError(f"it keeps a `{type(first).__name__}` of its own in `{path}`")
        parts = [value.detach() for value in values]
        gaps = _gaps(parts)
        if gaps == {0}:
            return first
        if len(gaps) == 1:  # what was loaded goes on in the layout that it had, which may decide sums
            (gap,), start = gaps, first.storage_offset()
            stack = first.as_strided((len(parts), *first.shape), (gap, *first.stride()), start)
        elif first.ndim == 0 and all(bool(part == first) for part in parts):
            return first
        else:
            stack = torch.stack(parts)
        return batched(stack.detach(), self._level)

    def _dict(self, values: Sequence[dict[Any, Any]], path: str) -> dict[Any, Any]:
        keys = [[self._numbers.get(id(key), key) for key in value] for value in values]
        if any(one != keys[0] for one in keys):
            raise _differ(path)
        merged = copy.copy(values[0])
        merged.clear()
        for key, *parts in zip(values[0], *(value.values() for value in values), strict=True):
            number = self._numbers.get(id(key))
            merged[key if number is None else self._params[number]] = self(
                parts, f"{path}[{key!r}]" if number is None else path
            )
        return merged

    def _sequence(self, values: Sequence[Any], path: str) -> Any:  # noqa: ANN401 - of their type
        if len({len(value) for value in values}) > 1:
            raise _differ(path)
        parts = [self(part, f"{path}[{i}]") for i, part in enumerate(zip(*values, strict=True))]
        return _like(values[0], parts)


def _gaps(parts: Sequence[Tensor]) -> set[int]:
    """Return the distances from part to part in the memory that they share; nothing if they share none."""
    places = {(part.untyped_storage()._cdata, part.stride()) for part in parts}
    offsets = [int(part.storage_offset()) for part in parts]
    return {b - a for a, b in itertools.pairwise(offsets)} if len(places) == 1 else set()


class _Part:
    """Takes the part of one trial out of a value of all trials."""

    def __init__(
        self, n: int, params: Sequence[nn.Parameter], own: Sequence[nn.Parameter], *, are_copies: bool
    ) -> None:
        self._n, self._are_copies = n, are_copies
        self._met: dict[int, Any] = {id(param): one for param, one in zip(params, own, strict=True)}

    def __call__(self, value: Any, path: str) -> Any:  # noqa: ANN401 - any attribute
        if id(value) not in self._met:
            self._met[id(value)] = self._part(value, path)
        return self._met[id(value)]

    def _part(self, value: Any, path: str) -> Any:  # noqa: ANN401 - any attribute
        match value:
            case Tensor():
                return self._tensor(value)
            case dict():
                part = copy.copy(value)
                part.clear()
                part.update({self._met.get(id(k), k): self(v, f"{path}[{k!r}]") for k, v in value.items()})
                return part
            case list() | tuple() | deque():
                return _like(value, [self(one, f"{path}[{i}]") for i, one in enumerate(value)])
        try:
            return copy.deepcopy(value) if self._are_copies else value
        except Exception as error:
            raise CannotLiftError(f"it keeps a `{type(value).__name__}` in `{path}`") from error

    def _tensor(self, value: Tensor) -> Any:  # noqa: ANN401 - a number or a tensor
        part = stack_of(value)[self._n] if is_batched(value) else value
        if is_number(value):
            return part.item()
        return part.clone() if self._are_copies else part


def _like(model: Any, parts: list[Any]) -> Any:  # noqa: ANN401 - of its type
    """Return a sequence of the type of another."""
    if isinstance(model, deque):
        return deque(parts, model.maxlen)
    return type(model)(*parts) if hasattr(model, "_fields") else type(model)(parts)


def _differ(path: str) -> CannotLiftError:
    return CannotLiftError(f"its trials differ in `{path}` by more than numbers")
