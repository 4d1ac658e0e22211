"""Plain data, tensors among them, as arrays by name and back, without pickles.

A tree becomes a text that says how it is built, and an array for every storage in which its tensors lie. So
tensors that share memory share it again, and strides, which may decide the order of sums, stay as they were.
"""

from __future__ import annotations

import enum
import json
import math
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from types import BuiltinFunctionType, FunctionType
from typing import Any, TypeAlias, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import (
    keystr,
    tree_flatten_with_path,
    tree_structure,
    tree_unflatten,
)

from optsuite import storage
from optsuite._types import Array
from optsuite.errors import StorageError, UnsupportedError, in_words

_Tree = TypeVar("_Tree")

Arrays: TypeAlias = dict[str, Array]
"""Arrays of numbers or text by name: what a `.npz` file holds without pickles."""

# Storages of these types are dumped as arrays of their own type, those of others as bytes.
_READABLE = (torch.float32, torch.float64, torch.int64)


# Containers by the name under which they are dumped.
_CONTAINERS: dict[str, Callable[[list[Any]], Any]] = {
    "list": list,
    "tuple": tuple,
    "Size": torch.Size,
    "dict": dict,
    "OrderedDict": OrderedDict,
}
# What a `defaultdict` may make, by name.
_FACTORIES: dict[str, Any] = {"": None, **{cls.__name__: cls for cls in (dict, list, set, int, float)}}


def dump_leaves(tree: Any, name: str) -> Arrays:  # noqa: ANN401 - any pytree
    """Copy the tensors of a pytree to the host, as arrays whose names begin with `name`."""
    writer = _Writer((), "")
    nodes = [[path, writer.node(leaf, path)] for path, leaf in _by_path(tree, name).items()]
    return _dumped({"dict": nodes}, name, writer)


def load_leaves(fresh: _Tree, arrays: Arrays, name: str, device: torch.device) -> _Tree:
    """Rebuild a pytree that `dump_leaves` has dumped.

    Args:
        fresh: A tree of the same structure, shapes and types, whose values do not matter.
        arrays: The dump, of whatever content.
        name: As given to `dump_leaves`.
        device: Where the tensors are to be.

    Raises:
        StorageError: Names, shapes or types are not those of `fresh`.
    """
    expected, leaves = _by_path(fresh, name), _read(_Reader(arrays, device, (), {}), name)
    needed, got = (
        {key: (tuple(leaf.shape), leaf.dtype) for key, leaf in tree.items() if isinstance(leaf, Tensor)}
        for tree in (expected, leaves if isinstance(leaves, dict) else {})
    )
    for path in {**needed, **got}:
        if needed.get(path) != got.get(path):
            words = f"`{path}` needed as {needed.get(path, 'nothing')}, got {got.get(path, 'nothing')}"
            raise StorageError(f"{words}: the state is of another run")
    rebuilt: _Tree = tree_unflatten([leaves[path] for path in expected], tree_structure(fresh))
    return rebuilt


def dump_tree(tree: Any, name: str, known: Sequence[Tensor] = (), owner: str = "") -> Arrays:  # noqa: ANN401
    """Copy a tree of plain data to the host: numbers, words, tensors, and lists, tuples and dicts of these.

    Functions, types and the like are dumped by their names.

    Args:
        tree: The tree.
        name: Begins the names of all arrays.
        known: Tensors that the reader has: they themselves stand where they are met, whatever they hold.
        owner: The class that errors are to name.

    Raises:
        UnsupportedError: The tree holds something else; says what and where.
    """
    writer = _Writer(known, owner)
    return _dumped(writer.node(tree, name), name, writer)


def load_tree(
    arrays: Arrays,
    name: str,
    device: torch.device,
    known: Sequence[Tensor] = (),
    fresh: Any = None,  # noqa: ANN401 - any tree
) -> Any:  # noqa: ANN401 - likewise
    """Rebuild a tree that `dump_tree` has dumped.

    Args:
        arrays: The dump, of whatever content: no code of its choice runs.
        name: As given to `dump_tree`.
        device: Where tensors are to be that were not on the CPU.
        known: The tensors that stand for those given to `dump_tree`.
        fresh: A tree that holds, at the same places, the functions and types that were dumped by name.

    Raises:
        StorageError: An array is missing or odd, or `fresh` holds something else.
    """
    return _read(_Reader(arrays, device, known, _by_path(fresh, name)), name)


def _by_path(tree: Any, name: str) -> dict[str, Any]:  # noqa: ANN401 - any pytree
    return {name + keystr(path): leaf for path, leaf in tree_flatten_with_path(tree)[0]}


def _dumped(node: Any, name: str, writer: _Writer) -> Arrays:  # noqa: ANN401 - any JSON
    try:
        text = json.dumps(node, allow_nan=False)
        storage.parse_json(text, name)  # as it will be read, within bounds
    except (ValueError, RecursionError, storage.CorruptFileError) as error:
        words = in_words(error.__cause__ or error)
        raise UnsupportedError(
            f"`{writer.owner}` keeps too many plain numbers, words and containers to be saved, too large "
            f"ones, or too deep in each other ({words}): keep numbers in tensors"
        ) from error
    return {name: np.array(text), **writer.arrays}


def _read(reader: _Reader, name: str) -> Any:  # noqa: ANN401 - any tree
    try:
        return reader.built(storage.parse_json(str(reader.arrays[name]), name), name)
    except (LookupError, ValueError, TypeError, RuntimeError, OverflowError, AttributeError) as error:
        raise StorageError(f"`{name}` cannot be loaded from a dumped state ({error!r})") from error


class _Writer:
    """Turns trees into what JSON can hold, and the memory of their tensors into arrays."""

    def __init__(self, known: Sequence[Tensor], owner: str) -> None:
        self.arrays: Arrays = {}
        self.owner = owner
        self._known = {id(tensor): number for number, tensor in enumerate(known)}
        self._storages: dict[int, str] = {}  # names of arrays, by the memory that they are copies of
        self._met: set[int] = set()  # containers

    def node(self, value: Any, path: str) -> Any:  # noqa: ANN401 - anything
        """Return what stands for a value: itself, or a dict of its kind and content."""
        kind = type(value)
        if value is None or kind in (bool, int, str):
            return value
        if kind is float:
            return value if math.isfinite(value) else {"float": repr(value)}
        if id(value) in self._known:
            return {"known": self._known[id(value)]}
        if kind is Tensor and not value.requires_grad:
            return {"tensor": self._place(path, value)}
        if kind.__name__ in _CONTAINERS and _CONTAINERS[kind.__name__] is kind:
            return {kind.__name__: self._children(value, path)}
        if kind is deque:
            return {"deque": [self._children(value, path), value.maxlen]}
        if kind is defaultdict and value.default_factory in _FACTORIES.values():
            factory = getattr(value.default_factory, "__name__", "")
            return {"defaultdict": [self._children(value, path), factory]}
        if constant := _constant(value):
            return {"constant": constant}
        what = f"`{self.owner}` keeps a `{kind.__name__}` in `{path}`"
        can = "numbers, words, tensors, and lists, tuples and dicts of these can"
        raise UnsupportedError(f"{what}, which cannot be saved: only {can}")

    def _children(self, value: Any, path: str) -> list[Any]:  # noqa: ANN401 - a container
        """Write what a container holds; refuse odd keys, and a list or dict that is kept in two places."""
        is_shared = id(value) in self._met and not isinstance(value, tuple)
        is_odd = isinstance(value, dict) and not all(type(key) in (int, str) for key in value)
        if is_shared or is_odd:
            what = "by other keys than numbers and words" if is_odd else "that it keeps elsewhere too"
            raise UnsupportedError(
                f"`{self.owner}` keeps a {type(value).__name__} in `{path}` {what}, which cannot be saved"
            )
        self._met.add(id(value))
        if isinstance(value, dict):
            return [[key, self.node(child, f"{path}[{key!r}]")] for key, child in value.items()]
        return [self.node(child, f"{path}[{i}]") for i, child in enumerate(value)]

    def _place(self, path: str, tensor: Tensor) -> list[Any]:
        key = _storage_key(tensor)
        if key not in self._storages:
            dtype = tensor.dtype if tensor.dtype in _READABLE else torch.uint8
            flat = torch.empty(0, dtype=dtype, device=tensor.device).set_(tensor.untyped_storage())
            is_whole = tensor.is_contiguous() and (flat.dtype, flat.nbytes) == (tensor.dtype, tensor.nbytes)
            self.arrays[path] = (flat.view(tensor.shape) if is_whole else flat).cpu().numpy().copy()
            self._storages[key] = path
        place = tuple(tensor.shape), tensor.stride(), tensor.storage_offset()
        return [self._storages[key], str(tensor.dtype), *place, tensor.device.type == "cpu"]


class _Reader:
    """Turns what `_Writer` wrote into trees again; raises whatever Python does where it is something else.

    Args:
        arrays: The dump.
        device: Where tensors are to be that were not on the CPU.
        known: The tensors that stand for those known to the writer.
        constants: Functions, types and the like, by path.
    """

    def __init__(
        self, arrays: Arrays, device: torch.device, known: Sequence[Tensor], constants: Mapping[str, Any]
    ) -> None:
        self.arrays = arrays
        self._device, self._known, self._constants = device, known, constants
        self._storages: dict[tuple[str, torch.device], torch.UntypedStorage] = {}

    def built(self, node: Any, path: str) -> Any:  # noqa: ANN401 - any JSON
        """Return the value that a node stands for."""
        if not isinstance(node, dict):
            if isinstance(node, list):
                raise TypeError(f"`{path}` is no value")
            return node
        ((kind, content),) = node.items()
        if kind in _CONTAINERS:
            return _CONTAINERS[kind](self._children(content, path, is_dict="ict" in kind))
        match kind, content:
            case "float", "nan" | "inf" | "-inf":
                return float(content)
            case "known", int() if 0 <= content < len(self._known):
                return self._known[content]
            case "tensor", list():
                return self._tensor(*content)
            case "deque", [children, most]:
                return deque(self._children(children, path, is_dict=False), most)
            case "defaultdict", [children, factory]:
                return defaultdict(_FACTORIES[factory], self._children(children, path, is_dict=True))
            case "constant", words if words == _constant(self._constants.get(path)) != "":
                return self._constants[path]
        raise ValueError(f"`{path}` is no value: {kind} {str(content)[:100]}")

    def _children(self, nodes: list[Any], path: str, *, is_dict: bool) -> list[Any]:
        if is_dict:
            return [(key, self.built(child, f"{path}[{key!r}]")) for key, child in nodes]
        return [self.built(child, f"{path}[{i}]") for i, child in enumerate(nodes)]

    def _tensor(
        self, key: str, dtype: str, shape: list[int], stride: list[int], offset: int, is_on_cpu: bool
    ) -> Tensor:
        where = torch.device("cpu") if is_on_cpu is True else self._device
        if (key, where) not in self._storages:
            self._storages[key, where] = torch.tensor(self.arrays[key]).to(where).untyped_storage()
        storage = self._storages[key, where]
        empty = torch.empty(0, dtype=getattr(torch, dtype.removeprefix("torch.")), device=where)
        # `set_` makes the memory larger where it is too small.
        length = offset + 1 + sum((size - 1) * step for size, step in zip(shape, stride, strict=True))
        counts = [offset, *shape, *stride]
        if not all(type(n) is int and n >= 0 for n in counts) or (
            0 not in shape and length * empty.element_size() > storage.nbytes()
        ):
            raise ValueError(f"`{key}` has no room for {dtype} of {shape}")
        return empty.set_(storage, offset, shape, stride)


def _constant(value: object) -> str:
    """Name what is the same object in every process; empty for anything else."""
    if isinstance(value, torch.dtype | torch.device | enum.Enum):
        return str(value)
    if isinstance(value, FunctionType | BuiltinFunctionType | type) and "<" not in value.__qualname__:
        return f"{value.__module__}.{value.__qualname__}"
    return ""


def _storage_key(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
