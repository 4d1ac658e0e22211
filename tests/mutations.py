"""Seeded damage to npz files: bits on the way, lying headers, odd arrays, swapped and missing members."""

from __future__ import annotations

import io
import zipfile

import numpy as np

_DTYPES = (
    *("S8", "U8", "m8[s]", "M8[s]", "c16", ">f4", ">i8", "f2", "f8", "i1", "i8", "u8", "?", "V4"),
    *([("a", "f4")], [("a", "f4", (2,)), ("b", "U2")], "S0", "U0", "g"),
)
_VALUES = (np.nan, np.inf, -1, 0, 2**31, 2**63 - 1, -(2**63), 1e308)


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """Return what a file may have become; the same for the same generator."""
    kind = rng.integers(4)
    if kind == 0:
        return _flipped(content, rng)
    if kind == 1:
        return _cut(content, rng)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for _ in range(rng.integers(1, 4)):
        (_odd_array if kind == 2 else _odd_member)(members, rng)
    return _zipped(members)


def _flipped(content, rng):
    changed = bytearray(content)
    for place in rng.integers(len(content), size=rng.integers(1, 9)):
        changed[place] ^= 1 << rng.integers(8)
    return bytes(changed)


def _cut(content, rng):
    start, stop = sorted(rng.integers(len(content) + 1, size=2).tolist())
    pieces = (content[:stop], content[start:], content[:start] + content[stop:], content + content[start:])
    return pieces[rng.integers(len(pieces))]


def _odd_member(members, rng):
    """Damage a member whose checksum is then made to fit."""
    one, other = rng.choice(list(members), size=2)
    match rng.integers(5):
        case 0:
            members[one], members[other] = members[other], members[one]
        case 1:
            members.pop(one)
            members.setdefault("x.npy", b"")
        case 2:
            members[one] = _flipped(members[one] or b"x", rng)
        case 3:
            header = bytearray(members[one])
            for place in rng.integers(max(1, min(len(header), 128)), size=2) if header else ():
                header[place] = rng.integers(256)  # of the header, which says shape and dtype
            members[one] = bytes(header)
        case 4:
            members[f"{one}{rng.choice(['.npy', '/../../x', chr(27), ''])}"] = members[other]


def _odd_array(members, rng):
    """Change dtype, shape or values of an array."""
    name = rng.choice(list(members))
    array = np.load(io.BytesIO(members[name]), allow_pickle=False)
    match rng.integers(3):
        case 0:
            dtype = np.dtype(_DTYPES[rng.integers(len(_DTYPES))])
            odd = np.zeros(array.shape, dtype)
        case 1:
            shapes = (array[..., None], array[None], array.ravel()[:0], array.ravel()[:5], array.ravel()[-1:])
            odd = (*shapes, np.asfortranarray(np.stack([array, array])))[rng.integers(6)]
        case 2:
            odd = np.array(array, order="C")
            value = _VALUES[rng.integers(len(_VALUES))]
            if odd.size and odd.dtype.kind == "U":
                odd = odd.view(np.uint32) if odd.ndim and odd.itemsize else odd
            elif odd.size:
                with np.errstate(all="ignore"):
                    odd = odd.astype(float) if rng.integers(2) else odd
                    odd.flat[rng.integers(odd.size)] = (
                        value if odd.dtype.kind == "f" else int(np.nan_to_num(value) % 2**62)
                    )
    buffer = io.BytesIO()
    np.save(buffer, odd, allow_pickle=False)
    members[name] = buffer.getvalue()


def _zipped(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()
