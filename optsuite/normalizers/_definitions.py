"""Definitions of normalizers: the hparam sets to which each is fitted, and its file."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from optsuite import storage
from optsuite.errors import UnknownNameError
from optsuite.hparam_sets import split_name
from optsuite.normalizers._fit import NUM_KNOTS
from optsuite.normalizers._normalizer import Normalizers, parse

_BASELINES = {
    "speedup_over_adam": ("AdamLR",),
    "speedup_over_multiple_baselines": ("AdamLR", "AdamSqrtDecayLR", "AdamExpDecayLR", "RAdamLR"),
}

# (steps, repetitions): ending of the name, knots.
_PUBLISHED = {(100_000, 5): ("", NUM_KNOTS), (300_000, 5): ("_v2", 2048)}

_PUBLISHED_AT = (
    "https://raw.githubusercontent.com/google/learned_optimization/main/learned_optimization/baselines/data"
)


@dataclass(frozen=True, kw_only=True)
class Definition:
    """Hparam sets to which the normalizers of a name are fitted."""

    name: str
    sets: tuple[str, ...]
    """Names of hparam sets."""
    num_knots: int

    def url(self, root: str | None = None) -> str:
        """Return the URL of the file that holds them, for all tasks.

        Args:
            root: Root of the archives; `storage.archives_dir()` if `None`.
        """
        root = storage.archives_dir() if root is None else storage.clean_root(root)
        return storage.join_url(root, f"{self.name}.json")


def define(kind: str, num_steps: int, repetitions: int) -> Definition:
    """Return the definition of a kind, e.g. `speedup_over_adam`, and a length."""
    length = f"_{num_steps}_R{repetitions}"
    ending, num_knots = _PUBLISHED.get((num_steps, repetitions), (length, NUM_KNOTS))
    sets = tuple(family + length for family in _BASELINES[kind])
    return Definition(name=kind + ending, sets=sets, num_knots=num_knots)


DEFINITIONS: Mapping[str, Definition] = {
    definition.name: definition
    for definition in (define(kind, *length) for length in _PUBLISHED for kind in _BASELINES)
}
"""Definitions that the original published, by name."""


def get_definition(name: str) -> Definition:
    """Return the definition of a name; any length will do.

    >>> get_definition("speedup_over_adam_200_R2").sets
    ('AdamLR_200_R2',)

    Raises:
        UnknownNameError: There is no such definition; the message has the nearest names.
    """
    if name in DEFINITIONS:
        return DEFINITIONS[name]
    parts = split_name(name)
    if parts and parts[0] in _BASELINES:
        return define(*parts)
    raise UnknownNameError("normalizer", name, definition_names(*parts[1:]) if parts else DEFINITIONS)


def definition_names(num_steps: int, repetitions: int) -> list[str]:
    """Return the names of the definitions of a length.

    >>> definition_names(200, 2)
    ['speedup_over_adam_200_R2', 'speedup_over_multiple_baselines_200_R2']

    Args:
        num_steps: Number of training steps of the hparam sets.
        repetitions: Number of seeds of the hparam sets.
    """
    return [define(kind, num_steps, repetitions).name for kind in _BASELINES]


def speedup_over_adam(url: str | None = None) -> Normalizers:
    """Load the steps, of 100,000, that Adam needs at the best of its learning rates.

    Args:
        url: URL of the file; `<archives root>/speedup_over_adam.json` if `None`.

    Raises:
        MissingFileError: There is no such file; the message says how to make it or load the original's.
        StorageError: It cannot be read.
    """
    return _load_published("speedup_over_adam", url)


def speedup_over_multiple_baselines(url: str | None = None) -> Normalizers:
    """Load the steps that the best of Adam, two of its schedules and RAdam needs; see `speedup_over_adam`."""
    return _load_published("speedup_over_multiple_baselines", url)


def speedup_over_adam_v2(url: str | None = None) -> Normalizers:
    """Load `speedup_over_adam` of 300,000 steps."""
    return _load_published("speedup_over_adam_v2", url)


def speedup_over_multiple_baselines_v2(url: str | None = None) -> Normalizers:
    """Load `speedup_over_multiple_baselines` of 300,000 steps."""
    return _load_published("speedup_over_multiple_baselines_v2", url)


def packaged() -> Normalizers:
    """Load `speedup_over_adam_2000_R5` of the tasks whose baselines come with optsuite.

    Raises:
        StorageError: The file of the package is missing or damaged.
    """
    url = str(Path(__file__).with_name("speedup_over_adam_2000_R5.json"))
    missing = "there is no such file; install optsuite again"
    return parse(storage.read_bytes(url, missing=missing, most=storage.MOST_JSON), url)


def _load_published(name: str, url: str | None) -> Normalizers:
    url = DEFINITIONS[name].url() if url is None else url
    missing = (
        f"there is no such file; make it with `optsuite normalizer {name}`, or load the original's: "
        f'optsuite.normalizers.load("{_PUBLISHED_AT}/{name}.json")'
    )
    return parse(storage.read_bytes(url, missing=missing, most=storage.MOST_JSON), url)
