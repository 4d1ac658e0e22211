"""Tries optimizer classes out in a small plain loop, before anything is trained with them."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn, optim

from optsuite.errors import HParamError, in_words
from optsuite.noise import generators_kept, seed_generators
from optsuite.optimizers._backward import deliver, has_hooks
from optsuite.optimizers._import_path import (
    check_argument_names,
    constructor_arguments,
    import_optimizer,
    set_training,
    takes_loss,
)
from optsuite.optimizers._shared_state import shared_state

# Number of updates that a class is told of if it asks; and of those after which parameters must have moved.
_SOME_UPDATES, _MANY_UPDATES = 100, 1000

_SMALL = ((2, 2),)
_OF_BOTH_KINDS = ((2, 2), (2,))
_OTHERS = ((3,), (16, 16), (4, 3, 3, 3))

_TRIED: set[tuple[type, frozenset[str]]] = set()
"""Classes, with the names of arguments, of which two objects were seen to leave each other alone."""


def check_arguments(path: str, hparams: Mapping[str, Any]) -> None:
    """Check that a class can be made with some arguments, and steps as in a plain loop.

    It may ask for the loss, a detached 0-d tensor, and the number of updates, as `takes_loss` and
    `constructor_arguments` say. It has to step without a closure and second derivatives, to move something
    in a thousand steps, and to keep what it remembers in its objects.

    Args:
        path: As for `import_optimizer`.
        hparams: Arguments of the constructor, besides the parameters.

    Raises:
        HParamError: The class cannot be imported, made or stepped, ends the process, moves nothing, or shares
            state between its objects.
    """
    check_argument_names(path, hparams)
    cls = import_optimizer(path)
    with warnings.catch_warnings(), generators_kept(), torch.no_grad():
        warnings.simplefilter("ignore")  # they belong to the training
        try:
            _try_out(path, cls, constructor_arguments(cls, hparams, _SOME_UPDATES), frozenset(hparams))
        except SystemExit as error:
            raise HParamError(
                f"`{path}` ends the process where it is made or steps ({in_words(error)}): raise an error "
                "that says what is wrong"
            ) from error


def _try_out(path: str, cls: type[optim.Optimizer], given: Mapping[str, Any], names: frozenset[str]) -> None:
    try:
        loop = _small_loop(cls, given)
    except Exception as error:
        words = ", ".join(f"{key}={value!r}" for key, value in given.items()) or "its defaults"
        raise HParamError(f"`{path}` cannot be made with {words} ({in_words(error)})") from error
    try:
        loop.step()
    except Exception as error:  # noqa: BLE001 - whatever it is
        _refuse_if_it_always_fails(path, cls, given, error)
        return  # what else it may not like of so small a matrix is no reason to refuse it
    if given.get("lr") != 0 and not loop.has_moved:
        _check_moves(path, cls, given)
    if (cls, names) not in _TRIED:
        _check_alone(path, cls, given)
        _TRIED.add((cls, names))


def takes_matrices_only(path: str, hparams: Mapping[str, Any]) -> bool:
    """Whether a class can be made for a matrix, and for no vector.

    Args:
        path: As for `import_optimizer`.
        hparams: Arguments of the constructor, besides the parameters.

    Example:
        >>> takes_matrices_only("torch.optim:Muon", {}), takes_matrices_only("torch.optim:SGD", {})
        (True, False)
    """
    cls = import_optimizer(path)
    given = constructor_arguments(cls, hparams, _SOME_UPDATES)
    with warnings.catch_warnings(), generators_kept():
        warnings.simplefilter("ignore")
        return _can_be_made(cls, given, (2, 2)) and not _can_be_made(cls, given, (2,))


def _can_be_made(cls: type[optim.Optimizer], given: Mapping[str, Any], shape: tuple[int, ...]) -> bool:
    with suppress(Exception, SystemExit):
        _Loop(cls, given, (shape,))
        return True
    return False


class _Loop:
    """A plain loop over small parameters that approach others, with all generators seeded."""

    def __init__(
        self,
        cls: type[optim.Optimizer],
        given: Mapping[str, Any],
        shapes: tuple[tuple[int, ...], ...] = _SMALL,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        seed_generators(0)
        # Zeros, which the smallest step moves, and others, which change at rates that are factors.
        starts = [torch.linspace(-2, 2, torch.Size(shape).numel(), dtype=dtype) for shape in shapes]
        starts = [start.view(shape).clamp_min(-1) for start, shape in zip(starts, shapes, strict=True)]
        for start in starts:
            start.flatten()[1] = 0
        self._starts = starts
        self._targets = [start.flip(0) + 1.5 for start in starts]
        self.params = [nn.Parameter(start.clone()) for start in starts]
        self._optimizer = cls(self.params, **given)
        self._takes_loss = takes_loss(cls)

    @torch.enable_grad()
    def loss(self, params: Sequence[Tensor] | None = None) -> Tensor:
        """Compute the loss, with its graph, at the parameters or at others."""
        errors = (p - target for p, target in zip(params or self.params, self._targets, strict=True))
        return torch.stack([(error.square() + error.pow(4)).sum() / 20 for error in errors]).sum()

    def step(self, *, by_hand: bool = False, loss: object = None, **kwargs: Any) -> None:  # noqa: ANN401
        """Take a step, by the gradients of a backward pass, or by those that the trainer would give."""
        set_training(self._optimizer, is_training=True)
        value = self._backward(by_hand=by_hand, create_graph=kwargs.pop("create_graph", False))
        step: Any = self._optimizer.step
        step(**({"loss": value if loss is None else loss} if self._takes_loss else {}), **kwargs)

    def _backward(self, *, by_hand: bool = False, create_graph: bool = False) -> Tensor:
        if by_hand:
            copies = [param.detach().requires_grad_() for param in self.params]  # which have no hooks
            loss = self.loss(copies)
            grads = [
                grad if param.requires_grad else None
                for param, grad in zip(self.params, torch.autograd.grad(loss, copies), strict=True)
            ]
            if has_hooks(self._optimizer, self.params):
                deliver(self._optimizer, self.params, grads)
            else:
                for param, grad in zip(self.params, grads, strict=True):
                    param.grad = grad
        else:
            loss = self.loss()
            self._optimizer.zero_grad()
            loss.backward(create_graph=create_graph)  # type: ignore[no-untyped-call]
        return loss.detach()

    def step_by_closure(self) -> None:
        """Take a step in which the optimizer itself calls for the backward pass."""
        self.step(closure=self._backward)

    def can_step(self, **kwargs: Any) -> bool:  # noqa: ANN401 - as for `step`
        """Tell whether it takes a step."""
        with suppress(Exception):
            self.step(**kwargs)
            return True
        return False

    def switch(self) -> None:
        """Evaluate and go on."""
        set_training(self._optimizer, is_training=False)
        set_training(self._optimizer, is_training=True)

    @property
    def has_moved(self) -> bool:
        return any(not torch.equal(p, start) for p, start in zip(self.params, self._starts, strict=True))


def _small_loop(cls: type[optim.Optimizer], given: Mapping[str, Any]) -> _Loop:
    """Make a loop over a matrix, or over a vector as well where a class wants some of each kind."""
    try:
        return _Loop(cls, given)
    except Exception:
        with suppress(Exception):
            return _Loop(cls, given, _OF_BOTH_KINDS)
        raise


def _refuse_if_it_always_fails(
    path: str, cls: type[optim.Optimizer], given: Mapping[str, Any], error: Exception
) -> None:
    """Raise if the error of a step lies in what every task does."""
    words, cannot = in_words(error), "such optimizers cannot be used here"
    if takes_loss(cls) and _can_step_by_another_loss(cls, given):
        raise HParamError(
            f"`{path}` cannot step by the loss that it is given ({words}): `loss` is a "
            "detached 0-d tensor, so take gradients from parameters, and a number by `loss.item()`"
        ) from error
    if "closure" in str(error) or "'NoneType' object is not callable" in str(error):
        raise HParamError(
            f"`{path}` cannot step without a closure that computes the loss ({words}): {cannot}"
        ) from error
    if "dense gradients" in str(error):
        raise HParamError(f"`{path}` steps by sparse gradients alone, which no task has ({words}): {cannot}")
    if _can_step(cls, given, create_graph=True):
        raise HParamError(
            f"`{path}` cannot step without second derivatives, by gradients with a graph of their own "
            f"({words}): {cannot}"
        ) from error
    if isinstance(error, TypeError):
        raise HParamError(f"`{path}` cannot step ({words}): {cannot}") from error


def _can_step_by_another_loss(cls: type[optim.Optimizer], given: Mapping[str, Any]) -> bool:
    """Tell whether an object takes a step by a float, or by a loss that knows its parameters."""
    with suppress(Exception):
        loop = _small_loop(cls, given)
        return _can_step(cls, given, loss=2.0) or loop.can_step(loss=loop.loss())
    return False


def _can_step(cls: type[optim.Optimizer], given: Mapping[str, Any], **kwargs: Any) -> bool:  # noqa: ANN401
    with suppress(Exception):
        return _small_loop(cls, given).can_step(**kwargs)
    return False


def _check_moves(path: str, cls: type[optim.Optimizer], given: Mapping[str, Any]) -> None:
    """Refuse a class that leaves every parameter where it is, whatever its shape and precision."""
    kinds = list(itertools.product((_SMALL, _OTHERS), (torch.float64, torch.float32)))
    if any(_moves(cls, given, *kind, num_steps) for num_steps in (10, _MANY_UPDATES) for kind in kinds):
        return
    if any(_moves(cls, given, *kind, 10, by_closure=True) for kind in kinds):
        raise HParamError(
            f"`{path}` moves no parameter without a closure that computes the loss: such optimizers cannot "
            "be used here; let `step()` go by the gradients that are there"
        )
    raise HParamError(
        f"`{path}` moves no parameter in {_MANY_UPDATES} steps of a plain loop, after each backward pass: "
        "let `step()` write into the parameters that the constructor is given"
    )


def _moves(
    cls: type[optim.Optimizer],
    given: Mapping[str, Any],
    shapes: tuple[tuple[int, ...], ...],
    dtype: torch.dtype,
    num_steps: int,
    *,
    by_closure: bool = False,
) -> bool:
    """Tell whether an object moves its parameters; one that fails may move those of a task."""
    try:
        loop = _Loop(cls, given, shapes, dtype)
        for _ in range(num_steps):
            loop.step_by_closure() if by_closure else loop.step()
            if loop.has_moved:
                return True
    except Exception:  # noqa: BLE001 - what it is, the task will tell
        return not by_closure
    return False


def _check_alone(path: str, cls: type[optim.Optimizer], given: Mapping[str, Any]) -> None:
    """Refuse a class of which one object does not step as another did before it, from the same seeds.

    What an object fills once, such as a table for all of them, is no state.
    """
    try:
        _, after_first, first = _run(cls, given), shared_state(cls), _run(cls, given)
        after_second, second = shared_state(cls), _run(cls, given, by_hand=True)
    except Exception:  # noqa: BLE001 - as for a first step
        return
    for name in after_first.keys() | after_second.keys():
        if after_first.get(name) != after_second.get(name):
            raise HParamError(
                f"`{path}` changes `{name}`, which all its objects share, so that trials would disturb one "
                "another: keep it in the object (`self`) or in its `state`"
            )
    if not all(torch.equal(a, b) or bool(a.isnan().any()) for a, b in zip(first, second, strict=True)):
        raise HParamError(
            f"`{path}` steps otherwise when it is made again and given the same gradients: it draws from a "
            "generator that no seed fixes, or its objects share something; draw from the global generators "
            "of torch, NumPy and Python, which are the trial's, and keep the rest in the object (`self`)"
        )


def _run(cls: type[optim.Optimizer], given: Mapping[str, Any], *, by_hand: bool = False) -> list[Tensor]:
    loop = _small_loop(cls, given)
    for _ in range(3):
        loop.step(by_hand=by_hand)
    loop.switch()
    return [param.detach() for param in loop.params]
