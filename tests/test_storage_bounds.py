"""Files that would take more memory than they may: each is an error, within a stated memory."""

import io
import random
import struct
import subprocess
import sys
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest

from optsuite import storage
from optsuite.storage import CorruptFileError

MOST = 2**23
"""Bytes that reading a file of these tests may take, beside the file itself: 8 MiB."""


def npy(shape="(3,)", descr="'<f8'", payload=b"\0" * 24, *, order="False", version=1):
    header = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n".encode()
    size = struct.pack("<H" if version == 1 else "<L", len(header))
    return b"\x93NUMPY" + bytes([version, 0]) + size + header + payload


def zipped(members, compression=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def zeros(num_bytes):
    """An array of so many bytes, in a file of about a thousandth of them."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a.npy", "w") as member:
        member.write(npy(f"({num_bytes},)", "'|u1'", b""))
        for _ in range(num_bytes >> 20):
            member.write(bytes(2**20))
    return buffer.getvalue()


def lying(told):
    """A member of 64 MiB that is told to have so many bytes."""
    content, real = zeros(2**26), struct.pack("<L", 2**26 + len(npy(f"({2**26},)", "'|u1'", b"")))
    return content.replace(real, struct.pack("<L", told))


BOMBS = {
    "zeros": zeros(2**28),
    "lies low": lying(10_000),
    "lies high": lying(2**31),
    "many members": zipped({f"{n}.npy": b"" for n in range(12_000)}),
    "many long names": zipped({f"{n:0250}.npy": b"" for n in range(12_000)}),
    "many zeros": zipped({f"{n}.npy": npy(f"({2**20},)", "'|u1'", bytes(2**20)) for n in range(40)}),
    "nested": zipped({"a.npy": zeros(2**26)}),
    "lzma": zipped({"a.npy": npy()}, zipfile.ZIP_LZMA),
    "bzip2": zipped({"a.npy": npy()}, zipfile.ZIP_BZIP2),
    "twice": zipped({"a": npy(), "a.npy": npy()}),
    "comment": zipped({"a.npy": npy()})[:-2] + b"\5\0hello",
    "2**62": zipped({"a.npy": npy(f"({2**62},)")}),
    "2**62 of nothing": zipped({"a.npy": npy(f"({2**62},)", "'|S0'", b"")}),
    "2**40 twice": zipped({"a.npy": npy(f"({2**40}, {2**40})")}),
    "overflow": zipped({"a.npy": npy(f"({2**61}, 8)", payload=b"")}),
    "overflow to fit": zipped({"a.npy": npy(f"({2**64 // 8 + 3},)")}),
    "-1": zipped({"a.npy": npy("(-1,)")}),
    "two negatives": zipped({"a.npy": npy("(-3, -1)")}),
    "truth": zipped({"a.npy": npy("(True,)", payload=b"\0" * 8)}),
    "float side": zipped({"a.npy": npy("(3.0,)")}),
    "huge item": zipped({"a.npy": npy("(1,)", f"'<U{2**28}'")}),
    "huge subarray": zipped({"a.npy": npy("(1,)", f"('<f8', ({2**40},))")}),
    "objects": zipped({"a.npy": npy(descr="'|O'")}),
    "hidden objects": zipped({"a.npy": npy(descr="[('a', '|O')]")}),
    "long header": zipped({"a.npy": npy("(" + "1," * 5000 + ")")}),
    "endless header": zipped({"a.npy": b"\x93NUMPY\2\0" + struct.pack("<L", 2**31) + bytes(1000)}),
    "deep header": zipped({"a.npy": npy("(" * 900 + ")" * 900)}),
    "code in the header": zipped({"a.npy": npy("__import__('os').abort()")}),
    "too short": zipped({"a.npy": npy("(4,)")}),
    "too long": zipped({"a.npy": npy("(2,)")}),
    "version 3": zipped({"a.npy": npy(version=3)}),
}


def peak_of(read):
    """Return the most memory, in bytes, that was taken at a time by a call that must find a file corrupt."""
    tracemalloc.start()
    try:
        with pytest.raises(CorruptFileError, match=r"bomb\.npz"):
            read()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", BOMBS)
def test_a_bomb_is_an_error_within_memory(tmp_path, kind):
    url = str(tmp_path / "bomb.npz")
    Path(url).write_bytes(BOMBS[kind])
    assert peak_of(lambda: storage.read_npz(url, most=2**24)) < MOST + 3 * len(BOMBS[kind])


def test_files_larger_than_they_may_be_are_not_read(tmp_path):
    url = str(tmp_path / "bomb.npz")
    with Path(url).open("wb") as file:
        file.truncate(2**40)
    for read in (storage.read_bytes, storage.read_npz, storage.read_json):
        assert peak_of(lambda read=read: read(url, most=1000)) < 2**20


LIMITED = """
import resource, sys
from optsuite import storage
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**27, used + 2**27))
try:
    storage.read_npz(sys.argv[1])
except storage.CorruptFileError as error:
    print(str(error))
"""


@pytest.mark.parametrize("kind", ["zeros of 576 MiB", "lies high"])
def test_a_process_with_little_memory_survives_a_bomb(tmp_path, kind):
    content = zeros(9 * 2**26) if kind == "zeros of 576 MiB" else BOMBS[kind]
    (tmp_path / "bomb.npz").write_bytes(content)
    ended = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path / "bomb.npz")],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr
    assert "bomb.npz` is not a readable npz file" in ended.stdout
    assert "MemoryError" not in ended.stdout


@pytest.mark.parametrize("order", ["True", "False"])
@pytest.mark.parametrize("version", [1, 2])
def test_honest_headers_are_read(tmp_path, order, version):
    payload = np.arange(6.0).tobytes()
    (tmp_path / "a.npz").write_bytes(
        zipped({"a.npy": npy("(2, 3)", payload=payload, order=order, version=version)})
    )
    npz = storage.Npz(str(tmp_path / "a.npz"))
    expected = np.arange(6.0).reshape(2, 3) if order == "False" else np.arange(6.0).reshape(3, 2).T
    assert npz.header("a") == ((2, 3), np.dtype("<f8"))
    np.testing.assert_array_equal(npz["a"], expected)
    npz["a"][:] = 0  # arrays may be changed, as those of numpy


def test_a_header_is_read_without_its_array(tmp_path):
    (tmp_path / "a.npz").write_bytes(zeros(2**26))
    tracemalloc.start()
    npz = storage.Npz(str(tmp_path / "a.npz"))
    assert npz.header("a") == ((2**26,), np.dtype("u1"))
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()
    with pytest.raises(KeyError):
        npz.header("b")


def test_uncompressed_files_are_read_too(root):
    storage.write_npz(f"{root}/a.npz", {"a": np.zeros(10_000)}, compress=False)
    assert len(storage.read_bytes(f"{root}/a.npz")) > 80_000
    assert not storage.read_npz(f"{root}/a.npz")["a"].any()


def test_mutated_files_are_read_or_corrupt(tmp_path):
    arrays = {"a": np.arange(50.0), "b/c": np.array("text"), "d": np.ones((2, 3), np.int8)}
    url, rng = str(tmp_path / "a.npz"), random.Random(0)
    storage.write_npz(url, arrays)
    whole = Path(url).read_bytes()
    resaved = zipped({name: zipfile.ZipFile(url).read(name) for name in zipfile.ZipFile(url).namelist()}, 0)
    for n in range(600):
        content = bytearray(whole if n % 2 else resaved)
        for _ in range(rng.choice([1, 1, 2, 8])):
            content[rng.randrange(len(content))] = rng.choice([0, 255, rng.randrange(256)])
        if rng.random() < 0.2:
            del content[rng.randrange(len(content)) :]
        Path(url).write_bytes(content)
        try:
            read = storage.read_npz(url)
        except CorruptFileError:
            continue
        assert sum(array.nbytes for array in read.values()) < 2000


def test_headers_that_are_mutated_behind_a_right_checksum_are_read_or_corrupt(tmp_path):
    rng, url = random.Random(1), str(tmp_path / "a.npz")
    for _ in range(300):
        content = bytearray(npy("(3,)"))
        for _ in range(rng.choice([1, 2, 4])):
            content[rng.randrange(len(content) - 24)] = rng.choice(b"0123456789()',:{}<>|fOUVSM-+*eE \0\xff")
        Path(url).write_bytes(zipped({"a.npy": bytes(content)}))
        try:
            assert storage.read_npz(url)["a"].nbytes <= 24
        except CorruptFileError:
            continue


def test_a_file_that_was_damaged_on_its_way_is_fetched_again(monkeypatch):
    url, fetched = f"memory://{zlib.crc32(b'way')}/a.npz", []
    storage.write_npz(url, {"a": np.arange(100.0)})
    read_bytes = storage._npz.read_bytes

    def damage(url, **options):
        content = bytearray(read_bytes(url, **options))
        content[60 if len(fetched) == 0 else 0] ^= len(fetched) < 1
        fetched.append(url)
        return bytes(content)

    monkeypatch.setattr(storage._npz, "read_bytes", damage)
    np.testing.assert_array_equal(storage.read_npz(url)["a"], np.arange(100.0))
    assert len(fetched) == 2
