"""The grammar of families that nobody has registered: rules in wrappers, and with weight decays.

    <rule>LR[xWD][_<wrapper>[<number>]...] or <rule>Random<N>[_<wrapper>[<number>]...]

`AdamWLRxWD_cosine_clip0p5` is AdamW at every learning rate and every one of `WEIGHT_DECAYS`, in the wrappers
`cosine` and `clip` with a `max_norm` of 0.5: a number is the first hyperparameter of its wrapper, with `p`
for the point. `<rule>LR` is a family, or an optimizer of the table that has a learning rate; it alone takes
`xWD`, which varies the rule's own `weight_decay`, or that of the wrapper `wd` around a rule without.
`<rule>Random<N>` are N settings of a space in `_spaces.py`. Any name of a registered family goes before what
this grammar would read in it.
"""

import difflib
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from optsuite.errors import HParamError
from optsuite.hparam_sets._trials import Config, HparamValue
from optsuite.optimizers import OPTIMIZERS, WRAPPERS, get_row, takes_argument

WEIGHT_DECAYS = (0.0, 0.01, 0.1, 1.0)
"""Weight decays of the families `...LRxWD`, outermost."""

_NUMBER = r"(?:[0-9]+(?:p[0-9]+)?|)"


class Parts(NamedTuple):
    """The parts of a family's name."""

    base: str
    """Name of the family that is wrapped, e.g. `AdamWLR`."""
    has_decays: bool
    wrappers: tuple[tuple[str, str], ...]
    """(wrapper, number) in their order; the number is empty where none is given."""

    @property
    def name(self) -> str:
        """The whole name."""
        return f"{self.base}{'xWD' if self.has_decays else ''}{self.suffix}"

    @property
    def suffix(self) -> str:
        """Text of the wrappers in names and labels, e.g. `_cosine_clip0p5`."""
        return "".join(f"_{wrapper}{number}" for wrapper, number in self.wrappers)

    def in_order(self) -> "Parts":
        """Return the same with each wrapper once, in the order of `WRAPPERS`, all of which must be there."""
        order = list(WRAPPERS)
        wrappers = sorted(dict(self.wrappers).items(), key=lambda one: order.index(one[0]))
        return self._replace(wrappers=tuple(wrappers))


def parts_of(name: str) -> Parts | None:
    """Split a family's name by its form alone; None if it has another one.

    Example:
        >>> parts_of("AdamWLRxWD_cosine_clip0p5")
        Parts(base='AdamWLR', has_decays=True, wrappers=(('cosine', ''), ('clip', '0p5')))
    """
    match = re.fullmatch(
        r"([A-Za-z]\w*?(?:LR|Random[1-9][0-9]*))((?<=LR)xWD)?((?:_[a-z]+NUMBER)*)".replace("NUMBER", _NUMBER),
        name,
        re.ASCII,
    )
    if match is None:
        return None
    wrappers = re.findall(rf"_([a-z]+)({_NUMBER})", match[3])
    return Parts(match[1], match[2] is not None, tuple(wrappers))


def rule_of(base: str) -> str | None:
    """Return the optimizer of the table whose learning rates `<rule>LR` would be, None if there is none."""
    rule = base.removesuffix("LR")
    return rule if rule in OPTIMIZERS and "lr" in OPTIMIZERS[rule].hparams else None


def wrapped_configs(parts: Parts, opt: str, configs: Iterable[Config]) -> Iterator[Config]:
    """Put the configs of a family into wrappers.

    Args:
        parts: The parts of the new family's name, with wrappers of `WRAPPERS`.
        opt: Beginning of the configs' labels, which the wrappers' names follow in the new ones.
        configs: The configs of `parts.base`.

    Raises:
        HParamError: Wrappers do not fit the optimizer, or a number is out of range.
        UnsupportedError: The optimizers cannot be wrapped.
    """
    configs = list(configs)
    for decay in WEIGHT_DECAYS if parts.has_decays else (None,):
        for config in configs:
            optimizer, hparams = _wrapped(parts, config)
            label = f"{opt}{parts.suffix}{config.label.removeprefix(opt)}"
            if decay is not None:
                label, hparams = f"{label}_wd{decay:g}", {**hparams, "weight_decay": decay}
            yield Config(label, optimizer, hparams)


def _wrapped(parts: Parts, config: Config) -> tuple[str, Mapping[str, HparamValue]]:
    ordered = parts.in_order()
    names = [wrapper for wrapper, _ in ordered.wrappers]
    hparams = dict(config.hparams)
    if parts.has_decays and not _has_decay(config.optimizer):
        names = _with_decay(names)
    optimizer = "+".join([config.optimizer, *names])
    get_row(optimizer)  # raises if they do not fit
    if ordered != parts:
        raise HParamError(
            f"each wrapper is written once, in the order in which they wrap: write `{ordered.name}_...`"
        )
    for wrapper, number in parts.wrappers:
        if number:
            key = next(iter(WRAPPERS[wrapper].hparams), None)
            if key is None:
                raise HParamError(f"`_{wrapper}` takes no number (got `{number}`)")
            value = float(number.replace("p", "."))
            if _text(value) != number and math.isfinite(value):
                raise HParamError(f"`_{wrapper}{number}` is written `_{wrapper}{_text(value)}`")
            hparams[key] = int(value) if key == "num_average" and value.is_integer() else value
    return optimizer, hparams


def _has_decay(optimizer: str) -> bool:
    row = get_row(optimizer)
    if row.program == "torch":
        return takes_argument(optimizer, "weight_decay")
    return "weight_decay" in row.hparams


def _text(value: float) -> str:
    return np.format_float_positional(value, trim="-").replace(".", "p")


def _with_decay(names: list[str]) -> list[str]:
    """Add the wrapper of weight decay where it belongs."""
    if "wd" in names:
        raise HParamError("`xWD` has a weight decay already: leave out `_wd`")
    order = list(WRAPPERS)
    after = [name for name in names if name in WRAPPERS and order.index(name) > order.index("wd")]
    return [*names[: len(names) - len(after)], "wd", *after]


def near_names(name: str, bases: Iterable[str]) -> Iterator[str]:
    """Yield names of the grammar that a misspelt one may have meant: each base with its wrappers mended.

    Args:
        name: The name of a family, maybe with `+` for `_`.
        bases: Names of the families that there are.
    """
    words = re.findall(r"_([a-z]+)([0-9p.]*)", name.replace("+", "_"), re.IGNORECASE)
    near = [(difflib.get_close_matches(word.lower(), WRAPPERS, n=1), number) for word, number in words]
    mended = {found[0]: number.replace(".", "p") for found, number in near if found}
    wrappers = {key: number if re.fullmatch(_NUMBER, number) else "" for key, number in mended.items()}
    has_decays = re.search(r"xWD(_|$)", name, re.IGNORECASE) is not None
    for base in bases:
        near_name = Parts(base, has_decays, tuple(wrappers.items())).in_order().name
        if parts_of(near_name):
            yield near_name
