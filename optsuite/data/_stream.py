"""The order in which examples are put into batches."""

import numpy as np
import torch
from torch import Tensor

from optsuite._types import Array
from optsuite.data._random import permutation
from optsuite.errors import DataError


class IndexStream:
    """An endless sequence of batches of example indices that can be entered anywhere.

    Batches are consecutive cuts of one endless sequence of permutations, a fresh one per epoch,
    keyed by (seed, name, epoch). So every example is seen once per epoch, a batch may straddle
    two epochs or hold several, and batch t does not depend on which batches were asked for
    before.

    Args:
        num_examples: Number of examples; indices run from 0 to `num_examples - 1`.
        batch_size: Number of indices in a batch.
        seed: Seed of the stream; streams of different seeds are independent.
        name: Name of the stream, e.g. `"train"` or `"eval/train"`; so are streams of different names.

    Example:
        >>> IndexStream(5, 3, seed=0, name="train").block(0, 2).shape
        torch.Size([2, 3])
    """

    def __init__(self, num_examples: int, batch_size: int, *, seed: int, name: str) -> None:
        if num_examples < 1 or batch_size < 1:
            raise DataError(
                f"a stream of batches needs at least one example and one per batch, got "
                f"{num_examples} examples in batches of {batch_size} for `{name}`."
            )
        self.num_examples = num_examples
        self.batch_size = batch_size
        self.seed = seed
        self.name = name
        self._latest: tuple[int, Array] | None = None  # an epoch and its permutation

    def block(self, start: int, stop: int) -> Tensor:
        """Return batches number `start` to `stop - 1`: int64 (stop - start, batch_size), on the CPU."""
        if not 0 <= start <= stop:
            raise DataError(f"a block needs 0 <= start <= stop, got {start} and {stop}.")
        indices = np.empty((stop - start) * self.batch_size, dtype=np.int64)
        first, filled = start * self.batch_size, 0
        while filled < len(indices):
            epoch, offset = divmod(first + filled, self.num_examples)
            piece = self._permutation(epoch)[offset : offset + len(indices) - filled]
            indices[filled : filled + len(piece)] = piece
            filled += len(piece)
        return torch.from_numpy(indices).view(stop - start, self.batch_size)

    def _permutation(self, epoch: int) -> Array:
        latest = self._latest
        if latest is None or latest[0] != epoch:
            order = permutation(self.num_examples, "batches", self.seed, self.name, epoch)
            self._latest = latest = (epoch, order)
        return latest[1]
