"""Grids and random spaces of hyperparameters: `AdamW(lr=log(1e-4,1)/15, weight_decay=0|0.1)`.

Values are one or several choices, `0|0.1|0.5`; `log(A,B)/N` or `linear(A,B)/N`, N values from A to B; or
`loguniform(A,B)` or `uniform(A,B)`, of which the settings of a random space are drawn. A call with such a
range ends in `/N` or `/N@SEED`, the number of settings; choices are then drawn as well. Setting n is a
function of the seed, n and those before it, so that the first settings of a larger space are those of a
smaller one. Values of ranges are rounded to six digits, which are what labels show; choices are not.
"""

import itertools
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, NoReturn

from optsuite.errors import HParamError
from optsuite.hparam_sets._trials import Config, HparamValue
from optsuite.noise import key_from
from optsuite.optimizers import parse_value

SPACES = {
    "AdamW": "AdamW(lr=loguniform(3e-5,1e-3), weight_decay=loguniform(5e-3,5))",
    "Muon": "Muon(lr=loguniform(1e-4,3e-2), weight_decay=loguniform(5e-3,5))",
}
"""The spaces of the families `<optimizer>Random<N>`, such as `AdamWRandom50`."""

MOST_CONFIGS = 10_000
"""Most configs that a grid or a random space makes."""

_FORM = (
    "OPTIMIZER(HPARAM=VALUES, ...), with VALUES such as 0|0.1 or log(1e-4,1)/15, or with VALUES such as "
    "loguniform(1e-4,1) and /N behind it"
)

# Draws of a setting before it is taken that there are no more.
_DRAWS = 100

# Words that are meant for a bool, but are true as any word is.
_SWITCHES = {"true", "false", "none", "yes", "no", "on", "off"}

_SHORT = {"weight_decay": "wd"}


class Space(NamedTuple):
    """Hyperparameters of an optimizer, each with its values."""

    optimizer: str
    text: str
    """The call, for messages."""
    values: Mapping[str, "Sequence[HparamValue] | Callable[[float], float]"]
    """For each hyperparameter its choices, or a function from [0, 1) to the values of a range."""
    num_drawn: int | None
    """Number of settings that are drawn; None for all combinations of choices."""
    seed: int


def parse_space(text: str) -> Space:
    """Parse a call.

    Raises:
        HParamError: The text has not the form, or a range has no bounds, or bounds that it cannot have; or
            it makes more than `MOST_CONFIGS` configs.

    Example:
        >>> parse_space("SGD(lr=log(0.01,1)/3)").values
        {'lr': (0.01, 0.1, 1.0)}
    """
    optimizer, arguments, num, seed = _called(text)
    values: dict[str, Sequence[HparamValue] | Callable[[float], float]] = {}
    for part in _split(arguments, ","):
        name, equals, written = (piece.strip() for piece in part.partition("="))
        if not (name.isidentifier() and equals and written):
            _refuse(text, f"`{part.strip()}` is no HPARAM=VALUES; a grid is {_FORM}")
        if name in values:
            _refuse(text, f"`{name}` is given twice: keep one of them")
        values[name] = _values(text, name, written)
    is_random = any(map(callable, values.values()))
    if is_random and not num:
        _refuse(text, f"it draws from ranges, but does not say how often: write `{text.strip()}/50`")
    if num and not is_random:
        _refuse(text, f"it has no range to draw {num} settings from, such as loguniform(1e-4,1)")
    num_drawn = _count(num) if num else None
    if (num_drawn or math.prod(len(ones) for ones in values.values() if not callable(ones))) > MOST_CONFIGS:
        _refuse(text, f"it makes more than {MOST_CONFIGS:,} configs: leave out some")
    return Space(optimizer, text.strip(), values, num_drawn, int(seed or 0))


def _called(text: str) -> Sequence[str]:
    """Split a call into the optimizer, what is in brackets, N and SEED, the last two maybe empty."""
    text = text.strip()
    # The path of a file may have any of the characters of a call.
    starts = (0, *(colon.end() for colon in re.finditer(":", text)))
    form = re.compile(r"\w+(?:\+\w+)*\((.*)\)\s*(?:/([1-9][0-9]*)(?:@([0-9]{1,18}))?)?")
    calls = [call for call in (form.fullmatch(text, start) for start in starts) if call]
    if not calls:
        _refuse(text, f"a grid is {_FORM}")
    named = (call for call in calls if all(re.match(r"\s*\w+\s*=", one) for one in _split(call[1], ",")))
    call = next(named, calls[0])
    return text[: call.start(1) - 1], *call.groups("")


def _count(digits: str) -> int:
    """Read a number; one more than `MOST_CONFIGS` stands for all that are larger."""
    return min(int(digits[:9]), MOST_CONFIGS + 1)


def configs_of(space: Space, opt: str) -> tuple[Config, ...]:
    """Make the configs of a space: of a grid with the first hyperparameter outermost, else by number.

    Args:
        space: The space.
        opt: Beginning of the labels, `<opt>_lr0.001_wd0.1` in a grid and `<opt>_r0` in a random space.

    Raises:
        HParamError: Two configs are equal, or too few can be drawn that differ, or the optimizer has no
            such hyperparameters.
        UnknownNameError: There is no such optimizer.
    """
    configs = tuple(
        Config(label, space.optimizer, hparams)
        for label, hparams in (_drawn(space, opt) if space.num_drawn else _combined(space, opt))
    )
    first: dict[str, str] = {}
    for config in configs:
        key = config.label.casefold()
        if key in first:
            _refuse(
                space.text,
                f"it makes the configs `{first[key]}` and `{config.label}` alike: leave out one value; "
                "labels show six digits, and upper and lower case do not count",
            )
        first[key] = config.label
    return configs


def _combined(space: Space, opt: str) -> Iterator[tuple[str, dict[str, HparamValue]]]:
    choices: list[Sequence[HparamValue]] = [ones for ones in space.values.values() if not callable(ones)]
    for setting in itertools.product(*choices):
        hparams = dict(zip(space.values, setting, strict=True))
        shown = (name for name, ones in zip(hparams, choices, strict=True) if len(ones) > 1)
        yield "_".join([opt, *(_in_label(name, hparams[name]) for name in shown)]), hparams


def _in_label(name: str, value: HparamValue) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    gap = "_" if name[-1].isdigit() or not text[:1].isdigit() else ""
    return _SHORT.get(name, name) + gap + re.sub(r"[^\w.+-]+", "-", text.strip("()'")).rstrip("-")


def _drawn(space: Space, opt: str) -> Iterator[tuple[str, dict[str, HparamValue]]]:
    """Draw settings; one that was drawn before is drawn again, as long as others are found."""
    seen: set[str] = set()
    for number in range(space.num_drawn or 0):
        draws = (_draw(space, number, *again) for again in ((), *((n,) for n in range(1, _DRAWS))))
        hparams = next((one for one in draws if repr(one) not in seen), None)
        if hparams is None:
            _refuse(space.text, f"only {number} different settings were found in it: draw {number}")
        seen.add(repr(hparams))
        yield f"{opt}_r{number}", hparams


def _draw(space: Space, *number: int) -> dict[str, HparamValue]:
    hparams: dict[str, HparamValue] = {}
    for name, values in space.values.items():
        share = key_from("space", space.seed, name, *number) / 2**32
        hparams[name] = values(share) if callable(values) else values[int(share * len(values))]
    return hparams


def _values(text: str, name: str, written: str) -> "Sequence[HparamValue] | Callable[[float], float]":
    kind = re.match(r"(log|linear|loguniform|uniform)\b", written)
    if kind is None:
        return tuple(_literal(text, name, choice.strip()) for choice in _split(written, "|"))
    number = r"([-+.\w]+)"
    form = re.fullmatch(rf"\w+\(\s*{number}\s*,\s*{number}\s*\)\s*(?:/\s*([0-9]+))?", written)
    is_random, is_log = kind[1].endswith("uniform"), kind[1].startswith("log")
    example = f"{name}={kind[1]}(1e-4,1){'' if is_random else '/15'}"
    low, high = map(_number, form.groups()[:2]) if form else (math.nan, math.nan)
    if form is None or not (math.isfinite(low) and math.isfinite(high)) or is_random == bool(form[3]):
        _refuse(text, f"`{name}={written}` is no range: write it as `{example}`")
    if not low < high or (is_log and low <= 0):
        needed = "0 < A < B" if is_log else "A < B"
        _refuse(text, f"`{name}={written}` needs bounds A and B with {needed}, as in `{example}`")

    def at(share: float) -> float:
        value = low * (high / low) ** share if is_log else low + (high - low) * share
        return float(f"{value:g}")

    if is_random:
        return at
    if (num := _count(form[3])) < 2:
        _refuse(text, f"`{name}={written}` needs two values at least, as in `{example}`")
    return tuple(at(n / (num - 1)) for n in range(num))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _literal(text: str, name: str, choice: str) -> HparamValue:
    """Read a number, a bool, a tuple of these or a word."""
    try:
        value: HparamValue = parse_value(choice)
    except HParamError:
        value = choice
    if isinstance(value, str) and value.strip(" ()").casefold() in _SWITCHES:
        _refuse(text, f"`{name}={choice}` would be a word: write True or False")
    return value


def _split(text: str, separator: str) -> list[str]:
    """Split at a separator outside of brackets; an empty text has no parts."""
    parts, depth = [""], 0
    for letter in text:
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if letter == separator and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return parts if text.strip() else []


def _refuse(text: str, why: str) -> NoReturn:
    raise HParamError(f"the grid `{text.strip()}`: {why}")
