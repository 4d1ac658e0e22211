"""Checkpoints of learned optimizers: files that hold a theta, and what it takes to use it.

A checkpoint is a safetensors file. Its metadata hold one text, `optsuite`: a JSON object with `version`,
`kind`, `architecture` and `training`. Checkpoints of learned_optimization are read too, which are msgpack.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn, final

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from optsuite import storage
from optsuite._types import Params
from optsuite.errors import HParamError, OptsuiteError, StorageError, in_words
from optsuite.optimizers._base import Optimizer
from optsuite.optimizers._flax import is_flax, read_flax
from optsuite.optimizers._learned import default_architecture, get_learned_optimizer

PACKAGED = Path(__file__).parents[1] / "checkpoints"
"""Folder of the checkpoints that come with this package."""

SUFFIX = ".safetensors"

_VERSION = 1
# A theta has thousands of numbers; a file of other things is refused before it takes memory.
_MOST_BYTES = 64 * 2**20
_MOST_HEADER_BYTES = 2**20
_MOST_DESCRIPTION = 2**16
# A network so deep or wide is a mistake, and its theta is laid out before it is compared.
_MOST_UNITS = 4096


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Checkpoint:
    """A learned optimizer as a file holds it.

    Example:
        >>> theta = {"log_lr": torch.tensor(-1.0)}
        >>> checkpoint = write_checkpoint("memory://mine.safetensors", "LearnableSGD", theta)
        >>> opt = checkpoint.optimizer()
    """

    kind: str
    """Key of `LEARNED_OPTIMIZERS`."""
    architecture: Mapping[str, float]
    """Arguments of the kind's factory; its defaults hold for those that are not among them."""
    theta: Params
    """Learned parameters, float32, by the names of the kind."""
    training: Mapping[str, Any]
    """Free account of how theta was trained, as JSON can hold it."""
    sha256: str
    """Hash of the file's bytes, 64 hexadecimal characters."""

    def optimizer(self) -> Optimizer:
        """Make the optimizer, whose parameters must be on the device of theta."""
        return get_learned_optimizer(self.kind, **self.architecture).optimizer(self.theta)

    def to(self, device: torch.device | str) -> Checkpoint:
        """Return the same on a device."""
        return replace(self, theta={name: tensor.to(device) for name, tensor in self.theta.items()})


def read_checkpoint(url: str) -> Checkpoint:
    """Read a checkpoint and check all that it holds.

    Args:
        url: Path or URL of a safetensors file of `write_checkpoint`, or of a msgpack file of
            learned_optimization, whose kind and sizes are found from the names and shapes in it, and all
            else about its architecture is taken to be the default, with a warning; the name of a checkpoint
            that comes with this package, such as `example`; or one of these with `#sha256=` and a hash at
            its end, which the file must have.

    Raises:
        MissingFileError: There is no such file.
        CorruptFileError: It is no checkpoint, too large, or of another content than the hash says.
        StorageError: The storage cannot be reached, or reading the format needs a package.

    Example:
        >>> written = write_checkpoint("memory://a.safetensors", "LearnableSGD", {"log_lr": torch.zeros(())})
        >>> read_checkpoint("memory://a.safetensors").sha256 == written.sha256
        True
    """
    where, needed = _split_pin(url)
    content = storage.read_bytes(_located(where), most=_MOST_BYTES)
    found = hashlib.sha256(content).hexdigest()
    if needed not in (None, found):
        raise storage.CorruptFileError(
            f"`{where}` has changed: needed a file whose sha256 is {needed}, got {found}; put the old one "
            "back, or make the config anew to train with the new one"
        )
    checkpoint = _parse(content, where)
    if needed is None and is_flax(content):
        _warn_of_defaults(checkpoint, where)
    return checkpoint


def _warn_of_defaults(checkpoint: Checkpoint, url: str) -> None:
    defaults = default_architecture(checkpoint.kind)
    assumed = [f"{name}={defaults[name]}" for name in ("exp_mult", "step_mult") if name in defaults]
    if assumed:
        warnings.warn(
            f"`{url}` does not hold {' and '.join(assumed)}, which are assumed: learned_optimization keeps "
            "them in its configuration; if others are right, write the checkpoint anew with "
            "optsuite.optimizers.write_checkpoint(..., architecture={'step_mult': ...})",
            UserWarning,
            stacklevel=3,
        )


def write_checkpoint(
    url: str,
    kind: str,
    theta: Params,
    *,
    architecture: Mapping[str, float] | None = None,
    training: Mapping[str, Any] | None = None,
) -> Checkpoint:
    """Write a checkpoint, a file that appears whole or not at all.

    The same arguments give the same bytes.

    Args:
        url: Path or URL; the name of the file is best given the ending `.safetensors`.
        kind: Key of `LEARNED_OPTIMIZERS`.
        theta: Learned parameters, float32, on any device.
        architecture: Arguments of the kind's factory that are not its defaults.
        training: Free account of how theta was trained, as JSON can hold it, without NaN.

    Returns:
        The checkpoint as reading it gives it.

    Raises:
        HParamError: Kind, architecture, theta and account make no checkpoint that could be read again.
        StorageError: It cannot be written.

    Example:
        >>> from optsuite.optimizers import get_learned_optimizer
        >>> theta = get_learned_optimizer("MLPLOpt", hidden_size=8).init()
        >>> written = write_checkpoint(
        ...     "memory://small.safetensors", "MLPLOpt", theta, architecture={"hidden_size": 8}
        ... )
    """
    try:
        described = {"kind": kind, "architecture": dict(architecture or {}), "training": dict(training or {})}
        text = json.dumps({"version": _VERSION, **described}, sort_keys=True, allow_nan=False)
        tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in theta.items()}
        content = save(tensors, {"optsuite": text})
        checkpoint = _parse(content, url)
    except (OptsuiteError, AttributeError, TypeError, ValueError) as cause:
        raise HParamError(f"no checkpoint of `{kind}` can be made of that: {cause}") from cause
    storage.write_bytes(url, content)
    return checkpoint


def list_packaged_checkpoints() -> list[str]:
    """Return the names of the checkpoints that come with this package, sorted.

    Example:
        >>> names = list_packaged_checkpoints()
    """
    return sorted(path.stem for path in PACKAGED.glob(f"*{SUFFIX}"))


def pinned(url: str, checkpoint: Checkpoint) -> str:
    """Return where a checkpoint lies with the hash of its content, as `read_checkpoint` takes it.

    Args:
        url: Path or URL from which the checkpoint was read.
        checkpoint: The checkpoint.

    Example:
        >>> one = write_checkpoint("memory://a.safetensors", "LearnableSGD", {"log_lr": torch.zeros(())})
        >>> pinned("memory://a.safetensors", one) == f"memory://a.safetensors#sha256={one.sha256}"
        True
    """
    return f"{_split_pin(url)[0]}#sha256={checkpoint.sha256}"


def location_of(url: str) -> str:
    """Return the path or URL of a checkpoint's file, without a hash, for what `read_checkpoint` takes.

    Raises:
        MissingFileError: It is a name, and no checkpoint has it.

    Example:
        >>> location_of(f"a/b.safetensors#sha256={'0' * 64}")
        'a/b.safetensors'
    """
    return _located(_split_pin(url)[0])


def is_pinned(url: str) -> bool:
    """Whether a hash of the content is part of a path or URL."""
    return _split_pin(url)[1] is not None


def content_of(value: object) -> object:
    """Return the hash alone of a path or URL with one; other values as they are.

    Two hyperparameters whose contents are equal make the same trial.

    Example:
        >>> content_of(f"a/b.safetensors#sha256={'0' * 64}") == f"sha256={'0' * 64}"
        True
    """
    found = _split_pin(value)[1] if isinstance(value, str) else None
    return value if found is None else f"sha256={found}"


def _split_pin(url: str) -> tuple[str, str | None]:
    match = re.fullmatch(r"(.*)#sha256=([0-9a-f]{64})", url, re.DOTALL)
    return (match[1], match[2]) if match else (url, None)


def _located(name: str) -> str:
    """Return the path of a packaged checkpoint; else the path or URL as it is."""
    if not re.fullmatch(r"[\w-]+", name):
        return name
    if name in (known := list_packaged_checkpoints()):
        return str(PACKAGED / f"{name}{SUFFIX}")
    if storage.exists(name):
        return name
    raise storage.MissingFileError(
        f"there is no checkpoint `{name}`: needed the path or URL of a file, or one of those that come with "
        f"optsuite ({', '.join(known) or 'none'})"
    )


def _parse(content: bytes, url: str) -> Checkpoint:
    """Check a file's content and return what it holds."""
    if _is_safetensors(content):
        description, theta = _read_safetensors(content, url)
    elif is_flax(content):
        try:
            description, theta = read_flax(content)
        except ValueError as cause:
            _refuse(url, str(cause), cause)
    else:
        _refuse(url, "needed a safetensors file, or msgpack of learned_optimization, got neither")
    kind, architecture = description["kind"], description["architecture"]
    _check_theta(theta, _expected(kind, architecture, url), kind, url)
    sha256 = hashlib.sha256(content).hexdigest()
    return Checkpoint(
        kind=kind,
        architecture=architecture,
        theta=theta,
        training=description["training"],
        sha256=sha256,
    )


def _is_safetensors(content: bytes) -> bool:
    # Eight bytes with the length of a header, which is JSON.
    return content[8:9] == b"{" and int.from_bytes(content[:8], "little") <= len(content)


def _read_safetensors(content: bytes, url: str) -> tuple[dict[str, Any], Params]:
    length = int.from_bytes(content[:8], "little")
    if length > _MOST_HEADER_BYTES:
        _refuse(url, f"needed a header of at most {_MOST_HEADER_BYTES:,} bytes, got {length:,}")
    try:
        theta = load(content)  # checks the header, so that it can be parsed again
        metadata = storage.parse_json(content[8 : 8 + length], url).get("__metadata__") or {}
    except (SafetensorError, StorageError, KeyError, ValueError, RuntimeError) as cause:
        _refuse(url, f"it is no valid safetensors file ({in_words(cause)})", cause)
    return _described(metadata.get("optsuite"), url), dict(sorted(theta.items()))


def _described(text: str | None, url: str) -> dict[str, Any]:
    """Parse the description in the metadata."""
    if text is None:
        _refuse(url, "needed a description `optsuite` among its metadata, got none")
    if len(text) > _MOST_DESCRIPTION:
        _refuse(url, f"needed a description of at most {_MOST_DESCRIPTION:,} characters, got {len(text):,}")
    try:
        found = storage.parse_json(text, url)
    except storage.CorruptFileError as cause:
        _refuse(url, f"its description is not JSON ({in_words(cause.__cause__ or cause)})", cause)
    needed = {"version": int, "kind": str, "architecture": dict, "training": dict}
    types = {key: type(value) for key, value in found.items()} if isinstance(found, dict) else type(found)
    if types != needed:
        _refuse(url, f"needed a description with {', '.join(needed)}, got {str(found)[:200]}")
    if found["version"] != _VERSION:
        _refuse(url, f"needed version {_VERSION} of the format, got {found['version']}: update optsuite")
    return {key: found[key] for key in ("kind", "architecture", "training")}


def _expected(kind: str, architecture: Mapping[str, Any], url: str) -> Params:
    """Return a theta of the kind without values, on the meta device."""
    try:
        check_architecture(kind, architecture)
        with torch.device("meta"):
            return get_learned_optimizer(kind, **architecture).init()
    except (OptsuiteError, ArithmeticError, TypeError, ValueError, RuntimeError) as cause:
        words = cause if isinstance(cause, OptsuiteError) else in_words(cause)
        _refuse(url, f"its kind and architecture cannot be used ({words})", cause)


def check_architecture(kind: str, architecture: Mapping[str, Any]) -> None:
    """Check the arguments of a kind's factory by their types and sizes.

    Raises:
        UnknownNameError: There is no such kind.
        HParamError: One of them is out of range.

    Example:
        >>> check_architecture("MLPLOpt", {"hidden_size": 8})
    """
    known = default_architecture(kind)
    for name, value in architecture.items():
        if name not in known:
            continue  # the factory refuses it
        is_whole = isinstance(known[name], int)
        is_number = isinstance(value, int if is_whole else (float, int)) and not isinstance(value, bool)
        most = _MOST_UNITS if is_whole else sys.float_info.max  # an int may be too large for a float
        if not is_number or not (1 if is_whole else -most) <= value <= most:
            needed = f"a whole number from 1 to {_MOST_UNITS}" if is_whole else "a finite number"
            raise HParamError(f"`{name}` of `{kind}` must be {needed}, got {value!r:.40}")


def _check_theta(theta: Params, expected: Params, kind: str, url: str) -> None:
    if missing := [name for name in expected if name not in theta]:
        _refuse(url, f"`{kind}` of that architecture needs a tensor `{missing[0]}`, got none")
    if surplus := [name for name in theta if name not in expected]:
        _refuse(url, f"`{kind}` of that architecture has no tensor `{surplus[0][:100]}`")
    for name, like in expected.items():
        needed, got = (f"{tuple(t.shape)} of {t.dtype}" for t in (like, theta[name]))
        if needed != got:
            _refuse(url, f"`{name}` of `{kind}` of that architecture must be {needed}, got {got}")
        if not theta[name].isfinite().all():
            _refuse(url, f"`{name}` must be finite, got NaN or infinity: its training diverged")


def _refuse(url: str, why: str, cause: BaseException | None = None) -> NoReturn:
    raise storage.CorruptFileError(
        f"`{url}` is not a checkpoint of a learned optimizer: {why}; get it again, or give another one"
    ) from cause
