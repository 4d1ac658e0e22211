"""Reads the checkpoints of learned optimizers that learned_optimization writes: msgpack as flax lays it out.

A file holds nested maps of names to arrays, either the parameters alone or under `params` beside `gen_id` and
`step`. An array is an extension, in which lies msgpack of its shape, the name of its type, and its bytes.

Source: `learned_optimization/outer_trainers/gradient_learner.py: ParameterCheckpoint`; flax,
`flax/serialization.py`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from optsuite._types import Params
from optsuite.errors import StorageError, import_extra, in_words
from optsuite.optimizers._learned import LEARNED_OPTIMIZERS

_CHECKPOINT = {"params", "gen_id", "step"}

_ARRAY, _SCALAR = 1, 3
_TYPES = ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint32", "uint64")

# A checkpoint has some dozens of maps and arrays, in a few layers.
_LIMITS = {"max_array_len": 16, "max_map_len": 256, "max_str_len": 256}
_MOST_PARTS = 1000
_MOST_DEPTH = 16

_BIASES = {"AdafacMLPLOpt": r"nn/~/b\d+", "MLPLOpt": r"mlp/~/linear_\d+/b"}
"""Names of the biases, of which each layer of a network has one."""


def is_flax(content: bytes) -> bool:
    """Whether a file may be msgpack of a map."""
    return content[:1] in (b"\xde", b"\xdf") or b"\x80" <= content[:1] <= b"\x8f"


def read_flax(content: bytes) -> tuple[dict[str, Any], Params]:
    """Read the description and theta of a checkpoint.

    Kind and sizes of the network are found from names and shapes. All else about the architecture is in
    other files of the original's, and is taken to be the default.

    Args:
        content: Bytes of the file.

    Raises:
        ValueError: It is no such file, or holds the theta of no kind that is known.
        StorageError: The package msgpack is not installed.
    """
    tree = _unpacked(content)
    account: dict[str, Any] = {"written_by": "learned_optimization"}
    if tree.keys() == _CHECKPOINT and isinstance(tree["params"], dict):
        step = tree["step"]
        is_count = isinstance(step, int | np.ndarray) and np.ndim(step) == 0
        account |= {"gen_id": str(tree["gen_id"])[:256], "step": int(step) if is_count else None}
        tree = tree["params"]
    theta = {name: torch.from_numpy(array) for name, array in sorted(_leaves(tree))}
    kind, architecture = _recognized(theta)
    return {"kind": kind, "architecture": architecture, "training": account}, theta


def _unpacked(content: bytes) -> dict[str, Any]:
    msgpack = import_extra(
        "msgpack", "flax", "checkpoints of learned_optimization need msgpack", StorageError
    )
    num_parts = 0

    def count() -> None:
        nonlocal num_parts
        num_parts += 1
        if num_parts > _MOST_PARTS:
            raise ValueError(f"needed at most {_MOST_PARTS} maps and arrays, got more")

    def read_map(pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
        count()
        found = dict(pairs)
        if len(found) != len(pairs) or not all(isinstance(name, str) for name in found):
            raise ValueError("needed maps whose keys are different names, got others")
        return found

    def read_list(items: list[Any]) -> list[Any]:
        count()
        return items

    def read_extension(code: int, data: bytes) -> np.ndarray[Any, Any]:
        count()
        if code not in (_ARRAY, _SCALAR):
            raise ValueError(f"needed arrays (extension 1 or 3 of msgpack), got extension {code}")
        return _array(msgpack.unpackb(data, **_LIMITS))

    try:
        tree = msgpack.unpackb(
            content,
            object_pairs_hook=read_map,
            list_hook=read_list,
            ext_hook=read_extension,
            strict_map_key=False,
            max_bin_len=0,  # bytes occur in arrays alone
            **_LIMITS,
        )
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as cause:
        raise ValueError(f"it is no msgpack of arrays ({in_words(cause)})") from cause
    if not isinstance(tree, dict):
        raise ValueError(f"needed a map of names, got {type(tree).__name__}")
    return tree


def _array(payload: object) -> np.ndarray[Any, Any]:
    """Check the parts of an array, and put them together."""
    match payload:
        case [list(shape), str(type_name), bytes(data)] if type_name in _TYPES:
            if all(type(n) is int and n >= 0 for n in shape):
                dtype = np.dtype(type_name)
                if math.prod(shape) * dtype.itemsize == len(data):
                    return np.frombuffer(data, dtype).reshape(shape).copy()
                raise ValueError(f"an array of shape {shape} of {type_name} does not have {len(data)} bytes")
    raise ValueError("needed arrays of numbers with shape, type and bytes, got another extension")


def _leaves(tree: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Yield the arrays of nested maps, with their names joined by `/`."""
    if len(path) > _MOST_DEPTH:
        raise ValueError(f"needed at most {_MOST_DEPTH} maps in each other, got more")
    for name, value in tree.items():
        if name == "__msgpack_chunked_array__":
            raise ValueError("needed arrays in one piece, got one in chunks, as flax cuts those above 1 GiB")
        if isinstance(value, dict):
            yield from _leaves(value, (*path, name))
        elif isinstance(value, np.ndarray):
            yield "/".join((*path, name)), value
        else:
            raise ValueError(f"needed an array at `{name}`, got {type(value).__name__}")


def _recognized(theta: Params) -> tuple[str, dict[str, Any]]:
    """Return the kind and the sizes of a network."""
    for kind, pattern in _BIASES.items():
        if biases := [name for name in theta if re.fullmatch(pattern, name)]:
            size = theta[biases[0]].numel()
            return kind, {"hidden_layers": len(biases) - 1, "hidden_size": size}
    for kind, factory in LEARNED_OPTIMIZERS.items():
        if kind not in _BIASES and factory().init().keys() == theta.keys():
            return kind, {}
    kinds = ", ".join(LEARNED_OPTIMIZERS)
    raise ValueError(f"needed the parameters of {kinds}, got {', '.join(theta)[:200] or 'none'}")
