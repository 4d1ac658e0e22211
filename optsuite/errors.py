"""Every error that optsuite raises on purpose.

OptsuiteError
├── UnknownNameError   a task, hparam set, optimizer, dataset or split that does not exist
├── HParamError        a hyperparameter that is unknown, of the wrong type or out of range
├── DataError          a dataset that is missing, truncated or not in its published format
├── StorageError       a file that cannot be written, read or understood
├── OutOfMemoryError   one trial alone needs more memory than the device has
├── StoppedError       training that was stopped on request
├── RemoteError        a failure in another process or of a cluster
└── UnsupportedError   a thing that cannot be done here, or that learned_optimization has and optsuite has not

A trial that diverges is a result, not an error.

Rooms that do not know who asked (pytest, the command line or Python) name what the user may change with
`parameter`; `str(error)` says it in Python's terms, and `in_face` in those of the others.
"""

from __future__ import annotations

import difflib
import importlib
import re
import sys
from collections.abc import Iterable
from typing import Any, Literal, TypeAlias

Face: TypeAlias = Literal["python", "pytest", "cli"]
"""Who reads a message: the caller of a function, or the user of one of the two commands."""

Parameter: TypeAlias = Literal[
    "archives",
    "average",
    "clip",
    "data",
    "init",
    "inner-steps",
    "lopt",
    "output",
    "piece",
    "precision",
    "rerun",
    "restart",
    "std",
    "steps",
    "storage",
]
"""Something that faces let their users choose, by the name of the command-line option."""

_IN_PYTHON: dict[Parameter, str] = {
    "archives": "root={}",
    "average": "average",
    "clip": "clip",
    "data": "mode={}",
    "init": "init",
    "inner-steps": "inner_steps",
    "lopt": "register_checkpoint({})",
    "output": "output",
    "piece": "piece",
    "precision": "precision={}",
    "rerun": "the file deleted",  # no function takes it
    "restart": "restart=True",
    "std": "std",
    "steps": "num_steps",
    "storage": "root={}",
}

_MARKED = re.compile(f"\2({'|'.join(_IN_PYTHON)})(.*?)\3")
"""A parameter in a message, before a face has named it; control characters occur in no other text."""


def parameter(name: Parameter, value: str = "") -> str:
    """Return a piece of an error's message that each face words in its own way.

    Args:
        name: The parameter that the user may change.
        value: What the message advises to set it to; empty to name the parameter alone.

    Example:
        >>> error = DataError(f"no files; pass {parameter('data', 'synthetic')}")
        >>> str(error), in_face(error, "pytest")
        ('no files; pass mode="synthetic"', 'no files; pass --opt-data synthetic')
    """
    return f"\2{name}{value}\3"


def in_face(error: BaseException, face: Face) -> str:
    """Return what an error says in the terms of a face; `in_words` for an error that is not ours."""

    def named(match: re.Match[str]) -> str:
        name: Parameter = match[1]  # type: ignore[assignment]
        value = match[2]
        if face == "python":
            return _IN_PYTHON[name].format(value and f'"{value}"')
        return f"--{'opt-' if face == 'pytest' else ''}{name} {value}".rstrip()

    return _MARKED.sub(named, quoted(error)) if isinstance(error, OptsuiteError) else in_words(error)


def quoted(error: OptsuiteError) -> str:
    """Return what an error says for the message of another error; no face has named its parameters yet."""
    return str(error.args[0]) if error.args else ""


def in_words(error: BaseException) -> str:
    """Return the type and the first line of an error that is not ours.

    Example:
        >>> in_words(ValueError("no"))
        'ValueError: no'
    """
    return ": ".join([type(error).__name__, *str(error).strip().splitlines()[:1]])


class OptsuiteError(Exception):
    """Base of all errors that optsuite raises on purpose.

    Args:
        message: What is wrong and what to do about it. Where it quotes the error that is being handled
            (`f"... {cause}"`), the quotation is kept open for every face, as by `quoted`.
    """

    def __init__(self, message: str = "") -> None:
        cause = sys.exception()
        if isinstance(cause, OptsuiteError) and (said := str(cause)):
            message = message.replace(said, quoted(cause))
        super().__init__(message)

    def __str__(self) -> str:
        return in_face(self, "python")


def import_extra(module: str, extra: str, needed_by: str, kind: type[OptsuiteError]) -> Any:  # noqa: ANN401 - most have no types
    """Import a package that an extra of this one brings.

    Args:
        module: Name of the module to import.
        extra: Name of the extra.
        needed_by: Beginning of the error's message: what needs which package.
        kind: Type of the error that is raised where the package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as cause:
        raise kind(f"{needed_by}: run `pip install 'optsuite[{extra}]'`") from cause


def hint(name: str, valid: Iterable[str]) -> str:
    """Return advice on a name that is not valid: the names that come closest, else some that exist.

    Example:
        >>> hint("Adm", ["Adam", "SGD"])
        'did you mean Adam'
    """
    valid = sorted(valid)
    by_folded = {v.casefold(): v for v in valid}
    near = difflib.get_close_matches(name.casefold(), by_folded, n=3, cutoff=0.5)
    listed = [by_folded[n] for n in near] or valid[:8]
    more = ", ..." if not near and len(valid) > len(listed) else ""
    return f"{'did you mean' if near else 'valid names are'} {', '.join(listed)}{more}"


class UnknownNameError(OptsuiteError, LookupError):
    """A name that is not in its table; the message says which names come closest."""

    def __init__(self, kind: str, name: str, valid: Iterable[str]) -> None:
        """Compose the message.

        Args:
            kind: Kind of thing that the name should have named, e.g. `"task"`.
            name: Name as the caller gave it.
            valid: Every name that would have been accepted.
        """
        valid = sorted(valid)
        self._made_of = (kind, name, valid)
        super().__init__(f"unknown {kind} `{name}`: {hint(name, valid)}")

    def __reduce__(self) -> tuple[type[UnknownNameError], tuple[str, str, list[str]]]:
        return type(self), self._made_of  # so that it crosses process boundaries


class HParamError(OptsuiteError, ValueError):
    """A hyperparameter that is unknown, of the wrong type or out of range."""


class DataError(OptsuiteError):
    """A dataset that is missing, truncated or not in its published format."""


class StorageError(OptsuiteError):
    """A file of curves or an archive that cannot be written, read or understood."""


class OutOfMemoryError(OptsuiteError, MemoryError):
    """One trial alone needs more memory than the device has."""

    def __reduce__(self) -> tuple[type[OutOfMemoryError], tuple[Any, ...]]:
        # Importing distributed changes how exceptions are pickled, to a way that fails for memory errors.
        return type(self), self.args


class StoppedError(OptsuiteError):
    """Training that was stopped on request; says at which step, and whether the state was saved."""


class RemoteError(OptsuiteError):
    """A failure in another process, which is named, or of a cluster."""


class UnsupportedError(OptsuiteError):
    """A thing that cannot be done here, or that learned_optimization has and optsuite has not."""
