"""Random numbers that are the same on every machine and under every NumPy release.

NumPy promises stable streams for its bit generators, not for the distributions on top of them, so
everything here is made from Philox's raw 64-bit words with integer arithmetic alone.
"""

import hashlib
from math import prod

import numpy as np

from optsuite._types import Array


def words(count: int, *key: object) -> Array:
    """Return independent uniform 64-bit words.

    Args:
        count: Number of words.
        key: Parts of the stream's name, e.g. `("train", seed, epoch)`; streams of different keys are
            independent of each other.

    Returns:
        uint64 (count,).
    """
    name = "\0".join(str(part) for part in key).encode()
    digest = hashlib.blake2b(name, digest_size=16).digest()
    raw: Array = np.asarray(np.random.Philox(key=int.from_bytes(digest, "little")).random_raw(count))
    return raw


def permutation(count: int, *key: object) -> Array:
    """Return a uniformly drawn order of `range(count)`: int32 (count,), or int64 from 2^31 on.

    The index sits in the low bits of each sort key, so keys never tie and a plain sort of values,
    several times faster than an argsort, gives one order everywhere.
    """
    mask = np.uint64((1 << count.bit_length()) - 1)
    keys = words(count, *key)
    keys &= ~mask  # in place: a corpus has 30 million documents
    keys |= np.arange(count, dtype=np.uint64)
    keys.sort()
    keys &= mask
    return keys.astype(np.int32 if count < 2**31 else np.int64)


def uniform_uint8(shape: tuple[int, ...], *key: object) -> Array:
    """Return independent bytes, uniform over 0..255: uint8 of `shape`."""
    count = prod(shape)
    raw = words(-(-count // 8), *key).astype("<u8", copy=False)
    return raw.view(np.uint8)[:count].reshape(shape)


def normal_int16(shape: tuple[int, ...], *key: object) -> Array:
    """Return nearly normal whole numbers (sums of four bytes): int16 of `shape`, mean 0, std 148."""
    total: Array = uniform_uint8((4, *shape), *key).sum(axis=0, dtype=np.int16)
    return total - np.int16(510)
