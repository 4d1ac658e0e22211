"""Splits of text datasets as tensors: the tokens that a model observes and those that it has to predict."""

from collections.abc import Hashable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from optsuite._types import Batch
from optsuite.data._cache import as_tensor
from optsuite.data._datasets import cut
from optsuite.data._device import pick, to_device
from optsuite.data._kinds import TextDataset
from optsuite.data._location import Source
from optsuite.data._specs import TextSpec
from optsuite.data._synthetic_text import generate_tokens
from optsuite.data._tokens import read_tokens
from optsuite.errors import DataError, parameter


@dataclass(frozen=True, eq=False)
class Text:
    """One split of a dataset of text."""

    tokens: Tensor
    """Tokens, int16 (M, length + 1); on `device`, unless they are memory-mapped and too large for it."""
    device: torch.device
    """Device on which batches are returned."""

    def __len__(self) -> int:
        return len(self.tokens)

    def gather(self, indices: Tensor) -> Batch:
        """Return `obs` and `target` of examples, int64 (..., B, length) each."""
        rows = pick(self.tokens, indices.reshape(-1)).to(self.device, torch.int64, non_blocking=True)
        rows = rows.reshape(*indices.shape, self.tokens.shape[1])
        return {"obs": rows[..., :-1].contiguous(), "target": rows[..., 1:].contiguous()}


def load_text(spec: TextSpec, split: str, source: Source, device: torch.device, settings: Hashable) -> Text:
    """Load one split of a dataset of text; see `load`.

    Documents are tokenised (no end is added) and cropped to `length + 1` tokens, or padded with 0.

    Source: learned_optimization, `tasks/datasets/language.py`.
    """
    info = spec.info
    part, _, _ = cut(info, split, 0, 0)
    tokens = _read(info, part, spec.length + 1, source, settings)
    _, start, stop = cut(info, split, len(tokens), len(tokens))
    if start == stop:
        raise DataError(
            f"`{split}` of {info.title} is empty: it is cut from {len(tokens)} documents, and needs "
            f"{'about 100' if part == 'train' else 'one'}; add files or pass "
            f"{parameter('data', 'synthetic')}"
        )
    return Text(to_device(tokens[start:stop], device), device)


@lru_cache(maxsize=2)  # a dataset's training and test set, while its splits are cut
def _read(info: TextDataset, part: str, length: int, source: Source, settings: Hashable) -> Tensor:  # noqa: ARG001  # `settings` is part of the key
    make = generate_tokens if source == "synthetic" else read_tokens
    return as_tensor(make(info, part, length))
