"""The value that a suite is, and its file."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, fields
from typing import Any, final

from optsuite.errors import HParamError, UnknownNameError

_MOST_BYTES = 2**20


@final
@dataclass(frozen=True, kw_only=True)
class Suite:
    """A fixed contest: what is trained, for how long, with which seeds, and against whom."""

    name: str
    version: int
    """Raised when anything below changes; verdicts name it."""
    about: str
    """Purpose and cost, in a sentence."""
    tasks: tuple[str, ...]
    """Names of the tasks."""
    families: tuple[str, ...]
    """Families of the opponents' sets, e.g. `AdamLR`; their sets are `<family>_<num_steps>_R<num_seeds>`."""
    reference: str
    """Family that speed-ups refer to, one of `families`."""
    num_steps: int
    num_seeds: int

    @property
    def label(self) -> str:
        """Name with version, e.g. `cpu-quick v1`."""
        return f"{self.name} v{self.version}"

    def set_of(self, family: str) -> str:
        """Return the name of a family's hparam set in this suite."""
        return f"{family}_{self.num_steps}_R{self.num_seeds}"


def check(suite: Suite) -> None:
    """Check that all that a suite names exists.

    Raises:
        HParamError: A field has a value that it cannot have.
        UnknownNameError: There is no such task or family.
    """
    from optsuite.hparam_sets import get_family  # both need torch, which a list of suites does not
    from optsuite.tasks import get_task

    for name, is_fit, needed in (
        ("name", re.fullmatch(r"[A-Za-z0-9][\w-]*", suite.name), "letters, digits, `-` and `_`"),
        ("version", suite.version >= 1, "a whole number of at least 1"),
        ("num_steps", suite.num_steps >= 1, "a whole number of at least 1"),
        ("num_seeds", suite.num_seeds >= 1, "a whole number of at least 1"),
        ("tasks", suite.tasks and len({*suite.tasks}) == len(suite.tasks), "names, each once"),
        ("families", len({*suite.families}) == len(suite.families), "names, each once"),
        ("reference", suite.reference in suite.families, f"one of {', '.join(suite.families)}"),
    ):
        if not is_fit:
            raise HParamError(
                f"the suite `{suite.name}` cannot have `{name}` {getattr(suite, name)!r}: needed {needed}"
            )
    for task in suite.tasks:
        get_task(task)
    for family in suite.families:
        get_family(family)


def read_suite(url: str) -> Suite:
    """Read a suite from a TOML file, whose keys are the fields of `Suite`.

    Raises:
        MissingFileError: There is no such file.
        HParamError: It is no suite; says which key lacks, or is one too many.
        UnknownNameError: It names a task or a family that does not exist.
    """
    from optsuite import storage

    content = storage.read_bytes(url, missing="there is no such file", most=_MOST_BYTES)
    try:
        told = tomllib.loads(content.decode())
    except ValueError as cause:
        raise HParamError(f"the suite `{url}` is no TOML: {cause}") from cause
    names = [field.name for field in fields(Suite)]
    for name in told:
        if name not in names:
            raise UnknownNameError(f"key of the suite `{url}`", name, names)
    suite = Suite(**{name: _value(told, name, url) for name in names})
    check(suite)
    return suite


_KINDS: dict[str, tuple[type, str]] = {
    **dict.fromkeys(("tasks", "families"), (list, "a list of names")),
    **dict.fromkeys(("version", "num_steps", "num_seeds"), (int, "a whole number")),
}


def _value(told: dict[str, Any], name: str, url: str) -> Any:  # noqa: ANN401 - as the field
    value = told.get(name)
    kind, words = _KINDS.get(name, (str, "text"))
    names = value if isinstance(value, list) else []
    if type(value) is not kind or not all(isinstance(one, str) for one in names):
        raise HParamError(f"the suite `{url}` needs {words} for `{name}` (got {value!r})")
    return tuple(names) if kind is list else value
