"""The roles of parameters in a network, and the matrices that rules for matrices see in them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, TypeAlias, get_args

from optsuite.errors import HParamError
from optsuite.optimizers._blocks import Shape

Role: TypeAlias = Literal["input", "hidden", "heads", "output", "other"]
"""Part that a parameter plays in its network.

`input`: the weight that meets the data, an embedding or a first layer. `output`: the weight of a head.
`hidden`: a weight between them, a matrix whose rows are its first axis; so the kernel of a convolution,
(O, I, Y, X), is O x (I Y X). `heads`: a hidden weight whose rows are its first two axes, the projection to
heads of attention, (heads, size, I). `other`: what is no matrix, e.g. biases, gains, positions.
"""

Roles: TypeAlias = Mapping[str, str]
"""Roles of parameters by name, each a `Role`."""


def role_by_shape(shape: Shape) -> Role:
    """Return the role of a parameter of which nothing else is known: hidden if it is a matrix, else other.

    Example:
        >>> role_by_shape((16, 3, 3, 3)), role_by_shape((1, 16))
        ('hidden', 'other')
    """
    return "hidden" if len(shape) > 1 and shape[0] > 1 and math.prod(shape[1:]) > 1 else "other"


def check_roles(roles: Roles) -> None:
    """Check that every role is one.

    Raises:
        HParamError: One is not.

    Example:
        >>> check_roles({"head.weight": "output"})
    """
    for name, role in roles.items():
        if role not in get_args(Role):
            raise HParamError(
                f"the role of `{name}` must be one of {', '.join(get_args(Role))}, got {role!r}: correct the "
                "`roles` that were given, or those of the network"
            )


def matrix_shape(shape: Shape, role: str | None) -> tuple[int, int] | None:
    """Return the numbers of rows and columns of a parameter as a matrix; None if it is none.

    Args:
        shape: Shape of the parameter.
        role: Its role; None if it is not known.
    """
    if (role or role_by_shape(shape)) == "other" or len(shape) < 2:
        return None
    num_row_axes = 2 if role == "heads" else 1
    return math.prod(shape[:num_row_axes]), math.prod(shape[num_row_axes:])


def hidden_shape(shape: Shape, role: str | None) -> tuple[int, int] | None:
    """Return the numbers of rows and columns of a hidden matrix, as `matrix_shape`; None if it is none."""
    return None if role in ("input", "output") else matrix_shape(shape, role)
