"""Check of a file of curves: all of it is held against its folder, its name and its own facts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from optsuite import storage
from optsuite.curves._curve import EVAL_KEYS, REQUIRED_KEYS, SCHEDULE_KEYS
from optsuite.curves._names import Place, place_of, trial_id_of
from optsuite.errors import StorageError
from optsuite.words import listed, shown

if TYPE_CHECKING:
    from optsuite._types import Array

MOST_BYTES = 64 * 2**20
"""Largest size of a curve in memory: 5 million steps."""

_MOST_OTHER_BYTES = 4 * 2**20  # text, and keys that are not of the format
_HEADER_BYTES = 256  # about those of an array in an npz file

_MOST_NAMED = 8  # keys that an error names

_OWN_KEYS = ("seed", "data_source", "trial_id")
_SOURCES = ("real", "synthetic")
_METRIC = np.dtype(np.float32)
_DTYPES: dict[str, np.dtype[Any]] = {
    **dict.fromkeys(("train/xs", "eval/xs"), np.dtype(np.int64)),
    **dict.fromkeys(("train/loss", *(key for key in EVAL_KEYS if key.count("/") == 2)), _METRIC),
    **dict.fromkeys((*SCHEDULE_KEYS, "eval/eval_batches", "eval/last_eval_batches"), np.dtype(np.int64)),
    **dict.fromkeys(("accelerator_devs", "seed", "peak_memory_bytes", "flops_per_step"), np.dtype(np.int64)),
    "seconds_per_step": np.dtype(np.float64),
}
_TEXTS = frozenset(
    {
        *("task_name", "eval_task_name", "opt_name", "gin_operative_config"),
        *("accelerator_platform", "accelerator_kind", "data_source", "trial_id"),
        *("optsuite_version", "torch_version", "trained_as", "precision"),
    }
)
_WORDS = {"i": "integers", "f": "floating-point numbers"}


def most_bytes(url: str) -> int:
    """Return how much memory the curve of a file may take, as the schedule in its folder's name tells it.

    That is 12 bytes a step, 128 an evaluation and 4 MiB of text and other keys, `MOST_BYTES` at most.
    """
    place = place_of(url)
    return MOST_BYTES if place is None else _most_bytes(*place.schedule[:2])


def check_length(num_steps: int, eval_every: int) -> None:
    """Raise StorageError if the curve of a schedule would be too large to be read."""
    if _most_bytes(num_steps, eval_every) == MOST_BYTES:
        raise StorageError(
            f"the curve of {num_steps:,} steps with an evaluation every {eval_every} is too large: needed "
            f"less than {MOST_BYTES:,} bytes; take fewer steps or evaluations"
        )


def _most_bytes(num_steps: int, eval_every: int) -> int:
    curves = 12 * (num_steps + 1) + 128 * (num_steps // eval_every + 1)
    return min(MOST_BYTES, curves + _MOST_OTHER_BYTES)


def misfit(arrays: Mapping[str, Array], url: str) -> str | None:
    """Return what is wrong with a curve; None if nothing is.

    Sizes are checked before arrays are decompressed, and what is large is read last.

    Args:
        arrays: Arrays by key, as `storage.Npz` or in memory.
        url: The file. Its folder says schedule, task and label, its name the id of a trial of ours; a folder
            of another form says nothing. The original's files have another task name, and no id.
    """
    return next(_misfits(arrays, url), None)


def _misfits(arrays: Mapping[str, Array], url: str) -> Iterator[str]:
    """Tell all misfits; those after the first suppose that it is mended."""
    is_ours = trial_id_of(url) is not None or "trial_id" in arrays
    needed = [*REQUIRED_KEYS, *(_OWN_KEYS if is_ours else ())]
    yield from _missing(arrays, needed)
    for key in arrays:
        yield from _misfits_of_form(arrays, key, is_ours)
    yield from _misfits_of_schedule(arrays, place_of(url))
    texts = [key for key in arrays if _form(arrays, key)[1].kind == "U"]
    yield from (f"`{shown(key)}` is no text" for key in texts if not is_text(arrays[key]))
    yield from _misfits_of_facts(arrays)
    if is_ours:
        yield from _misfits_of_identity(arrays, place_of(url), trial_id_of(url))


def _missing(arrays: Mapping[str, Array], needed: list[str]) -> Iterator[str]:
    if lacking := [key for key in needed if key not in arrays]:
        yield f"it lacks {_named(lacking)}; its keys are {_named(arrays)}"


def _misfits_of_form(arrays: Mapping[str, Array], key: str, is_ours: bool) -> Iterator[str]:
    """Hold an array's dtype and number of dimensions against its key."""
    shape, dtype = _form(arrays, key)
    needed: np.dtype[Any] | None = _METRIC if _is_metric(key) else _DTYPES.get(key)
    if key in _TEXTS:
        is_fit, words = dtype.kind == "U", "text"
    elif needed is None:
        is_fit, words = dtype.kind in "biufU", "numbers or text"
    elif is_ours:
        is_fit, words = dtype == needed, str(needed)
    else:  # the original's dtypes follow the settings of jax
        kinds = "iu" if needed.kind == "i" else needed.kind
        is_fit, words = dtype.kind in kinds, _WORDS[needed.kind]
    if not (is_fit and dtype.isnative):
        yield f"`{shown(key)}` needs {words}, got {shown(str(dtype))}"
    if (key in _TEXTS or (key in _DTYPES and not _is_curve(key))) and shape != ():
        yield f"`{key}` needs one value, got shape {shape}"


def _misfits_of_schedule(arrays: Mapping[str, Array], place: Place | None) -> Iterator[str]:
    """Hold counts, lengths, the size and the steps against each other and the folder."""
    schedule = tuple(int(arrays[key]) for key in SCHEDULE_KEYS)
    num_steps, eval_every, eval_batches, last_eval_batches = schedule
    if place and schedule != place.schedule:
        yield f"its schedule is {_joined(schedule)}, its folder's {_joined(place.schedule)}"
    if num_steps < 0 or eval_every < 1 or eval_batches < 0 or last_eval_batches < 0:
        yield f"its schedule is {_joined(schedule)}"
    strides = {"train": 1}
    if eval_batches:
        yield from _missing(arrays, list(EVAL_KEYS))
        strides["eval"] = eval_every
        for key, count in (("eval_batches", eval_batches), ("last_eval_batches", last_eval_batches)):
            if arrays[f"eval/{key}"] != count:
                yield f"`eval/{key}` is {arrays[f'eval/{key}']}, `{key}` {count}"
    elif evaluated := [key for key in arrays if key.startswith("eval/")]:
        yield f"`eval_batches` is 0, and it has {_named(evaluated)}"
    for key in filter(_is_curve, arrays):
        shape, needed = _form(arrays, key)[0], num_steps // strides[key.partition("/")[0]] + 1
        if shape != (needed,):
            yield f"`{key}` needs shape ({needed},), got {shape}"
    if (size := sum(_size(arrays, key) for key in arrays)) > _most_bytes(num_steps, eval_every):
        yield f"it takes {size:,} bytes, more than a curve of its schedule"
    for room, stride in strides.items():
        if not np.array_equal(arrays[f"{room}/xs"], np.arange(0, num_steps + 1, stride)):
            yield f"`{room}/xs` is not the steps of its schedule"


def _misfits_of_facts(arrays: Mapping[str, Array]) -> Iterator[str]:
    """Hold measurements and the kind of data against what can be."""
    seconds = float(arrays.get("seconds_per_step", np.array(np.nan)))
    if not (np.isnan(seconds) or 0 <= seconds < np.inf):
        yield f"`seconds_per_step` is {seconds}"
    for key, least in (("accelerator_devs", 0), ("peak_memory_bytes", -1), ("flops_per_step", -1)):
        if key in arrays and int(arrays[key]) < least:
            yield f"`{key}` is {arrays[key]}"
    source = str(arrays.get("data_source", _SOURCES[0]))
    if source not in _SOURCES:
        yield f"its `data_source` is `{shown(source)}`"


def _misfits_of_identity(
    arrays: Mapping[str, Array], place: Place | None, trial: str | None
) -> Iterator[str]:
    """Hold names and ids against those of folder and file."""
    told = {"task_name": place.task, "opt_name": place.label} if place else {}
    for key, needed in told.items():
        if needed and (name := str(arrays[key])) != needed:  # a relative path may say less
            yield f"its `{key}` is `{shown(name)}`, its folder's `{needed}`"
    if (identity := str(arrays["trial_id"])) != trial:
        yield f"its `trial_id` is `{shown(identity)}`, in its name `{trial}`"


def _is_metric(key: str) -> bool:
    return key.startswith("eval/") and key.count("/") == 2


def _is_curve(key: str) -> bool:
    return key in ("train/xs", "train/loss", "eval/xs") or _is_metric(key)


def is_text(array: Array) -> bool:
    """Return whether an array is text that can be printed and stored."""
    try:
        for text in array.flat if array.dtype.kind == "U" else ():
            str(text).encode()
    except (ValueError, SystemError):  # a code point beyond Unicode, or half of a pair
        return False
    return array.dtype.kind == "U"


def _form(arrays: Mapping[str, Array], key: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return the shape and dtype of an array, which an npz tells without decompressing it."""
    if isinstance(arrays, storage.Npz):
        return arrays.header(key)
    array = np.asarray(arrays[key])
    return array.shape, array.dtype


def _size(arrays: Mapping[str, Array], key: str) -> int:
    """Return the size of an array in a file, with its header."""
    shape, dtype = _form(arrays, key)
    return math.prod(shape) * dtype.itemsize + _HEADER_BYTES


def _named(keys: Iterable[str]) -> str:
    return listed([shown(key) for key in keys], _MOST_NAMED)


def _joined(schedule: tuple[int, ...]) -> str:
    return "_".join(map(str, schedule))
