"""Shared types, and the letters that name the dimensions of a tensor.

| letter | dimension |
| --- | --- |
| S | seeds (repetitions) trained side by side |
| H | configs trained side by side; N = S * H trials |
| B | examples in a batch |
| T | training steps in a block |
| E | evaluations, or batches in one evaluation |
| C, Y, X | channels, rows and columns of an image |

A tensor with two or more of S, H, T, E says so in its name: `loss_TSH`. Code that is written for one
trial has none of them.
"""

from typing import Any, TypeAlias

import numpy.typing as npt
from torch import Tensor

Params: TypeAlias = dict[str, Tensor]
"""Parameters of one trial by name; also gradients and updates."""

Batch: TypeAlias = dict[str, Tensor]
"""One batch by field. Images have `image`, float32 (B, C, Y, X) in [0, 1], and `label`, int64 (B,); text has
`obs` and `target`, int64 (B, length), where 0 is padding."""

Array: TypeAlias = npt.NDArray[Any]
"""A NumPy array of any dtype and shape."""
