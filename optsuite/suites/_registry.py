"""The suites by name."""

from __future__ import annotations

from optsuite.errors import OptsuiteError, UnknownNameError
from optsuite.suites._suite import Suite, check, read_suite
from optsuite.suites._table import SUITES

_SUITES = {suite.name: suite for suite in SUITES}


def list_suites() -> list[str]:
    """Return the names of the suites: those of this package, in the order of their cost, then others."""
    return list(_SUITES)


def get_suite(name: str) -> Suite:
    """Return the suite of a name, or read it from a file.

    Args:
        name: One of `list_suites()`, or the path or URL of a file that ends in `.toml`, whose keys are the
            fields of `Suite`.

    Raises:
        UnknownNameError: There is none; the message has the nearest names.
        HParamError: The file is no suite.
        StorageError: The file cannot be read.
    """
    if name.endswith(".toml"):
        return read_suite(name)
    if name not in _SUITES:
        raise UnknownNameError("suite", name, _SUITES)
    return _SUITES[name]


def register_suite(suite: Suite) -> None:
    """Add a suite of your own to those that `get_suite` knows.

    Its tasks and families are registered before.

    Raises:
        HParamError: A field has a value that it cannot have.
        UnknownNameError: There is no such task or family.
        OptsuiteError: Another suite has its name.
    """
    check(suite)
    if _SUITES.setdefault(suite.name, suite) != suite:
        raise OptsuiteError(f"a suite `{suite.name}` exists already: choose another name")
