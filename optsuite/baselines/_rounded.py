"""Losses in few bytes: rounded, and told as changes from their neighbours."""

import numpy as np

from optsuite._types import Array

# Bits that are kept of the 23 of a float32's fraction. The rules of verdicts read curves on `train` and
# `test`, and of `outer_valid` the last evaluation alone.
_KEPT_BITS = {"train": 9, "test": 7, "outer_valid": 3}
_NUM_PLANES = 3  # bytes that a change of changes takes at most

ROUNDING = {split: 2.0**-bits for split, bits in _KEPT_BITS.items()}
"""Largest relative error of a rounded loss, by split; that of averages over evaluations is far smaller."""


def encode(loss_HSE: Array, split: str) -> Array:
    """Return losses as bytes that compress well, (3, H * S * E), uint8, a row for each byte of a number.

    Each loss is told as its change since the evaluation before, less that of the setting before, which had
    the same batches.

    Args:
        loss_HSE: (H, S, E), float32; NaN and infinities are kept.
        split: Split on which it was evaluated.
    """
    code = _rounded(loss_HSE, 23 - _KEPT_BITS[split])
    change = np.diff(np.diff(code, axis=2, prepend=0), axis=0, prepend=0)
    folded = ((change << 1) ^ (change >> 31)).astype("<u4")  # small numbers of either sign have small codes
    return np.ascontiguousarray(folded.reshape(-1, 1).view(np.uint8).T[:_NUM_PLANES])


def _rounded(loss_HSE: Array, num_dropped: int) -> Array:
    """Return the bits of losses without the last ones, (H, S, E), int32.

    The error of each is made good by the next, so that those of averages over time nearly vanish.
    """
    is_finite = np.isfinite(loss_HSE)
    plain_HSE = np.where(np.isnan(loss_HSE), np.nan, loss_HSE).astype("<f4")  # NaN has many codes
    bits = np.ascontiguousarray(plain_HSE).view("<i4").astype(np.int64)
    code = np.empty(bits.shape, np.int32)
    owed = np.zeros(bits.shape[:2], np.int64)
    for e in range(bits.shape[2]):
        wanted = bits[..., e] + np.where(is_finite[..., e], owed, 0)
        code[..., e] = (wanted + (1 << (num_dropped - 1))) >> num_dropped
        owed = wanted - (code[..., e].astype(np.int64) << num_dropped)
    return code


def decode(planes: Array, split: str, shape: tuple[int, int, int]) -> Array:
    """Return the rounded losses of `encode`, (H, S, E), float32."""
    padded = np.zeros((planes.shape[1], 4), np.uint8)
    padded[:, :_NUM_PLANES] = planes.T
    folded = padded.view("<u4").reshape(shape)
    change = (folded >> 1).astype("<i4") ^ -(folded & 1).astype("<i4")
    code = change.cumsum(axis=0, dtype="<i4").cumsum(axis=2, dtype="<i4")
    loss_HSE: Array = (code << (23 - _KEPT_BITS[split])).view("<f4")
    return loss_HSE
