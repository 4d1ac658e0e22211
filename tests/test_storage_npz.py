"""Npz files: round trips, and files that are not what they should be."""

import pickle
import zipfile
from io import BytesIO
from pathlib import Path

import fsspec
import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from examples import assert_same_arrays
from hypothesis import given, settings
from hypothesis import strategies as st

from optsuite import storage
from optsuite.errors import StorageError
from optsuite.storage import _npz

ARRAYS = {"train/loss": np.array([1.5, np.nan], np.float32), "num_steps": 3, "opt_name": "Adam_lr1"}


def npy_bytes(array, allow_pickle=False):
    buffer = BytesIO()
    np.save(buffer, array, allow_pickle=allow_pickle)
    return buffer.getvalue()


def zip_bytes(members):
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def put(url, content):
    with fsspec.open(url, "wb", auto_mkdir=True) as file:
        file.write(content)


# Round trips


def test_round_trip_creates_folders(root):
    url = f"{root}/a/b/c.npz"
    storage.write_npz(url, ARRAYS)
    assert_same_arrays(storage.read_npz(url), ARRAYS)
    storage.write_npz(url, {"other": 1})
    assert_same_arrays(storage.read_npz(url), {"other": 1})


def test_numpy_reads_what_we_write_and_we_what_it_writes(tmp_path):
    storage.write_npz(str(tmp_path / "ours.npz"), ARRAYS)
    with np.load(tmp_path / "ours.npz", allow_pickle=True) as theirs:  # as the original does
        assert_same_arrays(dict(theirs.items()), ARRAYS)
    np.savez_compressed(tmp_path / "theirs.npz", **ARRAYS)
    assert_same_arrays(storage.read_npz(str(tmp_path / "theirs.npz")), ARRAYS)


dtypes = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(),
    hnp.unsigned_integer_dtypes(),
    hnp.floating_dtypes(),
    hnp.complex_number_dtypes(),
    hnp.unicode_string_dtypes(),
    hnp.byte_string_dtypes(),
    hnp.datetime64_dtypes(),
)
keys = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
arrays = st.dictionaries(
    keys | st.sampled_from(["file", "allow_pickle", "a", "a.npy", "train/loss"]),
    hnp.arrays(dtypes, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)),
    min_size=1,
    max_size=4,
)


@given(arrays)
@settings(deadline=None)
def test_writing_then_reading_is_the_identity(written):
    url = "memory://hypothesis/round_trip.npz"
    storage.write_npz(url, written)
    assert_same_arrays(storage.read_npz(url), written)


@pytest.mark.parametrize("value", [None, [object()], {"a": 1}, np.array(["a", None], object)])
def test_python_objects_are_refused(root, value):
    with pytest.raises(StorageError, match=r"cannot write `bad` to .*Python objects"):
        storage.write_npz(f"{root}/a.npz", {"good": 1, "bad": value})
    assert storage.list_files(root, "") == []


def test_ragged_lists_and_empty_mappings_are_refused(root):
    with pytest.raises(StorageError, match="cannot write `bad`"):
        storage.write_npz(f"{root}/a.npz", {"bad": [[1], [1, 2]]})
    with pytest.raises(StorageError, match="at least one array"):
        storage.write_npz(f"{root}/a.npz", {})


def test_only_the_keys_that_are_asked_for_are_read(root):
    url = f"{root}/a.npz"
    storage.write_npz(url, ARRAYS)
    read = storage.read_npz(url, keys={"num_steps", "train/loss", "nowhere"})
    assert_same_arrays(read, {key: ARRAYS[key] for key in ("train/loss", "num_steps")})
    assert storage.read_npz(url, keys=()) == {}


def test_keys_that_are_not_asked_for_are_not_even_decompressed(root):
    url = f"{root}/a.npz"
    put(url, FLIPPED)
    assert_same_arrays(storage.read_npz(url, keys=["b"]), {"b": np.arange(1000)})
    with pytest.raises(storage.CorruptFileError, match=r"a\.npz.*CRC"):
        storage.read_npz(url, keys=["a"])


def test_bytes_are_read_as_they_were_written(root):
    url = f"{root}/deep/er/page.html"
    for content in (b"<p>\x00\xff\r\n", b"", b"shorter"):
        storage.write_bytes(url, content)
        assert storage.read_bytes(url) == content
    assert storage.list_files(f"{root}/deep/er", "") == [url]


def test_missing_bytes_are_an_error_in_the_callers_words(root):
    with pytest.raises(storage.MissingFileError, match=r"cannot read .*no\.json`: there is no such file$"):
        storage.read_bytes(f"{root}/no.json")
    with pytest.raises(storage.MissingFileError, match=r"no\.json`: build it first$"):
        storage.read_bytes(f"{root}/no.json", missing="build it first")


# Bad files


class Bomb:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


WHOLE = zip_bytes({"a.npy": npy_bytes(np.arange(1000)), "b.npy": npy_bytes(np.arange(1000))})
FLIPPED = WHOLE[:500] + bytes([WHOLE[500] ^ 1]) + WHOLE[501:]
BAD_FILES = {
    "empty": b"",
    "text": b"404 not found\n",
    "truncated": WHOLE[:-200],
    "half": WHOLE[: len(WHOLE) // 2],
    "flipped bit": FLIPPED,
    "npy": npy_bytes(np.arange(3)),
    "zip without npy": zip_bytes({"readme.txt": b"hello"}),
    "zip with both": zip_bytes({"a.npy": npy_bytes(np.arange(3)), "readme.txt": b"hello"}),
    "empty zip": zip_bytes({}),
    "short npy": zip_bytes({"a.npy": npy_bytes(np.arange(30))[:-8]}),
    "huge header": zip_bytes({"a.npy": npy_bytes(np.zeros(10)).replace(b"(10,)", b"(9" + b"9" * 14 + b",)")}),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_an_error_that_names_it(root, name):
    put(f"{root}/bad.npz", BAD_FILES[name])
    with pytest.raises(storage.CorruptFileError, match=r"bad\.npz.*delete it or run its trial") as e:
        storage.read_npz(f"{root}/bad.npz")
    assert e.value.__cause__ is not None


def test_pickles_are_never_loaded(tmp_path):
    marker = tmp_path / "marker"
    bomb = np.array([Bomb(marker)], dtype=object)
    contents = {
        "pickle": pickle.dumps(Bomb(marker)),
        "npy": npy_bytes(bomb, allow_pickle=True),
        "npz": zip_bytes({"a.npy": npy_bytes(bomb, allow_pickle=True)}),
        "raw member": zip_bytes({"a.npy": pickle.dumps(Bomb(marker))}),
    }
    for name, content in contents.items():
        put(str(tmp_path / name), content)
        with pytest.raises(storage.CorruptFileError):
            storage.read_npz(str(tmp_path / name))
    assert not marker.exists()
    with np.load(tmp_path / "npz", allow_pickle=True) as loaded:
        assert loaded["a"].shape == (1,)
    assert marker.exists()  # so the bomb does work


def test_a_missing_file_is_an_error_that_names_it(root):
    with pytest.raises(storage.MissingFileError, match=r"no\.npz.*no such file; run its trial"):
        storage.read_npz(f"{root}/no.npz")


def test_a_folder_is_not_called_corrupt(tmp_path):
    with pytest.raises(StorageError, match="cannot read") as error:
        storage.read_npz(str(tmp_path))
    assert not isinstance(error.value, storage.CorruptFileError)


def test_a_file_whose_headers_are_asked_for_again_parses_each_kind_once(tmp_path):
    url = f"{tmp_path}/x.npz"
    storage.write_npz(url, {f"a{number}": np.zeros((3, 977)) for number in range(20)})
    before = _npz._parsed.cache_info().misses
    npz = storage.Npz(url)
    for key in [*npz, *npz]:
        assert npz.header(key) == ((3, 977), np.float64)
        assert npz[key].shape == (3, 977)
    assert _npz._parsed.cache_info().misses == before + 1
