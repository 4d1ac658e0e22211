"""Functions whose inner results are computed again for the gradient, instead of being remembered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.func import vjp
from torch.utils._pytree import tree_flatten, tree_unflatten


def recomputed(fn: Callable[..., Any], *args: Any) -> Any:  # noqa: ANN401 - whatever `fn` takes and gives
    """Call a function such that its gradient remembers its arguments alone, and calls it again.

    It works under the transforms of `torch.func`, which `torch.utils.checkpoint` does not.

    Args:
        fn: A pure function of pytrees of tensors.
        args: Its arguments; tensors that it closes over get no gradient.

    Example:
        >>> from torch.func import grad
        >>> grad(lambda x: recomputed(torch.sin, x))(torch.tensor(0.0))
        tensor(1.)
    """
    leaves, spec = tree_flatten(args)
    specs = []

    def flat(*leaves: Tensor) -> tuple[Tensor, ...]:
        results, spec_of_results = tree_flatten(fn(*tree_unflatten(leaves, spec)))
        specs.append(spec_of_results)
        return tuple(results)

    results = _Recomputed.apply(flat, *leaves)
    return tree_unflatten(results, specs[0])


class _Recomputed(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(fn: Callable[..., tuple[Tensor, ...]], *leaves: Tensor) -> tuple[Tensor, ...]:
        return fn(*leaves)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:  # noqa: ANN401
        ctx.fn, ctx.is_float_output = inputs[0], [tensor.is_floating_point() for tensor in output]
        ctx.save_for_backward(*inputs[1:])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401 - as torch types it
        fn: Callable[..., tuple[Tensor, ...]] = ctx.fn
        leaves: tuple[Tensor, ...] = ctx.saved_tensors
        grads = _where(ctx.is_float_output, grads)
        is_float = [leaf.is_floating_point() for leaf in leaves]

        def pulled(*args: Tensor) -> tuple[Tensor, ...]:
            leaves, grads = args[: len(is_float)], args[len(is_float) :]

            def of_floats(*floats: Tensor) -> tuple[Tensor, ...]:
                rest = iter(floats)
                outputs = fn(*(next(rest) if f else leaf for f, leaf in zip(is_float, leaves, strict=True)))
                return _where(ctx.is_float_output, outputs)

            found: tuple[Tensor, ...] = vjp(of_floats, *_where(is_float, leaves))[1](grads)
            return found

        # `torch.func` keeps what a second derivative needs: of this, too, the arguments alone.
        found = iter(_Recomputed.apply(pulled, *leaves, *grads))
        return None, *(next(found) if f else None for f in is_float)


def _where(is_chosen: list[bool], tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(tensor for tensor, chosen in zip(tensors, is_chosen, strict=True) if chosen)
