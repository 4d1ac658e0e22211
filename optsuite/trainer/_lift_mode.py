"""The calls of optimizer classes under `vmap`: what it cannot batch is rewritten."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, final

import torch
from torch import Tensor, nn
from torch._functorch import vmap as functorch_vmap
from torch.overrides import TorchFunctionMode

_Kwargs = Mapping[str, Any]

# These want numbers of single trials to be of the type of the other tensors.
_OF_ONE_TYPE = {"lerp", "lerp_", "where", "maximum", "minimum", "copysign", "copysign_", "fill_"}
_OF_ONE_TYPE |= {f"{name}{end}" for name in ("clamp", "clip", "clamp_min", "clamp_max") for end in ("", "_")}
_SUMS = {"add", "add_", "sub", "sub_", "subtract", "subtract_"}
_QUOTIENTS = {"addcmul", "addcmul_", "addcdiv", "addcdiv_"}
_PRODUCTS = {f"{name}{end}" for name in ("addmm", "addmv", "addr", "addbmm", "baddbmm") for end in ("", "_")}
# What operators call, whose results are numbers if all that they are given are.
_IN_PLACE_OPERATORS = {
    f"{name}_" for name in ("add", "sub", "mul", "div", "floor_divide", "remainder", "pow")
}
_OPERATORS = {name[:-1] for name in _IN_PLACE_OPERATORS} | {"neg", "abs", "positive", "__floordiv__"}
_OPERATORS |= {f"__r{name}__" for name in ("add", "sub", "mul", "div", "truediv", "floordiv", "mod", "pow")}
_MARK = "_stands_for_numbers"
# These would run trial by trial in place, ten times slower than out of place.
_SLOW_IN_PLACE = {"addcmul_", "addcdiv_", "addmm_", "lerp_", "clamp_", "hypot_", "square_"}
# New memory; and what changes the gradients that the next steps are given.
_REFUSED = {"set_", "resize_", "resize_as_", "register_hook", "register_post_accumulate_grad_hook"}

_data: Any = Tensor.data  # which types take for a tensor
_requires_grad: Any = Tensor.requires_grad
_functorch: Any = torch._C._functorch


class CannotLiftError(Exception):
    """An optimizer class whose objects cannot step several trials at once; says why in words."""


@contextmanager
def level_of(size: int) -> Iterator[int]:
    """Open the level of `vmap` at which batched tensors of that size live.

    Batched tensors outlive it, and are the same again whenever the level is open.
    """
    functorch_vmap.lazy_load_decompositions()  # type: ignore[attr-defined]
    _functorch._set_vmap_fallback_warning_enabled(False)
    level = _functorch._vmap_increment_nesting(size, "error")
    try:
        if level != 1:
            raise RuntimeError("optimizer objects are stepped outside of other transformations only")
        yield level
    finally:
        _functorch._vmap_decrement_nesting()
        _functorch._set_vmap_fallback_warning_enabled(True)  # as torch begins; nobody can ask


def batched(stack: Tensor, level: int) -> Tensor:
    """Return the tensor of one trial that stands for all, in the memory of their stack, (N, ...)."""
    tensor: Tensor = _functorch._add_batch_dim(stack, 0, level)
    return tensor


def is_batched(value: object) -> bool:
    """Tell whether a value is a tensor that stands for those of all trials."""
    return isinstance(value, Tensor) and _functorch.is_batchedtensor(value)


def as_number(tensor: Tensor) -> Tensor:
    """Say of a 0-d tensor that it stands for numbers of Python, which no operation changes in place."""
    vars(tensor)[_MARK] = True
    return tensor


def is_number(value: object) -> bool:
    """Tell whether a value stands for numbers of Python."""
    return isinstance(value, Tensor) and _MARK in vars(value)


def stack_of(tensor: Tensor) -> Tensor:
    """Return the stack of all trials, (N, ...), in whose memory a batched tensor lies."""
    axis = _functorch.maybe_get_bdim(tensor)
    stack: Tensor = _functorch.get_unwrapped(tensor).detach()
    return stack.movedim(axis, 0)


@final
class LiftMode(TorchFunctionMode):
    """Rewrites calls that `vmap` cannot batch, with the same results but for rounding.

    A number of single trials that is a factor becomes a product, functions of lists are taken apart, a tensor
    that is equal in all trials is given a copy for each before it is changed by theirs, and a decision that
    all trials take alike is taken.

    Args:
        size: Number of trials.
        level: The level of `vmap`.

    Raises:
        CannotLiftError: A call has no such form.
    """

    def __init__(self, size: int, level: int) -> None:
        super().__init__()
        self._size, self._level = size, level
        self.has_rebound = False  # whether a tensor was given the memory of another one
        self.error: Exception | None = None  # the first that was raised, whoever caught it

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: _Kwargs | None = None,
    ) -> Any:  # noqa: ANN401 - whatever the function gives
        try:
            return self._call(func, list(args), dict(kwargs or {}))
        except Exception as error:
            self.error = self.error or error
            raise

    def _call(self, func: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> Any:  # noqa: ANN401
        name: str = func.__name__
        if func == _data.__get__:
            return args[0].detach()
        if func == _data.__set__ and any(map(is_batched, args)):
            return self._rebind(*args)
        if name == "item" and is_batched(args[0]):
            return as_number(args[0].reshape(()).to(torch.float64, copy=True))
        if name == "__bool__" and is_batched(args[0]) and args[0].numel() == 1:
            return _decision(args[0])
        if isinstance(kwargs.get("out"), Tensor):
            return self._write(func, args, kwargs)
        if name.startswith("_foreach_"):
            return self._each(name.removeprefix("_foreach_"), args, kwargs)
        is_in_place = name.endswith("_") and not name.endswith("__")
        if name in _IN_PLACE_OPERATORS and is_number(args[0]):  # `lr *= 0.5` makes another number
            return self._call(getattr(Tensor, name[:-1]), args, kwargs)
        if name in _REFUSED:
            raise CannotLiftError(f"it calls `{name}`")
        if (name == "requires_grad_" or func == _requires_grad.__set__) and isinstance(args[0], nn.Parameter):
            raise CannotLiftError("it freezes parameters")
        if name in _SUMS:
            _multiply(args, kwargs, "alpha", 2)
        elif name in _QUOTIENTS:
            _multiply(args, kwargs, "value", 3)
        elif name in _PRODUCTS:
            _multiply(args, kwargs, "alpha", 3)
        elif name in _OF_ONE_TYPE:
            _give_type(args, kwargs)
        if is_in_place or name == "__setitem__":
            self._make_room(args, kwargs)
        if name in _SLOW_IN_PLACE and is_batched(args[0]):
            return args[0].copy_(getattr(torch, name[:-1])(*args, **kwargs))
        result = func(*args, **kwargs)
        return as_number(result) if name in _OPERATORS and _are_numbers(args) else result

    def _write(self, func: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> Tensor:
        """Compute what is to be written into a tensor, and write it."""
        out: Tensor = kwargs.pop("out")
        result = self._call(func, args, kwargs)
        if result.shape != out.shape:
            raise CannotLiftError("it writes into a tensor of another shape")
        self._call(Tensor.copy_, [out, result], {})
        return out

    def _rebind(self, target: Tensor, value: Tensor) -> None:
        """Give a tensor the memory of another one; views keep what it had."""
        self.has_rebound = True
        if not is_batched(value):
            value = batched(value.detach().expand(self._size, *value.shape).clone(), self._level)
        if (value.shape, value.dtype, value.device) != (target.shape, target.dtype, target.device):
            raise CannotLiftError("it gives a tensor another shape or type")
        other = value.detach()
        if isinstance(target, nn.Parameter):
            other = nn.Parameter(other, requires_grad=target.requires_grad)
        other.grad = target.grad
        vars(other).update(vars(target))
        self._swap(target, other)

    def _swap(self, target: Tensor, other: Tensor) -> None:
        """Make a tensor another one, for all who hold it."""
        try:
            torch.utils.swap_tensors(target, other)  # type: ignore[no-untyped-call]
        except RuntimeError as error:
            raise CannotLiftError("it replaces a tensor of which it keeps views") from error

    def _make_room(self, args: Sequence[Any], kwargs: _Kwargs) -> None:
        """Give every trial a copy of a tensor that is about to be changed by tensors of theirs."""
        target = args[0]
        if (
            isinstance(target, Tensor)
            and not is_batched(target)
            and any(map(is_batched, (*args, *kwargs.values())))
        ):
            if target._is_view():
                raise CannotLiftError("it changes a view of a tensor that is equal in all trials")
            stack = target.detach().expand(self._size, *target.shape).clone()
            self._swap(target, batched(stack, self._level))

    def _each(self, name: str, args: Sequence[Any], kwargs: _Kwargs) -> list[Any]:
        """Call the function of single tensors that a function of lists stands for."""
        lists = [arg for arg in (*args, *kwargs.values()) if isinstance(arg, list | tuple)]
        func, order = _single(name)
        named = dict(zip(order, args, strict=False)) | dict(kwargs)
        results = []
        for i in range(len(lists[0])):
            one = {key: arg[i] if isinstance(arg, list | tuple) else arg for key, arg in named.items()}
            positional = [one.pop(key) for key in order if key in one and key not in ("alpha", "value")]
            results.append(self._call(func, positional, one))
        return results


def _are_numbers(args: Sequence[Any]) -> bool:
    tensors = [arg for arg in args if isinstance(arg, Tensor)]
    return bool(tensors) and all(map(is_number, tensors))


def _decision(condition: Tensor) -> bool:
    """Return the decision that all trials take."""
    decisions = stack_of(condition).bool()
    do_all, do_any = torch.stack((decisions.all(), decisions.any())).tolist()
    if do_all != do_any:
        raise CannotLiftError("it decides by numbers of single trials")
    return bool(do_all)


def _single(name: str) -> tuple[Callable[..., Any], Sequence[str]]:
    """Return the function of single tensors, and the names of the arguments of that of lists, in order."""
    order = ["self", "other", "alpha"]
    if name.rstrip("_") in ("addcmul", "addcdiv"):
        order = ["self", "tensor1", "tensor2", "value"]
    elif name.rstrip("_") in ("lerp", "clamp"):
        order = ["self", "end", "weight"]
    func: Callable[..., Any] | None = getattr(Tensor, name, None)
    if name == "pow":  # whose base may be a number
        func = torch.pow
    elif name == "norm":
        func = torch.linalg.vector_norm
    elif name in ("maximum_", "minimum_"):
        func = _in_place(getattr(torch, name[:-1]))
    elif func is None:
        func = getattr(torch, name, None)
    if func is None:
        raise CannotLiftError(f"it calls `torch._foreach_{name}`")
    return func, order


def _in_place(func: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def write_(target: Tensor, *args: Any) -> Tensor:  # noqa: ANN401 - as `func`
        return target.copy_(func(target, *args))

    return write_


def _multiply(args: list[Any], kwargs: dict[str, Any], key: str, count: int) -> None:
    """Turn a factor of single trials into a product with the argument after the first.

    Args:
        args: `count` of them, or one more where the factor is given by position.
        kwargs: The others.
        key: The factor's name.
        count: Number of arguments without the factor.
    """
    if is_batched(kwargs.get(key)):
        factor = kwargs.pop(key)
    elif len(args) == count + 1 and is_batched(args[1]) and args[1].ndim == 0:
        factor = args.pop(1)  # an older form: `p.add_(-lr, grad)`
    else:
        return
    if is_batched(kwargs.get("beta")):
        raise CannotLiftError(
            "it multiplies a matrix product and what that is added to by its hyperparameters"
        )
    args[1] = args[1] * factor


def _give_type(args: list[Any], kwargs: dict[str, Any]) -> None:
    """Convert numbers of single trials to the type of the other tensors."""
    tensors = [
        arg for arg in (*args, *kwargs.values()) if isinstance(arg, Tensor) and arg.is_floating_point()
    ]
    wide = next((tensor.dtype for tensor in tensors if tensor.ndim), None)

    def typed(arg: Any) -> Any:  # noqa: ANN401 - any argument
        is_scalar = is_batched(arg) and arg.ndim == 0 and arg.is_floating_point()
        return arg.to(wide) if is_scalar and wide is not None else arg

    args[:] = map(typed, args)
    kwargs.update({key: typed(arg) for key, arg in kwargs.items()})
