"""Functions whose inner results are computed again for the gradient, instead of being remembered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.func import grad
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
        leaves, fn, is_float_output = ctx.saved_tensors, ctx.fn, ctx.is_float_output
        floats = tuple(number for number, leaf in enumerate(leaves) if leaf.is_floating_point())

        def pulled(*args: Tensor) -> tuple[Tensor, ...]:
            leaves, grads = args[: len(args) - len(is_float_output)], args[-len(is_float_output) :]

            def weighted(*leaves: Tensor) -> Tensor:
                pairs = zip(fn(*leaves), grads, is_float_output, strict=True)
                return torch.stack([(result * g).sum() for result, g, is_float in pairs if is_float]).sum()

            found: tuple[Tensor, ...] = grad(weighted, floats)(*leaves)
            return found

        # `torch.func` keeps what a second derivative needs: of this, too, the arguments alone.
        found = dict(zip(floats, _Recomputed.apply(pulled, *leaves, *grads), strict=True))
        return None, *(found.get(number) for number in range(len(leaves)))
