"""The families of learned optimizers, which hold configs of every checkpoint that is registered."""

import re
from collections.abc import Iterator, Sequence

from optsuite.errors import HParamError, OptsuiteError
from optsuite.hparam_sets._families import (
    ACCUMULATIONS,
    LEARNED,
    Family,
    get_family,
    list_families,
    put_families,
)
from optsuite.hparam_sets._trials import Config
from optsuite.optimizers import content_of, pinned, read_checkpoint


def register_checkpoint(text: str) -> None:
    """Add a learned optimizer to the families of sets that train with one.

    Its configs have the labels `NAME` in `LOpt`, `GradAccum10_NAME` in `LOptGradAccum10`, `GradLOpt1_NAME`
    to `GradLOpt2048_NAME` in `GradAccum_LOpt`, and `GraftedShampoo_NAME` in `GraftedShampoo_LOpt`, after
    those of the checkpoints that were registered before. To register one again changes nothing.

    Args:
        text: `[NAME=]PATH`, where PATH is a path or URL, or the name of a checkpoint that comes with
            optsuite, as for `optimizers.read_checkpoint`. NAME, a word, is by default the name of the file.

    Raises:
        HParamError: The text has not that form.
        OptsuiteError: The name is taken, maybe in other upper and lower case.
        StorageError: There is no such checkpoint, or it cannot be used.
    """
    named = re.match(r"(\w+)=", text)
    url = text[named.end() :] if named else text
    if not url:
        raise HParamError(f"a checkpoint is [NAME=]PATH (got `{text}`)")
    checkpoint = read_checkpoint(url)
    name = named[1] if named else _name_of(url)
    config = Config(name, checkpoint.kind, {"theta": pinned(url, checkpoint)})
    known = get_family("LOpt").configs if "LOpt" in list_families() else ()
    if not _is_known(config, known):
        _check_free(config)
        put_families(_families_of((*known, config)))


def _name_of(url: str) -> str:
    file = re.split(r"[?#]", url)[0].rpartition("/")[2]
    name = re.sub(r"\W+", "_", file.rpartition(".")[0] or file).strip("_")
    if not name:
        raise HParamError(f"`{url}` has no name of a file in it: give one, NAME={url}")
    return name


def _is_known(config: Config, known: Sequence[Config]) -> bool:
    """Whether a checkpoint is registered; raises if another one has its name."""
    taken = next((one for one in known if one.label.casefold() == config.label.casefold()), None)
    if taken is None:
        return False
    if taken.label == config.label and _content(taken) == _content(config):
        return True
    raise OptsuiteError(
        f"the checkpoint `{config.hparams['theta']}` would have the name `{config.label}`, but "
        f"`{taken.label}` is `{taken.hparams['theta']}`: give it a name of its own, e.g. "
        f"`My{config.label}=PATH`"
    )


def _content(config: Config) -> object:
    return content_of(config.hparams["theta"])


def _check_free(config: Config) -> None:
    """Refuse a name whose labels could be those of other configs."""
    name, url = config.label, config.hparams["theta"]
    if re.match(r"(GradAccum10|GradLOpt[0-9]+|GraftedShampoo)_", name, re.IGNORECASE):
        raise OptsuiteError(
            f"the name `{name}` of the checkpoint `{url}` begins as labels of other checkpoints do: give it "
            "another one, NAME=PATH"
        )
    own = {one.label.casefold() for configs in _variants(config).values() for one in configs}
    for family in map(get_family, sorted(set(list_families()) - LEARNED.keys())):
        if both := [label for label in family.labels if label.casefold() in own]:
            raise OptsuiteError(
                f"the name `{name}` of the checkpoint `{url}` would make the folder of `{both[0]}` of the "
                f"family `{family.name}`: give it another one, NAME=PATH"
            )


def _variants(config: Config) -> dict[str, list[Config]]:
    """Return the configs of a learned optimizer by the families that they are in."""
    name, kind = config.label, config.optimizer

    def accumulated(label: str, num_average: int) -> Config:
        return Config(label, f"{kind}GradAccum", {**config.hparams, "num_average": num_average})

    return {
        "LOpt": [config],
        "LOptGradAccum10": [accumulated(f"GradAccum10_{name}", 10)],
        "GradAccum_LOpt": [accumulated(f"GradLOpt{amount}_{name}", amount) for amount in ACCUMULATIONS],
        "GraftedShampoo_LOpt": [Config(f"GraftedShampoo_{name}", f"{kind}GraftedShampoo", config.hparams)],
    }


def _families_of(configs: Sequence[Config]) -> Iterator[Family]:
    """Yield the families of some learned optimizers, in their order."""
    for name, published in LEARNED.items():
        made = tuple(one for config in configs for one in _variants(config)[name])
        yield Family(name, name, lambda made=made: made, published, joins=name == "LOpt")  # type: ignore[misc]
