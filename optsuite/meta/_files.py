"""The files of a training: its state while it lasts, then the checkpoint, the losses and their plot."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, final

import numpy as np

from optsuite import storage
from optsuite._types import Array, Params
from optsuite.errors import HParamError, StorageError, in_words, parameter, quoted
from optsuite.meta._settings import without_defaults
from optsuite.optimizers import Checkpoint, read_checkpoint, write_checkpoint
from optsuite.trainer import Arrays
from optsuite.words import counted

_SUFFIX = ".safetensors"
_MOST_STATE = 2**34  # bytes: the inner trainings of large tasks, side by side, take gigabytes


@final
class Files:
    """The files of one training, which names itself in each that is read again.

    Args:
        output: Path or URL of the checkpoint.
        kind: Kind of the learned optimizer.
        architecture: Arguments of its factory.
        account: Everything else that decides theta.

    Raises:
        StorageError: The output does not end in `.safetensors`.
        HParamError: A checkpoint cannot hold the account.
    """

    def __init__(
        self, output: str, kind: str, architecture: Mapping[str, float], account: Mapping[str, Any]
    ) -> None:
        if not output.endswith(_SUFFIX):
            raise StorageError(f"a checkpoint needs a name that ends in `{_SUFFIX}` (got `{output}`)")
        self._output = output
        self._kind, self._architecture, self._account = kind, architecture, account
        identity = {"kind": kind, "architecture": architecture, **account}
        try:
            # As JSON gives it back, with lists for tuples.
            self._identity = json.loads(json.dumps(identity, allow_nan=False))
        except (TypeError, ValueError) as cause:
            raise HParamError(
                f"settings must be finite numbers, words or tuples of these ({cause}): got {identity}"
            ) from cause
        self._stem = output.removesuffix(_SUFFIX)
        self._state = f"{self._stem}.state.npz"

    def finished(self) -> Checkpoint | None:
        """Read the checkpoint, if it is there; it may be of other versions of packages.

        Raises:
            StorageError: It is that of another training, or cannot be read.
        """
        if not storage.exists(self._output):
            return None
        try:
            found = read_checkpoint(self._output)
        except storage.CorruptFileError as cause:
            raise storage.CorruptFileError(
                f"{quoted(cause)}; or begin anew with `{parameter('restart')}`, which replaces it"
            ) from cause
        architecture = without_defaults(found.kind, found.architecture)
        described = {"kind": found.kind, "architecture": architecture, **found.training}
        self._check(self._output, described | {"versions": self._identity.get("versions")})
        return found

    def saved(self) -> Arrays | None:
        """Read the state, if it is there.

        Raises:
            StorageError: It is that of another training, or cannot be read.
        """
        if not storage.exists(self._state):
            return None
        try:
            arrays = storage.read_npz(self._state, most=_MOST_STATE)
            found = storage.parse_json(str(arrays.pop("training", "{}")), self._state)
        except storage.CorruptFileError as cause:
            raise self.damaged(cause.__cause__ or cause) from cause
        self._check(self._state, found)
        return arrays

    def damaged(self, cause: BaseException) -> StorageError:
        """Make the error that says that no training can go on from the state."""
        return storage.CorruptFileError(
            f"no training can go on from `{self._state}` ({in_words(cause)}): begin anew with "
            f"`{parameter('restart')}`, or choose another output"
        )

    def save(self, state: Arrays) -> None:
        """Write the state in place of the last one.

        Raises:
            StorageError: It cannot be written.
        """
        storage.write_npz(self._state, {"training": np.array(json.dumps(self._identity)), **state})

    def forget(self) -> None:
        """Delete the state."""
        storage.remove(self._state, missing_ok=True)

    def finish(self, theta: Params, losses_T: Array) -> Checkpoint:
        """Write what a training leaves, the checkpoint last, and delete the state.

        Raises:
            StorageError: A file cannot be written.
        """
        from optsuite import vis  # seaborn takes seconds to import

        lines = ["step,loss", *(f"{step},{loss:.9g}" for step, loss in enumerate(losses_T))]
        storage.write_bytes(f"{self._stem}.losses.csv", "\n".join([*lines, ""]).encode())
        with vis.without_pyplot():
            title = f"{self._kind}, trained on {counted(len(self._account['tasks']), 'task')}"
            is_stand_in = self._account["data"] == "synthetic"
            drawn = vis.draw_meta_losses(losses_T, title=title, is_stand_in=is_stand_in)
        storage.write_bytes(f"{self._stem}.losses.png", vis.render(drawn, "png"))
        written = write_checkpoint(
            self._output, self._kind, theta, architecture=self._architecture, training=self._account
        )
        self.forget()
        return written

    def _check(self, url: str, found: Mapping[str, Any]) -> None:
        different = sorted(
            name
            for name in {*found, *self._identity}
            if found.get(name, self) != self._identity.get(name, self)
        )
        if different:
            name = different[0]
            raise StorageError(
                f"`{url}` is of another training: needed one with `{name}` {self._identity.get(name)!r}, got "
                f"{found.get(name)!r}; choose another output, or begin anew with `{parameter('restart')}`"
            )
