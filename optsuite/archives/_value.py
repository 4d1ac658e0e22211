"""The one value that readers of archives use: facts at once, arrays when they are asked for."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, final

import numpy as np

from optsuite import storage
from optsuite._types import Array
from optsuite.curves import SCHEDULE_KEYS, is_text
from optsuite.errors import OptsuiteError, StorageError
from optsuite.hparam_sets import HparamValue, Schedule, get_hparam_set
from optsuite.storage import CorruptFileError, MissingFileError
from optsuite.words import listed, shown

# Kinds of dtype of the facts of an archive, which are (H, S) where they are recorded.
_FACTS = {
    **dict.fromkeys(("opt_name", "gin_operative_config", "data_source"), "U"),
    **dict.fromkeys(("seed", *SCHEDULE_KEYS), "iu"),
}
_KINDS = {"U": "text", "iu": "integers", "iuf": "numbers"}

_MOST_NAMED = 50  # keys that an error names

_LR = re.compile(r"^\w+\.learning_rate = ([-+.\de]{1,40})$", re.MULTILINE | re.ASCII)
_OPT_NAME = re.compile(r"^inner_train_task\.opt_name = '([^']+)'", re.MULTILINE)


class NotEvaluatedError(StorageError):
    """The trials of an archive were trained without evaluations, so that nothing tells how good they are."""


class RecordedConfig(NamedTuple):
    """A config as an archive tells it."""

    label: str
    hparams: Mapping[str, HparamValue]
    """Hyperparameters by name; empty where nothing is known."""


@dataclass(frozen=True, kw_only=True)
class _Place:
    """A cell and where its archive lies."""

    task: str
    """Name of the task, as the folder says it: the original's archives hold another."""
    hparam_set: str
    """Name of the hparam set."""
    url: str
    """URL of the archive."""
    store: str = ""
    """Label that tells stores apart which lie side by side; the root of the archives if none is given."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "store", self.store or self.root)

    @property
    def root(self) -> str:
        """Root under which the archive lies."""
        return self.url.rsplit("/", 2)[0]


@dataclass(frozen=True, kw_only=True)
class Facts(_Place):
    """All that an archive says about its cell besides arrays; base of `Archive` and `statistics.Results`."""

    configs: tuple[RecordedConfig, ...]
    """(H,), in the order of the set."""
    seeds: Array | None
    """(H, S), int64; None in the original's archives, which do not keep them."""
    data_source: str | None
    """`real` or the kind of stand-in; None in the original's archives, which are of real data."""
    num_steps: int
    schedule: Schedule | None
    """Schedule of the trials; None where the archive does not tell all of it."""

    @property
    def is_stand_in(self) -> bool:
        """Whether the data were generated in place of real ones."""
        return self.data_source not in (None, "real")

    def hparam(self, name: str) -> Array:
        """Return a hyperparameter of each config, (H,), float64; NaN where it is no number or missing."""
        values = (config.hparams.get(name) for config in self.configs)
        is_number = ((v, isinstance(v, float | int) and not isinstance(v, bool)) for v in values)
        return np.array([v if number else np.nan for v, number in is_number], dtype=np.float64)


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Archive(Facts):
    """An archive that was fetched: its facts are checked, its arrays when they are asked for."""

    arrays: Mapping[str, Array]
    """All arrays of the file by key, (H, S, ...), as they are; decompressed when they are first asked for."""

    def curves(self, *keys: str) -> dict[str, Array]:
        """Return curves of all configs, (H, S, points), checked.

        Args:
            keys: Keys of the curves, e.g. `eval/test/loss`. With `train/xs` or `eval/xs` among them, the
                others under `train/` or `eval/` must be as long.

        Raises:
            CorruptFileError: A curve is missing, damaged, of a wrong shape or no numbers, or steps are not
                those of the schedule.
            NotEvaluatedError: The missing curves are evaluations, and nothing was evaluated.
        """
        if lacking := [key for key in keys if key not in self.arrays]:
            if all(key.startswith("eval/") for key in lacking) and not self.has_evaluations:
                raise NotEvaluatedError(
                    f"`{self.url}` was not evaluated (eval_batches=0): it lacks {', '.join(lacking)}"
                )
            raise CorruptFileError(
                f"`{self.url}` is not a complete archive: it lacks {', '.join(lacking)} "
                f"(it has {_named(self.arrays)})"
            )
        leading = self.arrays["train/loss"].shape[:2]
        lengths = {key.partition("/")[0]: self.arrays[key].shape[-1:] for key in keys if key.endswith("/xs")}
        for key in keys:
            shape, needed = self.arrays[key].shape, (*leading, *lengths.get(key.partition("/")[0], ()))
            if len(shape) != 3 or 0 in shape or shape[: len(needed)] != needed:
                raise _unfit(self.url, key, f"shape (configs, repetitions, points), here {needed}", shape)
            _check_kind(self.arrays, self.url, key, "iu" if key.endswith("/xs") else "iuf")
            if key.endswith("/xs"):
                self._check_steps(key)
        return {key: self.arrays[key] for key in keys}

    def _check_steps(self, key: str) -> None:
        """Hold the steps of curves against the schedule; all curves have the same."""
        steps = self.arrays[key]
        needed = steps[0, 0]
        if self.schedule is not None:
            stride = 1 if key == "train/xs" else self.schedule.eval_every
            needed = np.arange(0, self.num_steps + 1, stride)
        if needed.shape != steps.shape[-1:] or (steps != needed).any() or (np.diff(needed) <= 0).any():
            raise _unfit(self.url, key, "the steps of its schedule", "others")

    def values(self, key: str, kinds: str = "iuf") -> Array | None:
        """Return one value of each trial, (H, S), checked; None if the archive has no such key.

        Args:
            key: Key of the array, e.g. `seconds_per_step`.
            kinds: Kinds of dtype that it may have, as numpy abbreviates them.

        Raises:
            CorruptFileError: The array is damaged, of a wrong shape or of another kind.
        """
        return _values(self.arrays, self.url, key, kinds)

    @property
    def has_evaluations(self) -> bool:
        """Whether there are evaluations, or should be: not if the schedule has none (`eval_batches=0`)."""
        has_some = any(key.startswith("eval/") for key in self.arrays)
        return has_some or self.schedule is None or self.schedule.eval_batches > 0


@final
@dataclass(frozen=True, kw_only=True)
class Absent(_Place):
    """A cell without an archive that can be used."""

    error: StorageError
    """The reason, in full."""

    @property
    def reason(self) -> str:
        """`missing`, `not evaluated` or `unreadable`."""
        if isinstance(self.error, MissingFileError):
            return "missing"
        return "not evaluated" if isinstance(self.error, NotEvaluatedError) else "unreadable"

    @property
    def why_no_best(self) -> str:
        """Reason why there is no best config, in the words of figures and pages."""
        return "no archive" if self.reason == "missing" else self.reason


def describe(
    arrays: Mapping[str, Array], *, task: str, hparam_set: str, url: str, store: str = ""
) -> Archive:
    """Check the facts of an archive.

    Args:
        arrays: Arrays by key, from `storage.Npz` or `stack_curves`.
        task: Name of the task.
        hparam_set: Name of the set.
        url: URL of the archive.
        store: Label of the store; the archive's root if empty.

    Raises:
        CorruptFileError: There is no training loss, or a fact has a wrong shape or kind.
    """
    if "train/loss" not in arrays:
        raise CorruptFileError(
            f"`{url}` is not a complete archive: it lacks train/loss (it has {_named(arrays)})"
        )
    shape = arrays["train/loss"].shape
    if len(shape) != 3 or 0 in shape:
        raise _unfit(url, "train/loss", "shape (configs, repetitions, points)", shape)
    _check_kind(arrays, url, "train/loss", "iuf")
    facts = {key: _values(arrays, url, key, kinds) for key, kinds in _FACTS.items()}
    num_steps = shape[-1] - 1
    return Archive(
        task=task,
        hparam_set=hparam_set,
        url=url,
        store=store,
        configs=_configs(facts["opt_name"], facts["gin_operative_config"], hparam_set, shape[0]),
        seeds=facts["seed"],
        data_source=_data_source(facts["data_source"], url),
        num_steps=num_steps,
        schedule=_schedule({key: facts[key] for key in SCHEDULE_KEYS}, num_steps, url),
        arrays=arrays,
    )


def recorded_config(opt_name: str, config_text: str) -> RecordedConfig:
    """Return the config of a curve.

    Args:
        opt_name: Label in curves of ours; in the original's, a name that different configs may share.
        config_text: JSON in curves of ours; in the original's, Gin with the label and the learning rate.
    """
    try:
        hparams = {**storage.parse_json(config_text, "configuration")["hparams"]}
        told = {k: tuple(v) if isinstance(v, list) else v for k, v in hparams.items()}
        return RecordedConfig(opt_name, {k: v for k, v in told.items() if _is_hparam(v)})
    except (OptsuiteError, LookupError, TypeError):
        label, lr = _OPT_NAME.search(config_text), _LR.search(config_text)
        return RecordedConfig(label[1] if label else opt_name, _number("lr", lr[1] if lr else ""))


def _is_hparam(value: object) -> bool:
    values = value if isinstance(value, tuple) else (value,)
    return all(isinstance(one, float | int | str) for one in values)


def _number(name: str, text: str) -> dict[str, HparamValue]:
    """Return a hyperparameter; nothing if it is no finite number."""
    try:
        value = float(text)
    except ValueError:
        return {}
    return {name: value} if math.isfinite(value) else {}


def _configs(
    names_HS: Array | None, texts_HS: Array | None, hparam_set: str, num_configs: int
) -> tuple[RecordedConfig, ...]:
    """Return the configs as the curves tell them, else as their set does, else numbered."""
    if names_HS is not None and texts_HS is not None:
        named = zip(names_HS[:, 0], texts_HS[:, 0], strict=True)
        told = tuple(recorded_config(str(name), str(text)) for name, text in named)
        labels = {config.label for config in told if config.label.isprintable()}
        if len(labels) == num_configs:
            return told
    try:
        configs = get_hparam_set(hparam_set).configs
    except OptsuiteError:
        configs = ()
    if len(configs) == num_configs:
        return tuple(RecordedConfig(config.label, config.hparams) for config in configs)
    return tuple(RecordedConfig(f"config{h}", {}) for h in range(num_configs))


def _data_source(sources_HS: Array | None, url: str) -> str | None:
    """Return the kind of data; one trial on stand-in data makes all of it a stand-in."""
    kinds = [] if sources_HS is None else [str(kind) for kind in sources_HS.flat]
    found = next((kind for kind in kinds if kind != "real"), kinds[0] if kinds else None)
    if found and shown(found) != found:
        raise _unfit(url, "data_source", "a kind of data", shown(found))
    return found


def _schedule(counts: Mapping[str, Array | None], num_steps: int, url: str) -> Schedule | None:
    """Return the schedule that all trials have; None if it is not known."""
    known = {key: count_HS for key, count_HS in counts.items() if count_HS is not None}
    for key, count_HS in known.items():
        if (count_HS != count_HS[0, 0]).any():
            raise _unfit(url, key, "one value for all trials", "several")
    if "num_steps" in known and known["num_steps"][0, 0] != num_steps:
        raise _unfit(url, "num_steps", f"the length of train/loss, {num_steps}", known["num_steps"][0, 0])
    try:
        numbers = {key: int(count_HS[0, 0]) for key, count_HS in known.items()}
        return Schedule(**numbers) if len(numbers) == len(counts) else None
    except OptsuiteError as cause:
        raise CorruptFileError(f"`{url}` is not an archive: {cause}") from cause


def _values(arrays: Mapping[str, Array], url: str, key: str, kinds: str) -> Array | None:
    if key not in arrays:
        return None
    leading = arrays["train/loss"].shape[:2]
    if arrays[key].shape != leading:
        raise _unfit(url, key, f"shape (configs, repetitions), here {leading}", arrays[key].shape)
    _check_kind(arrays, url, key, kinds)
    return arrays[key]


def _check_kind(arrays: Mapping[str, Array], url: str, key: str, kinds: str) -> None:
    """Raise CorruptFileError for an array of another kind, or of text that cannot be printed."""
    dtype = arrays[key].dtype
    if dtype.kind not in kinds or not dtype.isnative:
        raise _unfit(url, key, _KINDS[kinds], dtype)
    if dtype.kind == "U" and not is_text(arrays[key]):
        raise _unfit(url, key, "text", "what is no Unicode")


def _named(keys: Iterable[str]) -> str:
    return listed([shown(key) for key in keys], _MOST_NAMED)


def _unfit(url: str, key: str, needed: str, got: object) -> CorruptFileError:
    return CorruptFileError(f"`{url}` is not an archive: `{key}` needs {needed}, got {got}")
