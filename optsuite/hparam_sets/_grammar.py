"""The grammar of families that nobody has registered: rules in wrappers, and with weight decays.

    <rule>LR[xWD][_<wrapper>[<number>]...] or <rule>Random<N>[_<wrapper>[<number>]...]

`AdamWLRxWD_cosine_clip0p5` is AdamW at every learning rate and every one of `WEIGHT_DECAYS`, in the wrappers
`cosine` and `clip` with a `max_norm` of 0.5: a number is the first hyperparameter of its wrapper, with `p`
for the point. `<rule>LR` is a family, or an optimizer of the table that has a learning rate. `xWD` varies the
rule's own `weight_decay`, or that of the wrapper `wd` around a rule without. `<rule>Random<N>` are N settings
of a space in `_spaces.py`. Any name of a registered family
goes before what this grammar would read in it.
"""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from optsuite.errors import HParamError
from optsuite.hparam_sets._trials import Config, HparamValue
from optsuite.optimizers import OPTIMIZERS, WRAPPERS, get_row, takes_argument

WEIGHT_DECAYS = (0.0, 0.01, 0.1, 1.0)
"""Weight decays of the families `...LRxWD`, outermost."""


class Parts(NamedTuple):
    """The parts of a family's name."""

    base: str
    """Name of the family that is wrapped, e.g. `AdamWLR`."""
    has_decays: bool
    wrappers: tuple[tuple[str, str], ...]
    """(wrapper, number) in their order; the number is empty where none is given."""

    @property
    def suffix(self) -> str:
        """Text of the wrappers in names and labels, e.g. `_cosine_clip0p5`."""
        return "".join(f"_{wrapper}{number}" for wrapper, number in self.wrappers)


def parts_of(name: str) -> Parts | None:
    """Split a family's name by its form alone; None if it has another one.

    Example:
        >>> parts_of("AdamWLRxWD_cosine_clip0p5")
        Parts(base='AdamWLR', has_decays=True, wrappers=(('cosine', ''), ('clip', '0p5')))
    """
    match = re.fullmatch(
        r"([A-Za-z]\w*?(?:LR|Random[1-9][0-9]*))((?<=LR)xWD)?((?:_[a-z]+(?:[0-9]+(?:p[0-9]+)?)?)*)",
        name,
        re.ASCII,
    )
    if match is None:
        return None
    wrappers = re.findall(r"_([a-z]+)([0-9]+(?:p[0-9]+)?|)", match[3])
    return Parts(match[1], match[2] is not None, tuple(wrappers))


def rule_of(base: str) -> str | None:
    """Return the optimizer of the table whose learning rates `<rule>LR` would be, None if there is none."""
    rule = base.removesuffix("LR")
    return rule if rule in OPTIMIZERS and "lr" in OPTIMIZERS[rule].hparams else None


def wrapped_configs(parts: Parts, opt: str, configs: Iterable[Config]) -> Iterator[Config]:
    """Put the configs of a family into wrappers.

    Args:
        parts: The parts of the new family's name.
        opt: Beginning of the configs' labels, which the wrappers' names follow in the new ones.
        configs: The configs of `parts.base`.

    Raises:
        UnknownNameError: There is no such wrapper.
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
    names = [wrapper for wrapper, _ in parts.wrappers]
    hparams = dict(config.hparams)
    if parts.has_decays and not _has_decay(config.optimizer):
        names = _with_decay(names)
    optimizer = "+".join([config.optimizer, *names])
    get_row(optimizer)  # raises if they do not fit
    for wrapper, number in parts.wrappers:
        if number:
            key = next(iter(WRAPPERS[wrapper].hparams), None)
            if key is None:
                raise HParamError(f"`_{wrapper}` takes no number (got `{number}`)")
            value = float(number.replace("p", "."))
            if _text(value) != number:
                raise HParamError(f"`_{wrapper}{number}` is written `_{wrapper}{_text(value)}`")
            hparams[key] = int(value) if key == "num_average" and value.is_integer() else value
    return optimizer, hparams


def _has_decay(optimizer: str) -> bool:
    row = get_row(optimizer)
    if row.program == "torch":
        return takes_argument(optimizer, "weight_decay")
    return "weight_decay" in row.hparams


def _text(value: float) -> str:
    return f"{value:g}".replace(".", "p")


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
        name: The name of a family.
        bases: Names of the families that there are.
    """
    match = re.fullmatch(r"(.*?LR)(xWD)?((?:_[A-Za-z]+[0-9p]*)+|)", name, re.IGNORECASE)
    if match is None or not (match[2] or match[3]):
        return
    words = re.findall(r"_([A-Za-z]+)([0-9p]*)", match[3])
    near = [(difflib.get_close_matches(word.lower(), WRAPPERS, n=1), number) for word, number in words]
    mended = {found[0]: number for found, number in near if found}
    suffix = "".join(f"_{wrapper}{mended[wrapper]}" for wrapper in WRAPPERS if wrapper in mended)
    for base in bases:
        if base.endswith("LR"):
            yield f"{base}{'xWD' if match[2] else ''}{suffix}"
