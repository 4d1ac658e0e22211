"""Normalizers, from a loss to steps, and their files: the original's JSON."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final, overload

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from optsuite import storage
from optsuite._types import Array
from optsuite.errors import OptsuiteError, StorageError, UnknownNameError
from optsuite.storage import CorruptFileError, MissingFileError


@dataclass(frozen=True, eq=False)
class Normalizer:
    """Training steps that the best baseline needs to reach a loss: the lower the loss, the more.

    >>> normalizer = Normalizer(xs=[0, 10, 20, 30], ys=[3, 2, 2, 1])
    >>> normalizer(2.5), normalizer(2.0), normalizer(1.5)
    (5.0, 10.0, 25.0)

    Raises:
        OptsuiteError: The knots do not make a curve that falls from step 0 on.
    """

    xs: Array
    """(K,), float64, steps; they rise from 0."""
    ys: Array
    """(K,), float64, the lowest loss up to each step, in the task's own unit; they never rise."""

    def __post_init__(self) -> None:
        xs, ys = (np.array(values, dtype=np.float64) for values in (self.xs, self.ys))
        object.__setattr__(self, "xs", xs)
        object.__setattr__(self, "ys", ys)
        if xs.ndim != 1 or xs.shape != ys.shape or xs.size < 2:
            raise OptsuiteError(
                f"xs and ys must be equally many numbers, two or more (got shapes {xs.shape} and {ys.shape})"
            )
        _require("xs must be finite", xs, np.isfinite(xs))
        _require("ys must be finite", ys, np.isfinite(ys))
        _require("xs must rise from 0", xs, np.r_[xs[0] == 0, np.diff(xs) > 0])
        _require("ys must never rise", ys, np.r_[True, np.diff(ys) <= 0])

    @property
    def horizon(self) -> float:
        """Last step to which the baselines were trained."""
        return float(self.xs[-1])

    @overload
    def __call__(self, loss: float) -> float: ...
    @overload
    def __call__(self, loss: Array) -> npt.NDArray[np.float32]: ...
    @overload
    def __call__(self, loss: Tensor) -> Tensor: ...
    def __call__(self, loss: float | Array | Tensor) -> float | Array | Tensor:
        """Return the steps to a loss, by linear interpolation; the first step where the baselines stay at it.

        Args:
            loss: (...), in the task's own unit.

        Returns:
            (...), float32, of the kind of `loss` and on its device: 0 for the loss at the start, a higher
            one, or one that is not finite (`-inf` too: it has diverged); `horizon` for the lowest loss of
            the baselines or a lower one. Between, steps rise as the loss falls, up to float32 rounding.
        """
        if isinstance(loss, Tensor):
            return _interpolate(loss.detach(), self.xs, self.ys)
        steps = self(torch.from_numpy(np.array(loss, dtype=np.float64))).numpy()
        return steps if isinstance(loss, np.ndarray) else float(steps)


def _require(law: str, values: Array, holds: Array) -> None:
    if not holds.all():
        raise OptsuiteError(f"{law} (got {values[holds.argmin()]} at knot {holds.argmin()})")


def _interpolate(loss: Tensor, xs: Array, ys: Array) -> Tensor:
    """Return `jax.numpy.interp(loss, ys[::-1], xs[::-1])` as compiled, in float32; 0 if not finite.

    Of a loss that is not finite it is 0 too.

    XLA makes one instruction of the product and the sum, which rounds once. In float64 the product of two
    float32 is exact, and the last cast is that one rounding.
    """
    is_finite, loss = loss.isfinite(), loss.to(torch.float32).contiguous()
    losses, steps = (
        torch.from_numpy(values[::-1].copy()).to(loss.device, torch.float32) for values in (ys, xs)
    )
    above = torch.searchsorted(losses, loss, right=True).clamp(1, len(losses) - 1)
    below = above - 1
    width = losses[above] - losses[below]
    is_flat = width <= float(np.spacing(np.finfo(np.float32).eps))  # the threshold of jax.numpy.interp
    share = (loss - losses[below]) / width.masked_fill(is_flat, 1)
    fall = steps[above] - steps[below]
    result = (share.double() * fall.double() + steps[below].double()).float()
    result = torch.where(is_flat, steps[below], result)
    result = torch.where(loss < losses[0], steps[0], result)
    result = torch.where(loss > losses[-1], steps[-1], result)
    return torch.where(result.isfinite() & is_finite, result, 0)


@final
class Normalizers(dict[str, Normalizer]):
    """Normalizers by task.

    Raises:
        UnknownNameError: A task has no normalizer; the message has the file and the nearest names.
    """

    def __init__(self, by_task: Mapping[str, Normalizer], url: str) -> None:
        super().__init__(by_task)
        self.url = url

    def __missing__(self, task: str) -> Normalizer:
        raise UnknownNameError(f"task (in `{self.url}`)", task, self or ["none: the file is empty"])


def load(url: str) -> Normalizers:
    """Load a file of normalizers, ours or the original's.

    Args:
        url: A path or any URL that fsspec knows.

    Raises:
        MissingFileError: There is no such file.
        CorruptFileError: It is not understood; the message has the task.
        StorageError: The storage cannot be reached.
    """
    return parse(storage.read_bytes(url, most=storage.MOST_JSON), url)


def write(normalizers: Mapping[str, Normalizer], url: str, *, overwrite: bool = False) -> list[str]:
    """Add normalizers to a file, atomically; one that holds the same already is left untouched.

    Writers at the same time wait for one another, and what each of them adds is kept.

    Args:
        normalizers: Normalizers by task.
        url: URL of the file, which need not be there yet.
        overwrite: Replace normalizers of the same tasks.

    Returns:
        Names of the tasks whose normalizers were replaced by other ones, sorted.

    Raises:
        StorageError: The file has other normalizers of these tasks, it cannot be read or written, or it
            would become too large to be read.
    """
    content, taken = _merged(normalizers, url, overwrite)
    if content is None:
        return taken
    with storage.locked(url):
        content, taken = _merged(normalizers, url, overwrite)  # of what others wrote meanwhile
        if content is not None:
            storage.write_bytes(url, content)
    return taken


def _merged(
    normalizers: Mapping[str, Normalizer], url: str, overwrite: bool
) -> tuple[bytes | None, list[str]]:
    """Return the content that a file should have, None if it has it; and the tasks that are replaced."""
    try:
        old = {task: _line(task, normalizer) for task, normalizer in load(url).items()}
    except MissingFileError:
        old = {}
    new = {task: _line(task, normalizer) for task, normalizer in normalizers.items()}
    taken = sorted(task for task in old.keys() & new.keys() if old[task] != new[task])
    if taken and not overwrite:
        raise StorageError(
            f"`{url}` has other normalizers of {', '.join(taken)}: pass overwrite=True to replace them"
        )
    merged = old | new
    if merged == old:
        return None, taken
    lines = ",\n".join(merged[task] for task in sorted(merged))
    content = f"{{\n{lines}\n}}".encode()
    if len(content) > storage.MOST_JSON:
        raise StorageError(
            f"`{url}` cannot hold normalizers of {len(merged)} tasks: needed at most {storage.MOST_JSON:,} "
            f"bytes, got {len(content):,}; write those of some tasks to another file"
        )
    return content, taken


def _line(task: str, normalizer: Normalizer) -> str:
    return f"{json.dumps(task)}:{json.dumps([normalizer.xs.tolist(), normalizer.ys.tolist()])}"


def parse(content: bytes, url: str) -> Normalizers:
    """Parse a file that was read.

    Args:
        content: Content of the file.
        url: URL of the file, for errors.

    Raises:
        CorruptFileError: It is not understood; the message has the task.
    """
    entries = storage.parse_json(content, url)
    if not isinstance(entries, dict):
        raise CorruptFileError(
            f'`{url}` is no file of normalizers: needed {{"task": [xs, ys], ...}}, '
            f"got a {type(entries).__name__}"
        )
    return Normalizers({task: _parse_entry(entry, task, url) for task, entry in entries.items()}, url)


def _parse_entry(entry: Any, task: str, url: str) -> Normalizer:  # noqa: ANN401 (any JSON)
    try:
        xs, ys = entry
        if odd := [value for value in (*xs, *ys) if type(value) not in (int, float)]:
            raise TypeError(f"xs and ys must be numbers (got {odd[0]!r:.80})")
        return Normalizer(xs, ys)
    except (OptsuiteError, TypeError, ValueError, OverflowError) as cause:
        raise CorruptFileError(
            f"cannot read the normalizer of `{task}` in `{url}`: needed [xs, ys]; {cause}"
        ) from cause
