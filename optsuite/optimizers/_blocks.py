"""The cutting of tensors into blocks small enough to have matrices of their own, and its reverse.

A tensor's axes are merged while their product is small, so that most tensors become a vector or a matrix, and
each axis that is left is cut. Blocks of equal shape are stacked, so that they are worked on at once.
"""

from __future__ import annotations

import itertools
import math
from typing import TypeAlias

import torch
from torch import Tensor

from optsuite._types import Params

Shape: TypeAlias = tuple[int, ...]

Blocks: TypeAlias = dict[Shape, Tensor]
"""Stacks of blocks by the shape of a block, (number of blocks, *shape) each."""

# Axes are merged while their product is at most this, and a tensor with a longer axis is not cut at all.
_LONGEST_AXIS = 4096


def block_shapes(shape: Shape, size: int) -> list[Shape]:
    """Return the shape of every block of a tensor of this shape."""
    if not _is_cut(shape):
        return []
    parts = _part_shapes(_merged(shape[::-1]), size)
    return [_block(part, size) for part in parts for _ in range(_count(part, size))]


def cut_into_blocks(tensors: Params, size: int) -> Blocks:
    """Cut every tensor that has no axis longer than 4096 into blocks with no axis longer than `size`."""
    blocks: dict[Shape, list[Tensor]] = {}
    for tensor in tensors.values():
        if _is_cut(tensor.shape):
            flipped = _flip_axes(tensor)
            for part in _cut(flipped.reshape(_merged(flipped.shape)), size):
                blocks.setdefault(_block(part.shape, size), []).append(_stack(part, size))
    return {shape: torch.cat(same) for shape, same in blocks.items()}


def glue_blocks(blocks: Blocks, like: Params, size: int) -> Params:
    """Undo `cut_into_blocks`: return the tensors that it cut, named and shaped as in `like`."""
    rest = dict(blocks)

    def take(part: Shape) -> Tensor:
        shape, count = _block(part, size), _count(part, size)
        taken, rest[shape] = rest[shape][:count], rest[shape][count:]
        return _unstack(taken, part)

    glued = {}
    for name, tensor in like.items():
        if _is_cut(tensor.shape):
            flipped = _flip_axes(tensor).shape
            merged = _merged(flipped)
            parts = [take(part) for part in _part_shapes(merged, size)]
            glued[name] = _flip_axes(_glue(parts, merged, size).reshape(flipped))
    return glued


def _is_cut(shape: Shape) -> bool:
    return max(shape, default=1) <= _LONGEST_AXIS


def _flip_axes(tensor: Tensor) -> Tensor:
    # The reference keeps outputs last, torch keeps them first: flipped, the same elements share a block.
    return tensor.permute(tuple(range(tensor.ndim))[::-1])


def _merged(shape: Shape) -> Shape:
    """Merge axes from the first to the last: (3, 3, 64, 64) becomes (576, 64), and () becomes (1,)."""
    merged = [1]
    for length in shape:
        if merged[-1] * length <= _LONGEST_AXIS:
            merged[-1] *= length
        else:
            merged.append(length)
    return tuple(merged)


def _part_lengths(length: int, size: int) -> list[int]:
    """Cut an axis into a multiple of `size` and the rest, so that all blocks of a part are equal."""
    return [part for part in (length - length % size, length % size) if part]


def _part_shapes(shape: Shape, size: int) -> list[Shape]:
    return list(itertools.product(*(_part_lengths(length, size) for length in shape)))


def _block(part: Shape, size: int) -> Shape:
    return tuple(min(length, size) for length in part)


def _count(part: Shape, size: int) -> int:
    return math.prod(part) // math.prod(_block(part, size))


def _cut(tensor: Tensor, size: int) -> list[Tensor]:
    """Return the parts, in the order of `_part_shapes`."""
    parts = [tensor]
    for axis, length in enumerate(tensor.shape):
        lengths = _part_lengths(length, size)
        parts = [part for whole in parts for part in torch.split(whole, lengths, axis)]
    return parts


def _glue(parts: list[Tensor], shape: Shape, size: int) -> Tensor:
    """Undo `_cut`."""
    for axis in reversed(range(len(shape))):
        count = len(_part_lengths(shape[axis], size))
        parts = [torch.cat(parts[i : i + count], axis) for i in range(0, len(parts), count)]
    return parts[0]


def _stack(part: Tensor, size: int) -> Tensor:
    """Return the blocks of a part, (number of blocks, *shape)."""
    shape = _block(part.shape, size)
    grid = part.reshape(
        [n for whole, length in zip(part.shape, shape, strict=True) for n in (whole // length, length)]
    )
    return grid.permute(*range(0, grid.ndim, 2), *range(1, grid.ndim, 2)).reshape(-1, *shape)


def _unstack(blocks: Tensor, part: Shape) -> Tensor:
    """Undo `_stack`."""
    shape = blocks.shape[1:]
    grid = blocks.reshape(*(whole // length for whole, length in zip(part, shape, strict=True)), *shape)
    return grid.permute([n for axis in range(len(shape)) for n in (axis, len(shape) + axis)]).reshape(part)
