"""Plain data, tensors among them, as arrays by name and back, without pickles.

A tree becomes a text that says how it is built, and an array for every storage in which its tensors lie. So
tensors that share memory share it again, and strides, which may decide the order of sums, stay as they were.
"""

from __future__ import annotations

import enum
import hashlib
import json
from collections.abc import Mapping, Sequence
from types import BuiltinFunctionType, FunctionType, MappingProxyType
from typing import Any, TypeAlias, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import (
    keystr,
    tree_flatten_with_path,
    tree_structure,
    tree_unflatten,
    treespec_dumps,
    treespec_loads,
)

from optsuite._types import Array
from optsuite.errors import StorageError, UnsupportedError, in_words

_Tree = TypeVar("_Tree")

Arrays: TypeAlias = dict[str, Array]
"""Arrays of numbers or text by name: what a `.npz` file holds without pickles."""

# Storages of these types are dumped as arrays of their own type, those of others as bytes.
_READABLE = (torch.float32, torch.float64, torch.int64)

# Name of the digests among the arrays of a state.
_SEAL = "digests"


def text_of(arrays: Arrays, name: str) -> str:
    """Return a text among arrays.

    Raises:
        StorageError: It is missing, or no text.
    """
    if name not in arrays:
        raise StorageError(f"a run's state needs `{name}`, got {sorted(arrays)}")
    array = arrays[name]
    if array.shape != () or array.dtype.kind != "U":
        raise StorageError(f"`{name}` of a run's state must be a text, got {array.dtype} of {array.shape}")
    return str(array)


def parse_text(text: str, what: str) -> Any:  # noqa: ANN401 - any JSON
    """Parse JSON of whatever content.

    Raises:
        StorageError: It is none; says so of `what`.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise StorageError(f"{what} is damaged ({in_words(error)})") from error


def digest(array: Array) -> str:
    """Return 32 hexadecimal characters that stand for an array's type, shape and content."""
    head = f"{array.dtype.str}{array.shape}".encode()
    return hashlib.sha256(head + np.ascontiguousarray(array).tobytes()).hexdigest()[:32]


def sealed(arrays: Arrays) -> Arrays:
    """Add the digests of all arrays, by which `unsealed` knows them again."""
    found = {name: digest(array) for name, array in arrays.items()}
    return {**arrays, _SEAL: np.array(json.dumps(found))}


def digests(arrays: Arrays) -> Mapping[str, object]:
    """Read the digests of arrays that were sealed.

    Raises:
        StorageError: They are missing or damaged.
    """
    found = parse_text(text_of(arrays, _SEAL), f"`{_SEAL}`")
    if not isinstance(found, dict):
        raise StorageError(f"`{_SEAL}` of a run's state must be a dict, got a {type(found).__name__}")
    return found


def unsealed(arrays: Arrays) -> Arrays:
    """Return the arrays that were sealed.

    Raises:
        StorageError: They are not those; names one that is missing, left over or different.
    """
    found = {name: array for name, array in arrays.items() if name != _SEAL}
    got = {name: digest(array) for name, array in found.items()}
    check_same(digests(arrays), got, "a run's state is damaged")
    return found


def check_same(needed: Mapping[str, object], got: Mapping[str, object], words: str) -> None:
    """Compare digests by name.

    Raises:
        StorageError: They differ; says so in these words and with a name.
    """
    if different := [name for name in {**needed, **got} if needed.get(name) != got.get(name)]:
        raise StorageError(f"{words}: `{min(different)}` differs")


def dump_leaves(tree: Any, name: str) -> Arrays:  # noqa: ANN401 - any pytree
    """Copy the tensors of a pytree to the host, as arrays whose names begin with `name`."""
    return _dumped(_by_path(tree, name), name)


def load_leaves(fresh: _Tree, arrays: Arrays, name: str, device: torch.device) -> _Tree:
    """Rebuild a pytree that `dump_leaves` has dumped.

    Args:
        fresh: A tree of the same structure, shapes and types, whose values do not matter.
        arrays: The dump.
        name: As given to `dump_leaves`.
        device: Where the tensors are to be.

    Raises:
        StorageError: Names, shapes or types are not those of `fresh`.
    """
    expected, (_, leaves) = _by_path(fresh, name), _loaded(arrays, name, device)
    needed, got = ({k: (tuple(t.shape), t.dtype) for k, t in tree.items()} for tree in (expected, leaves))
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
    _check_containers(tree, name, owner, set())
    return _dumped(_by_path(tree, name), name, treespec_dumps(tree_structure(tree)), known, owner)


def load_tree(
    arrays: Arrays,
    name: str,
    device: torch.device,
    known: Sequence[Tensor] = (),
    fresh: Any = None,  # noqa: ANN401 - any tree
) -> Any:  # noqa: ANN401 - likewise
    """Rebuild a tree that `dump_tree` has dumped.

    Args:
        arrays: The dump.
        name: As given to `dump_tree`.
        device: Where tensors are to be that were not on the CPU.
        known: The tensors that stand for those given to `dump_tree`.
        fresh: A tree that holds, at the same places, the functions and types that were dumped by name.

    Raises:
        StorageError: An array is missing, or `fresh` holds something else.
    """
    spec, leaves = _loaded(arrays, name, device, known, _by_path(fresh, name))
    return tree_unflatten(leaves.values(), treespec_loads(spec))


def _by_path(tree: Any, name: str) -> dict[str, Any]:  # noqa: ANN401 - any pytree
    return {name + keystr(path): leaf for path, leaf in tree_flatten_with_path(tree)[0]}


def _dumped(
    leaves: Mapping[str, Any], name: str, spec: str = "", known: Sequence[Tensor] = (), owner: str = ""
) -> Arrays:
    writer = _Writer(known, owner)
    nodes = {path: writer.node(path, leaf) for path, leaf in leaves.items()}
    return {name: np.array(json.dumps([spec, nodes])), **writer.arrays}


def _loaded(
    arrays: Arrays,
    name: str,
    device: torch.device,
    known: Sequence[Tensor] = (),
    constants: Mapping[str, Any] = MappingProxyType({}),
) -> tuple[str, dict[str, Any]]:
    """Give what `_dumped` was given: the spec, and leaves by path."""
    storages: dict[str, torch.UntypedStorage] = {}

    def tensor(
        key: str, dtype: str, shape: list[int], stride: list[int], offset: int, is_on_cpu: bool
    ) -> Tensor:
        where = torch.device("cpu") if is_on_cpu else device
        if key not in storages:
            storages[key] = torch.tensor(arrays[key]).to(where).untyped_storage()
        empty = torch.empty(0, dtype=getattr(torch, dtype.removeprefix("torch.")), device=where)
        return empty.set_(storages[key], offset, shape, stride)

    def built(path: str, node: Any) -> Any:  # noqa: ANN401 - any leaf
        match node:
            case {"known": number}:
                return known[number]
            case {"tensor": place}:
                return tensor(*place)
            case {"constant": words}:
                if words != _constant(constants.get(path)):
                    raise ValueError(f"`{path}` needed as {words}, got {constants.get(path)}")
                return constants[path]
        return node

    try:
        spec, nodes = json.loads(str(arrays[name]))
        return spec, {path: built(path, node) for path, node in nodes.items()}
    except (LookupError, ValueError, TypeError, RuntimeError) as error:
        raise StorageError(f"`{name}` cannot be loaded from a dumped state ({error!r})") from error


def _check_containers(node: Any, path: str, owner: str, met: set[int]) -> None:  # noqa: ANN401 - any tree
    """Refuse what would not come back as it is: odd keys, and a list or dict that is kept in two places."""
    if not isinstance(node, dict | list | tuple):
        return
    is_shared = id(node) in met and not isinstance(node, tuple)
    is_odd = isinstance(node, dict) and not all(type(key) in (int, str) for key in node)
    if is_shared or is_odd:
        what = "by other keys than numbers and words" if is_odd else "that it keeps elsewhere too"
        raise UnsupportedError(
            f"`{owner}` keeps a {type(node).__name__} in `{path}` {what}, which cannot be saved"
        )
    met.add(id(node))
    for key, child in node.items() if isinstance(node, dict) else enumerate(node):
        _check_containers(child, f"{path}[{key!r}]", owner, met)


class _Writer:
    """Turns leaves into what JSON can hold, and the memory of their tensors into arrays."""

    def __init__(self, known: Sequence[Tensor], owner: str) -> None:
        self.arrays: Arrays = {}
        self._owner = owner
        self._known = {id(tensor): number for number, tensor in enumerate(known)}
        self._storages: dict[int, str] = {}  # names of arrays, by the memory that they are copies of

    def node(self, path: str, leaf: Any) -> Any:  # noqa: ANN401 - anything
        """Return what stands for a leaf."""
        if leaf is None or type(leaf) in (bool, int, float, str):
            return leaf
        if id(leaf) in self._known:
            return {"known": self._known[id(leaf)]}
        if type(leaf) is Tensor and not leaf.requires_grad:
            return {"tensor": self._place(path, leaf)}
        if constant := _constant(leaf):
            return {"constant": constant}
        what = f"`{self._owner}` keeps a `{type(leaf).__name__}` in `{path}`"
        can = "numbers, words, tensors, and lists, tuples and dicts of these can"
        raise UnsupportedError(f"{what}, which cannot be saved: only {can}")

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


def _constant(value: object) -> str:
    """Name what is the same object in every process; empty for anything else."""
    if isinstance(value, torch.dtype | torch.device | enum.Enum):
        return str(value)
    if isinstance(value, FunctionType | BuiltinFunctionType | type) and "<" not in value.__qualname__:
        return f"{value.__module__}.{value.__qualname__}"
    return ""


def _storage_key(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
