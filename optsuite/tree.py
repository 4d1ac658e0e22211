"""Maps over dicts of tensors."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from optsuite._types import Params


def tree_map(fn: Callable[..., Tensor], tree: Params, *rest: Params) -> Params:
    """Apply `fn` to the tensors that share a name.

    Args:
        fn: Function of one tensor from `tree` and one from each of `rest`.
        tree: Dict that has the names of the result, in their order.
        rest: Dicts with at least the same names.

    Returns:
        A new dict with the names of `tree`.
    """
    return {name: fn(leaf, *(other[name] for other in rest)) for name, leaf in tree.items()}
