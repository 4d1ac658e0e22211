"""The tree of errors, and the message of the error that suggests names."""

from __future__ import annotations

import inspect
import pickle

import pytest

from optsuite import errors
from optsuite.errors import (
    DataError,
    HParamError,
    OptsuiteError,
    OutOfMemoryError,
    RemoteError,
    StoppedError,
    StorageError,
    UnknownNameError,
    UnsupportedError,
)

EXAMPLES = [
    UnknownNameError("task", "Conv", ["Conv_Cifar10"]),
    HParamError("`lr` must be positive"),
    DataError("no files"),
    StorageError("no disk"),
    OutOfMemoryError("no memory"),
    UnsupportedError("no such thing yet"),
    StoppedError("at step 3 of 10"),
    RemoteError("no answer"),
]


def test_every_public_error_is_in_the_tree():
    public = {
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, BaseException)
    }
    assert {type(error).__name__ for error in EXAMPLES} | {"OptsuiteError"} == public


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda e: type(e).__name__)
def test_every_error_can_be_caught_by_the_base(error):
    with pytest.raises(OptsuiteError):
        raise error


@pytest.mark.parametrize(
    ("error", "builtin"),
    [(EXAMPLES[0], LookupError), (EXAMPLES[1], ValueError), (EXAMPLES[4], MemoryError)],
    ids=lambda e: getattr(e, "__name__", type(e).__name__),
)
def test_errors_can_be_caught_as_what_python_calls_them(error, builtin):
    assert isinstance(error, builtin)


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda e: type(e).__name__)
def test_errors_cross_process_boundaries(error):
    """Workers send them pickled; one that cannot be read back kills its pool."""
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - made one line above
    assert type(copy) is type(error)
    assert str(copy) == str(error)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Adm", "unknown optimizer `Adm`: did you mean Adam, AdamW"),
        ("ADAMW", "unknown optimizer `ADAMW`: did you mean AdamW, Adam"),
        ("sgd", "unknown optimizer `sgd`: did you mean SGD"),
        ("xyz", "unknown optimizer `xyz`: valid names are Adam, AdamW, SGD"),
        ("", "unknown optimizer ``: valid names are Adam, AdamW, SGD"),
    ],
)
def test_unknown_name_suggests_the_nearest(name, message):
    assert str(UnknownNameError("optimizer", name, iter(["SGD", "AdamW", "Adam"]))) == message


def test_unknown_name_lists_a_few_of_many():
    message = str(UnknownNameError("task", "xyz", [f"Task{n:02}" for n in range(20)]))
    assert message.endswith(
        "valid names are Task00, Task01, Task02, Task03, Task04, Task05, Task06, Task07, ..."
    )
