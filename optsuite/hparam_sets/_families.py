"""The named hparam sets as data, and the grammar of their names.

A name is `<family>_<steps>_R<repetitions>`: `AdamLR_10000_R5` is the family `AdamLR` (Adam at 15 learning
rates), trained for 10,000 steps with 5 seeds. Any steps and repetitions make a set; the names that
learned_optimization published are `list_hparam_sets()`. Families that nobody has registered, such as
`AdamWLR_cosine`, have a grammar of their own, in `_grammar.py`.

Source: learned_optimization, `baselines/hparam_sets.py`.
"""

import fnmatch
import functools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from pathlib import Path

from optsuite import storage
from optsuite.errors import (
    HParamError,
    OptsuiteError,
    UnknownNameError,
    UnsupportedError,
    parameter,
    quoted,
)
from optsuite.hparam_sets._grammar import near_names, parts_of, rule_of, wrapped_configs
from optsuite.hparam_sets._spaces import SPACES, configs_of, parse_space
from optsuite.hparam_sets._trials import Config, HparamValue, Schedule, Trial
from optsuite.optimizers import (
    OPTIMIZERS,
    WRAPPERS,
    is_import_path,
    list_packaged_checkpoints,
    parse_call,
    read_opt_list,
)

LEARNING_RATES = (1e-7, 3e-7, 1e-6, 3e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0)

ACCUMULATIONS = tuple(2**power for power in range(12))
"""Numbers of gradients that make one step of the families `..._GradAccum`."""


@dataclass(frozen=True)
class HParamSet:
    """Configs x repetitions under one schedule; repetition r uses seed r."""

    name: str
    family: str
    opt: str
    """Name of the optimizer as its users call it, e.g. `RMSPropMom`."""
    repetitions: int
    schedule: Schedule

    @property
    def configs(self) -> tuple[Config, ...]:
        """Configs of the family; those of OptList are read from a file."""
        return get_family(self.family).configs

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of the configs, for which no file is read."""
        return get_family(self.family).labels

    def trials(self, task_name: str, precision: str = "float32") -> list[Trial]:
        """Return every trial of the set on a task, configs outermost."""
        return [trial for config in self.configs for trial in self.trials_of(config, task_name, precision)]

    def trials_of(self, config: Config, task_name: str, precision: str = "float32") -> list[Trial]:
        """Return the repetitions of one of its configs on a task."""
        return [Trial(task_name, config, self.schedule, seed, precision) for seed in range(self.repetitions)]


@dataclass(frozen=True)
class Family:
    """Configs that are trained together, for any steps and repetitions.

    Raises:
        OptsuiteError: Two configs share a label, or have labels that differ in upper and lower case only; or
            the labels that are known beforehand are not those of the configs. Raised when the family is
            registered, or when its configs are first asked for if `known_labels` are given.
    """

    name: str
    opt: str
    """Name of the optimizer as its users call it."""
    make_configs: Callable[[], Sequence[Config]]
    """Function that makes the configs; called once, when they are first needed."""
    published: tuple[tuple[int, int], ...] = ()
    """(steps, repetitions) of the sets that the reference published."""
    known_labels: tuple[str, ...] | None = None
    """Labels of the configs, for a family whose configs are read from a file that listing must not need."""
    joins: bool = True
    """Whether its sets join a matrix beside others; otherwise they do where they alone are asked for."""

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Labels of the configs, in their order."""
        return self.known_labels or tuple(config.label for config in self.configs)

    @cached_property
    def configs(self) -> tuple[Config, ...]:
        """Configs of the family, in the order of its archives."""
        configs = tuple(self.make_configs())
        self._check_labels(configs)
        return configs

    def _check_labels(self, configs: Sequence[Config]) -> None:
        first: dict[str, Config] = {}
        for config in configs:
            storage.check_name(config.label)
            if other := first.get(config.label.casefold()):
                raise OptsuiteError(
                    f"the family `{self.name}` has two configs for one folder of curves: "
                    f"{_in_words(other)} and {_in_words(config)}; give each a label of its own, different in "
                    "more than upper and lower case, e.g. with all digits of its hyperparameters"
                )
            first[config.label.casefold()] = config
        labels = [config.label for config in configs]
        for known, label in zip_longest(labels if self.known_labels is None else self.known_labels, labels):
            if known != label:
                raise OptsuiteError(
                    f"the family `{self.name}` has {known!r} among its `known_labels` where its configs have "
                    f"{label!r}: give the label of every config, in the order of the configs"
                )

    def set_name(self, num_steps: int, repetitions: int) -> str:
        """Return the name of the family's set of that length."""
        return _set_name(self.name, num_steps, repetitions)


def _set_name(family: str, num_steps: int, repetitions: int) -> str:
    return f"{family}_{num_steps}_R{repetitions}"


def _in_words(config: Config) -> str:
    hparams = ", ".join(f"{name}={value!r}" for name, value in config.hparams.items())
    return f"`{config.label}` ({config.optimizer}: {hparams})"


def lr_grid(opt: str, optimizer: str, /, **hparams: HparamValue) -> Callable[[], Sequence[Config]]:
    """Return a function that makes one config for each learning rate, in rising order.

    Args:
        opt: First part of the labels, e.g. `Adam` for `Adam_lr0.001`.
        optimizer: Name or import path of the optimizer, as in a `Config`.
        hparams: Hyperparameters that all configs share.
    """
    # The reference's grid ends in the integer 1, so its folder is `Adam_lr1`.
    return lambda: [Config(f"{opt}_lr{lr:g}", optimizer, {"lr": lr, **hparams}) for lr in LEARNING_RATES]


def _accumulation_grid(opt: str) -> Callable[[], Sequence[Config]]:
    """Return a function that makes configs of every learning rate at every number of gradients.

    The numbers of gradients are outermost.
    """
    return lambda: [
        config
        for num_average in ACCUMULATIONS
        for config in lr_grid(f"GradAccum{num_average}_{opt}", f"{opt}GradAccum", num_average=num_average)()
    ]


_OPT_LIST_LABELS = tuple(f"OptList{idx}" for idx in range(1000))


def _opt_list() -> Sequence[Config]:
    """Return the configs of OptList, with their numbers as hparams, so that many train as one program."""
    named = zip(_OPT_LIST_LABELS, read_opt_list(), strict=True)
    return [Config(label, "NAdamWCosineLR", hparams) for label, hparams in named]


def _lr_families() -> Iterator[Family]:
    """Yield the families over learning rates that the optimizers' rows name."""
    for optimizer, row in OPTIMIZERS.items():
        for grid in row.lr_grids:
            opt = grid.opt or optimizer
            configs = lr_grid(opt, optimizer, **grid.hparams)
            yield Family(grid.name or f"{opt.removesuffix('LR')}LR", opt, configs, grid.published)


_16K = ((16_384, 5),)
_16K_ADAM = ((16_384, 3), *_16K, (16_384, 32))

_FAMILIES = {
    family.name: family
    for family in (
        *_lr_families(),
        Family("AdamLR_GradAccum", "AdamGradAccum", _accumulation_grid("Adam"), _16K_ADAM),
        Family("SGDLR_GradAccum", "SGDGradAccum", _accumulation_grid("SGD"), _16K),
        Family("SGDMLR_GradAccum", "SGDMGradAccum", _accumulation_grid("SGDM"), _16K),
        Family("OptList1k", "OptList", _opt_list, ((10_000, 5),), _OPT_LIST_LABELS),
    )
}


_LONG = tuple((1000 * thousands, 5) for thousands in (5, *range(10, 101, 10)))

LEARNED: dict[str, tuple[tuple[int, int], ...]] = {
    "GradAccum_LOpt": _16K,
    "GraftedShampoo_LOpt": ((10_000, 5),),
    "LOpt": ((1000, 5), (2000, 5), (10_000, 1), *_LONG),
    "LOptGradAccum10": _LONG,
}
"""(steps, repetitions) of the published sets of families that are there once a checkpoint is registered."""


def list_families() -> list[str]:
    """Return the names of the families, sorted; of learned optimizers once a checkpoint is registered."""
    return sorted(_FAMILIES)


def list_hparam_sets(pattern: str = "*") -> list[str]:
    """Return the names of the published sets that match a glob pattern (case-sensitive), sorted.

    Those of learned optimizers are among them, whether or not `needs_checkpoint` says that one is missing.

    >>> list_hparam_sets("AdamW*")
    ['AdamWLR_10000_R5']
    """
    published = LEARNED | {family.name: family.published for family in _FAMILIES.values()}
    names = [_set_name(family, *length) for family, lengths in published.items() for length in lengths]
    return sorted(fnmatch.filter(names, pattern))


def needs_checkpoint(name: str) -> bool:
    """Whether a set trains with a learned optimizer of which no checkpoint is registered.

    Args:
        name: Any name.
    """
    parts = split_name(name)
    return parts is not None and parts[0] in LEARNED and parts[0] not in _FAMILIES


def get_hparam_set(name: str) -> HParamSet:
    """Return the set of that name; any steps and repetitions will do.

    >>> len(get_hparam_set("AdamLR_500_R2").trials("Conv_Cifar10_8_16x32"))
    30

    Raises:
        UnknownNameError: The name is not of the form `<family>_<steps>_R<repetitions>`, or there is no such
            family; the message has the nearest names.
        HParamError: The family's name has wrappers that do not fit.
        UnsupportedError: The set needs a checkpoint of a learned optimizer, and none is registered.
    """
    parts = split_name(name)
    if parts is None:
        raise UnknownNameError("hparam set", name, [*list_hparam_sets(), *_sets_near(name)])
    family_name, num_steps, repetitions = parts
    family = _find(family_name)
    if family is None:
        known = _names_near(family_name)
        raise UnknownNameError("hparam set", name, (_set_name(one, num_steps, repetitions) for one in known))
    return HParamSet(name, family.name, family.opt, repetitions, Schedule(num_steps))


def split_name(name: str) -> tuple[str, int, int] | None:
    """Split the name of a set, or of what is fitted to sets, into family or kind, steps and repetitions.

    None if the name has another form.
    """
    match = re.fullmatch(r"(\w+?)_([1-9][0-9]*)_R([1-9][0-9]*)", name)
    return (match[1], int(match[2]), int(match[3])) if match else None


def get_family(name: str) -> Family:
    """Return the family of that name.

    Args:
        name: One of `list_families()`, or a name of the grammar such as `AdamWLRxWD_cosine_clip0p5`:
            `<rule>LR`, then `xWD` for a grid of weight decays too, then wrappers of `optimizers.WRAPPERS`,
            each with a number for its first hyperparameter if it is not to have its default; or
            `AdamWRandom50`, 50 settings of a named space, with wrappers too.

    >>> get_family("AdamWLR_cosine").labels[8]
    'AdamW_cosine_lr0.001'

    Raises:
        UnknownNameError: There is none.
        HParamError: Its name has wrappers that do not fit.
        UnsupportedError: It needs a checkpoint of a learned optimizer, and none is registered.
    """
    family = _find(name)
    if family is None:
        raise UnknownNameError("hparam set family", name, _names_near(name))
    return family


def _find(name: str) -> Family | None:
    """Return a family that is registered, or else one of the grammar."""
    if name in _FAMILIES:
        return _FAMILIES[name]
    _check_no_checkpoint_needed(name)
    parts = parts_of(name)
    if parts is None or not all(wrapper in WRAPPERS for wrapper, _ in parts.wrappers):
        return None
    base = _FAMILIES.get(parts.base) or _random(parts.base)
    if base is None and (rule := rule_of(parts.base)):
        base = Family(parts.base, rule, lr_grid(rule, rule))
    return base and _derived(name, base.name, base.opt, base.configs)


def _random(name: str) -> Family | None:
    """Return the family `<optimizer>Random<N>` of a named space."""
    opt, random, number = name.rpartition("Random")
    if not random or opt not in SPACES or opt not in OPTIMIZERS:
        return None
    return Family(name, opt, lambda: configs_of(parse_space(f"{SPACES[opt]}/{number}"), opt))


@functools.lru_cache(maxsize=1000)
def _derived(name: str, base: str, opt: str, configs: tuple[Config, ...]) -> Family:
    """Return the family of a name of the grammar.

    Raises:
        OptsuiteError: Its configs cannot be made; the error is of the kind of the cause.
    """
    parts = parts_of(name)
    assert parts is not None
    family = Family(name, f"{opt}{parts.suffix}", lambda: tuple(wrapped_configs(parts, opt, configs)))
    try:
        _ = family.configs
    except (HParamError, UnsupportedError) as error:
        raise type(error)(f"no hparam set `{name}_...` can be made of `{base}`: {quoted(error)}") from error
    return family


def _names_near(name: str) -> list[str]:
    """Return the names of the families that there are, and of the grammar's that a name may have meant."""
    rules = (f"{rule}LR" for rule in OPTIMIZERS if rule_of(rule))
    number = re.search(r"Random([1-9][0-9]*)", name)
    random = (f"{rule}Random{number[1]}" for rule in SPACES) if number else ()
    return [*_FAMILIES, *near_names(name, dict.fromkeys([*_FAMILIES, *rules, *random]))]


def _sets_near(name: str) -> Iterator[str]:
    """Yield names of sets that one of another form may have meant."""
    match = re.fullmatch(r"(.+?)_([0-9]+)_R([0-9]+)", name, re.IGNORECASE | re.ASCII)
    if match:
        length = (max(int(match[2]), 1), max(int(match[3]), 1))
        yield from (_set_name(family, *length) for family in _names_near(match[1]))


def _check_no_checkpoint_needed(family: str) -> None:
    if family in LEARNED:
        raise UnsupportedError(
            f"the hparam sets `{family}_...` train learned optimizers, and no checkpoint is there: "
            f"give it with `{parameter('lopt', 'PATH')}`, a file, a URL, or a name that comes with optsuite "
            f"({', '.join(list_packaged_checkpoints()) or 'none'})"
        )


def register_family(family: Family) -> None:
    """Add a family of your own: its sets of any length then have names.

    Raises:
        OptsuiteError: The name is no word, or another family has it, maybe in other upper and lower case; or
            two configs share a label, or one has that of another one in another family.
        StorageError: A label cannot be the name of a folder.
    """
    if not re.fullmatch(r"\w+", family.name):
        raise OptsuiteError(f"a family's name is made of letters, digits and `_` (got `{family.name}`)")
    if family.name.casefold() in {name.casefold() for name in LEARNED}:
        raise OptsuiteError(
            f"the hparam set family `{family.name}` is that of checkpoints: choose another name"
        )
    if (taken := _of_like_name(family.name)) not in (None, family):
        raise OptsuiteError(f"an hparam set family `{taken.name}` exists already: choose another name")
    for other in _FAMILIES.values():
        if other is not taken and (label := _label_of_both(family, other)):
            raise OptsuiteError(
                f"the family `{family.name}` has a config `{label}`, whose folder is that of another one of "
                f"the family `{other.name}`: give it another label"
            )
    _FAMILIES[family.name] = family


def _label_of_both(family: Family, other: Family) -> str | None:
    """Return a label of a family that is another config's in the other family, whatever its case."""
    labels = set(map(str.casefold, other.labels))
    both = [label for label in family.labels if label.casefold() in labels]
    if both and family.known_labels is other.known_labels is None:  # configs of others may be in a file
        theirs = set(other.configs)
        both = [one.label for one in family.configs if one.label in both and one not in theirs]
    return both[0] if both else None


def put_families(families: Iterable[Family]) -> None:
    """Add families, or put them in place of those of the same names."""
    _FAMILIES.update({family.name: family for family in families})


def _of_like_name(name: str) -> Family | None:
    """Return the family that has the name but for upper and lower case, which some file systems ignore."""
    return next((f for f in _FAMILIES.values() if f.name.casefold() == name.casefold()), None)


def register_lr_family(text: str) -> str:
    """Add the learning-rate grid of an optimizer class to the families, and return the family's name.

    `torch.optim:NAdam` makes the family `NAdamLR` with labels such as `NAdam_lr0.001`,
    `torch.optim:SGD(momentum=0.9)` makes `SGD_momentum0_9LR`, and `Heavy=torch.optim:SGD(momentum=0.9)`
    makes `HeavyLR`.

    Args:
        text: `[NAME=]MODULE:CLASS[(ARGUMENT=VALUE, ...)]`. A word and `=` at its beginning are no name if
            there is a file of that path.

    Raises:
        HParamError: The text has not that form, or names a class or arguments that cannot be used.
        OptsuiteError: Another family has its name, maybe in other upper and lower case.
    """
    name = re.match(r"(\w+)=", text)
    if name and is_import_path(text) and Path(parse_call(text)[0].rpartition(":")[0]).is_file():
        name = None
    call = text[name.end() :] if name else text
    path, hparams = parse_call(call)
    if "lr" in hparams:
        raise HParamError(f"`{text}` sets `lr`, which is what the configs of its family differ in")
    words = [path.rpartition(":")[2], *(f"{key}{value}" for key, value in hparams.items())]
    opt = name[1] if name else re.sub(r"[\W_]+", "_", "_".join(words)).strip("_")
    family = Family(f"{opt}LR", opt, lr_grid(opt, path, **hparams), ((10_000, 5),))
    configs = family.configs
    taken = _of_like_name(family.name)
    if taken is None:
        register_family(family)
    elif taken.configs != configs:
        raise OptsuiteError(
            f"`{text}` would make the family `{family.name}`, but `{taken.name}` is another optimizer's: "
            f"give it a name of its own, e.g. `My{opt}={call}`"
        )
    return family.name


def register_grid(text: str) -> str:
    """Add the family of a grid, or of a random space, of hyperparameters, and return its name.

    `Wide=AdamW+cosine(lr=log(1e-4,1)/15, weight_decay=0|0.1)` makes the family `Wide` of 30 configs with
    labels such as `Wide_lr0.1_wd0`, and `Rand=AdamW(lr=loguniform(3e-5,1e-3))/100@7` makes `Rand` of 100,
    drawn with the seed 7, with labels `Rand_r0` to `Rand_r99`. Families of more than 15 configs are trained
    where they are named alone.

    Args:
        text: `NAME=OPTIMIZER(HPARAM=VALUES, ...)[/N[@SEED]]`, where OPTIMIZER is as in a `Config`, and VALUES
            are `A|B|...`, `log(A,B)/N`, `linear(A,B)/N`, `loguniform(A,B)` or `uniform(A,B)`.

    Raises:
        HParamError: The text has not that form, a range has bounds that it cannot have, two configs are
            equal, or the optimizer has no such hyperparameters.
        UnknownNameError: There is no such optimizer.
        OptsuiteError: Another family, or an optimizer, has the name or its labels.
    """
    name = re.match(r"\s*([^=(]+)=", text)
    if name is None:
        raise HParamError(f"the grid `{text}` has no name: write `NAME={text}`")
    if not re.fullmatch(r"\w+", name[1]):
        raise HParamError(f"a grid's name is made of letters, digits and `_` (got `{name[1]}`)")
    opt = name[1]
    space = parse_space(text[name.end() :])
    family = Family(opt, opt, lambda: configs_of(space, opt), ((10_000, 5),))
    configs = family.configs
    for taken in (_of_like_name(opt), *_with_like_labels(opt)):
        if taken and ((taken.name, taken.labels) != (opt, family.labels) or taken.configs != configs):
            raise OptsuiteError(
                f"the grid `{text}` would have a name or labels like those of `{taken.name}`: give it "
                f"another name, e.g. `My{text.strip()}`"
            )
    if opt not in _FAMILIES:
        register_family(family)
    return opt


def _with_like_labels(opt: str) -> Iterator[Family]:
    """Yield the families, also of the grammar, whose labels could begin with a word as those of a grid do."""
    stem = re.sub(r"(_(lr|wd|r)[0-9]+)+$", "", opt.casefold())
    bases = {
        **{f"{rule}LR": rule for rule in OPTIMIZERS},
        **{f"{rule}Random1": rule for rule in SPACES},
        **{family.name: family.opt for family in _FAMILIES.values()},
    }
    for base, rule in bases.items():
        if f"{stem}_".startswith(f"{rule.casefold()}_"):
            with suppress(HParamError, UnsupportedError):  # there is no such family
                if family := _find(f"{base}{stem.removeprefix(rule.casefold())}"):
                    yield family
