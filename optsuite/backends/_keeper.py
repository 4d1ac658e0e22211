"""The checkpoint of a group in its store."""

import warnings
from collections.abc import Collection
from typing import final

from optsuite import storage
from optsuite.backends._stop import Stop
from optsuite.errors import in_words
from optsuite.hparam_sets import Trial
from optsuite.storage import Claim
from optsuite.sweep import GroupFile
from optsuite.tasks import Task
from optsuite.trainer import Arrays, trial_bytes

# Parameters, gradients and what an optimizer and an estimator keep, all of it several times over.
_SPARE, _LEAST_BYTES = 8, 64 * 2**20
# Preconditioners are matrices as large as a side of a parameter, and fill up small ones.
_LEAST_SIDE = 128


@final
class StoreKeeper:
    """Keeps the state of a group that this process has claimed; a `trainer.Keeper`.

    Args:
        file: The group.
        task: Its task, whose size bounds what is read.
        every_s: Seconds of training after which the state is saved again.
        stop: Wish to stop.
        recorded: Trials of the group whose curves are recorded.
        claim: The claim on the group.
    """

    def __init__(
        self,
        file: GroupFile,
        task: Task,
        every_s: float,
        stop: Stop,
        recorded: Collection[Trial],
        claim: Claim,
    ) -> None:
        self.every_s = every_s
        matrices = sum(4 * max(side, _LEAST_SIDE) ** 2 for shape in task.param_shapes for side in shape)
        self._most = _LEAST_BYTES + _SPARE * (trial_bytes(task) + matrices) * len(file.trial_ids)
        self._file, self._stop, self._recorded, self._claim = file, stop, recorded, claim

    def load(self) -> Arrays | None:
        """Read the checkpoint, if there is one."""
        try:
            npz = storage.Npz(self._file.state_url, most=self._most)
            if npz.num_bytes > npz.file_bytes:  # so that no small file takes much memory
                raise storage.CorruptFileError(f"`{self._file.state_url}` is compressed, as no checkpoint is")
            return dict(npz)
        except storage.MissingFileError:
            return None
        except storage.CorruptFileError as error:
            self.set_aside(in_words(error))
            return None

    def save(self, arrays: Arrays) -> None:
        """Write the checkpoint in place of the last one, unless another process has taken over."""
        if not self._claim.is_lost:
            storage.write_npz(self._file.state_url, arrays, compress=False)

    def set_aside(self, reason: str) -> None:
        """Rename a checkpoint from which nothing can go on."""
        aside = storage.set_aside(self._file.state_url)
        warnings.warn(
            f"the training of {self._file.cell_name} begins anew: {reason}; its checkpoint is now {aside}",
            RuntimeWarning,
            stacklevel=2,
        )

    def should_stop(self) -> bool:
        """Return whether to save and stop: a signal came, or another process has taken over."""
        return self._stop.is_wished or self._claim.is_lost

    def recorded(self) -> Collection[Trial]:
        """Return the trials of the group whose curves are recorded."""
        return self._recorded
