"""Optimizers as users name them in a contest, and the families that they stand for."""

from __future__ import annotations

import re
from collections.abc import Iterator

from optsuite.errors import UnknownNameError
from optsuite.hparam_sets._families import get_family, list_families, register_grid
from optsuite.optimizers import parse_optimizer


def find_family(name: str) -> str:
    """Return the name of the family that a name stands for.

    >>> find_family("AdamW+cosine"), find_family("AdamLR")
    ('AdamWLR_cosine', 'AdamLR')

    Args:
        name: Family (`AdamWLR_cosine`), or optimizer (`AdamW+cosine`), which stands for its grid of learning
            rates.

    Raises:
        UnknownNameError: There is none; the message has the nearest names.
        HParamError: Its name has wrappers that do not fit.
        UnsupportedError: It needs a checkpoint of a learned optimizer, and none is registered.
    """
    for family in _readings(name.replace("+", "_")):
        try:
            return get_family(family).name
        except UnknownNameError:
            continue
    raise UnknownNameError("optimizer", name, [one.removesuffix("LR") for one in list_families()])


def _readings(name: str) -> Iterator[str]:
    """Yield the families that a name may stand for: `LR` stands before `xWD` and before wrappers."""
    yield name
    yield name.replace("xWD", "LRxWD")
    ends = [match.start() for match in re.finditer("_", name)]
    yield from (f"{name[:end]}LR{name[end:]}" for end in (len(name), *reversed(ends)))


def register_untuned(text: str) -> str:
    """Add the family of an optimizer at one setting, and return its name.

    `my.py:Mine` makes `MineUntuned`, with the defaults of the class, `my.py:Mine(lr=0.01)` with that learning
    rate, and `Careful=my.py:Mine(lr=0.01)` makes `Careful`.

    Args:
        text: `[NAME=]OPTIMIZER[(HPARAM=VALUE, ...)]`, where OPTIMIZER is as in a `Config`.

    Raises:
        HParamError: The text has not that form, or a hyperparameter lacks its value.
        UnknownNameError: There is no such optimizer.
        OptsuiteError: Another family, or an optimizer, has the name.
    """
    named = re.match(r"(\w+)=", text)
    call = text[named.end() :] if named else text
    opt = re.sub(r"\W+", "_", parse_optimizer(call)[0].rpartition(":")[2])
    name = named[1] if named else f"{opt}Untuned"
    call = call if call.endswith(")") else f"{call}()"
    return register_grid(f"{name}={call}")
