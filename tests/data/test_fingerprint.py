"""Data are known by their content, wherever they lie; stand-ins by the number of their recipe."""

from __future__ import annotations

import gzip
import hashlib
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from optsuite.data import ABSENT, DATASETS, _fingerprint, fingerprint
from optsuite.data._kinds import ImageDataset
from optsuite.data._synthetic import RECIPE, generate, synthetic_counts
from optsuite.data._synthetic_text import RECIPE as TEXT_RECIPE
from optsuite.data._synthetic_text import generate_tokens
from optsuite.data._tokens import read_tokens

from .corpora import LM1B, PIECES, write_lm1b, write_wikipedia
from .published import write_food101, write_imagenet, write_mnist

OLD = 1_600_000_000


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path_factory):
    """An empty cache, in the process and on the disk."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setattr(_fingerprint, "_known", {})
    return _fingerprint.cache_dir() / "fingerprints"


@pytest.fixture
def mnist(data_folder):
    write_mnist(data_folder / "mnist", "MNIST")
    return data_folder / "mnist" / "MNIST" / "raw"


@pytest.fixture
def hashed(monkeypatch):
    """Names of the files that are read to be hashed."""
    names = []

    def hash_of_file(path, hash_of_file=_fingerprint._hash_of_file):
        names.append(path.name)
        return hash_of_file(path)

    monkeypatch.setattr(_fingerprint, "_hash_of_file", hash_of_file)
    return names


def anew(dataset="mnist"):
    """The fingerprint as another process sees it."""
    _fingerprint._known.clear()
    return fingerprint(dataset, "real")


def change(path, seconds=None):
    raw = path.read_bytes()
    path.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    if seconds:
        os.utime(path, (seconds, seconds))


def settle(folder):
    """Let files be of long ago."""
    for path in folder.rglob("*"):
        os.utime(path, (OLD, OLD))


def test_the_content_of_every_file_counts_and_where_it_lies_does_not(data_folder, mnist, monkeypatch):
    first = anew()
    assert len(first) == 16
    for path in list(mnist.iterdir()):
        change(path)
        assert anew() != first
        change(path)
    (mnist / "notes.txt").write_text("not read")
    (data_folder / "elsewhere").mkdir()
    (data_folder / "mnist").rename(data_folder / "elsewhere" / "mnist")
    monkeypatch.setenv("OPTSUITE_DATA_DIR", str(data_folder / "elsewhere"))
    assert fingerprint("mnist", "real") == first


def test_compression_is_no_part_of_it(mnist):
    plain = anew()
    for path in list(mnist.iterdir()):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert anew() == plain
    damaged = next(mnist.iterdir())
    damaged.write_bytes(damaged.read_bytes()[:-9])
    assert anew() != plain


def test_files_that_are_not_there_have_none_until_they_come(data_folder):
    assert fingerprint("mnist", "real") == fingerprint("fashion_mnist+mnist", "real") == ABSENT
    write_mnist(data_folder / "mnist", "MNIST")
    assert fingerprint("mnist", "real") != ABSENT
    assert fingerprint("fashion_mnist+mnist", "real") == ABSENT


def test_several_datasets_have_that_of_all():
    assert len({fingerprint(name, "synthetic") for name in ("mnist", "mnist+mnist", "cifar10+mnist")}) == 3


def test_a_file_that_cannot_be_read_is_left_to_the_reader(mnist, cache):
    settle(mnist)
    path = next(mnist.iterdir())
    path.unlink()
    path.mkdir()  # root may read all files
    assert len(anew()) == 16


@pytest.mark.parametrize("name", [LM1B, "wikipedia_en_bytes"])
def test_documents_and_the_choice_about_bad_ones_count(data_folder, monkeypatch, name):
    path = (
        write_lm1b(data_folder) if name == LM1B else write_wikipedia(data_folder, "wiki") / "AA" / "wiki_00"
    )
    first = anew(name)
    monkeypatch.setenv("OPTSUITE_TEXT_ERRORS", "fail")
    assert anew(name) == first
    monkeypatch.setenv("OPTSUITE_TEXT_ERRORS", "skip")
    assert anew(name) != first
    monkeypatch.delenv("OPTSUITE_TEXT_ERRORS")
    change(path)
    assert anew(name) != first


def test_the_vocabulary_counts(data_folder, monkeypatch, tmp_path):
    write_lm1b(data_folder)
    path = data_folder / "lm1b" / "sentencepiece.model"
    path.write_bytes(b"a model")
    first = anew(PIECES)
    (tmp_path / "other.model").write_bytes(b"a model")
    monkeypatch.setenv("OPTSUITE_SENTENCEPIECE", str(tmp_path / "other.model"))
    assert anew(PIECES) == first
    found = {first}
    (tmp_path / "other.model").write_bytes(b"another")
    for url in (tmp_path / "other.model", tmp_path / "none.model", "memory://a.model", "memory://b.model"):
        monkeypatch.setenv("OPTSUITE_SENTENCEPIECE", str(url))
        found.add(anew(PIECES))
    assert len(found) == 5
    assert anew(LM1B) not in found


def test_photos_are_known_by_their_index(data_folder):
    write_food101(data_folder / "food101")
    first = anew("food101")
    for path in (data_folder / "food101").rglob("*.jpg"):
        change(path)
    assert anew("food101") == first
    change(data_folder / "food101" / "food-101" / "meta" / "test.json")
    assert anew("food101") != first


def test_files_are_hashed_once(data_folder, hashed, cache):
    write_imagenet(data_folder / "imagenet16", 16)
    settle(data_folder)
    first = anew("imagenet16")
    assert len(hashed) == 11
    assert anew("imagenet16") == fingerprint("imagenet16", "real") == first
    assert len(hashed) == 11
    assert len(list(cache.iterdir())) == 1
    change(data_folder / "imagenet16" / "val_data.npz", OLD + 1)
    assert anew("imagenet16") != first
    assert len(hashed) == 22


def replace_alike(path, content):
    """Put another file of the same size and time in the place of one, as what unpacks archives may."""
    state = path.stat()
    assert len(content) == state.st_size
    path.write_bytes(content)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def test_a_file_of_the_same_size_and_time_is_hashed_too(mnist):
    settle(mnist)
    first = anew()
    path = mnist / "t10k-labels-idx1-ubyte"
    replace_alike(path, path.read_bytes()[:-1] + b"\1")
    assert anew() != first


def test_a_text_of_the_same_size_and_time_is_read_too(data_folder):
    path = write_lm1b(data_folder)
    first = np.array(read_tokens(DATASETS[LM1B], "train", 30))
    replace_alike(path, path.read_bytes().swapcase())
    assert not np.array_equal(read_tokens(DATASETS[LM1B], "train", 30), first)


def test_a_file_that_was_just_written_is_not_trusted(mnist, hashed, cache):
    assert anew() == anew()
    assert (len(hashed), cache.exists()) == (8, False)


def test_a_file_that_changes_while_it_is_read_is_not_kept(mnist, cache, monkeypatch):
    settle(mnist)

    def hash_of_file(path, hash_of_file=_fingerprint._hash_of_file):
        change(path, OLD + 1)
        return hash_of_file(path)

    monkeypatch.setattr(_fingerprint, "_hash_of_file", hash_of_file)
    anew()
    assert not cache.exists()


@pytest.mark.parametrize("damage", [b"", b"no hash", b"\xff" * 10_000, None])
def test_a_damaged_cache_costs_time_alone(mnist, hashed, cache, damage):
    settle(mnist)
    first = anew()
    (path,) = cache.iterdir()
    raw = path.read_bytes()
    path.write_bytes(bytes([raw[0] ^ 1]) + raw[1:] if damage is None else damage)
    assert anew() == first
    assert len(hashed) == 8
    assert path.read_bytes() == raw


def test_a_cache_that_cannot_be_written_costs_time_alone(mnist, cache):
    settle(mnist)
    first = anew()
    for path in cache.iterdir():
        path.unlink()
    cache.rmdir()
    cache.write_text("a file in its place")
    assert anew() == first


def test_processes_at_once_find_the_same(mnist, cache):
    settle(mnist)
    code = "from optsuite.data import fingerprint; print(fingerprint('mnist', 'real'))"
    processes = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for _ in range(3)]
    found = {process.communicate()[0].decode().strip() for process in processes}
    assert found == {anew()}
    assert len(list(cache.iterdir())) == 1


def digest_of(info):
    """Hash of a few generated examples, and of how many there are."""
    small = replace(info, num_train=40, num_test=10)
    found = hashlib.sha256()
    if isinstance(info, ImageDataset):
        found.update(repr(synthetic_counts(info)).encode())
        arrays = [array for part in ("train", "test") for array in generate(small, part)]
    else:
        arrays = [generate_tokens(small, part, 40) for part in ("train", "test")]
    for array in arrays:
        found.update(repr((array.shape, array.dtype.str)).encode() + array.tobytes())
    return found.hexdigest()[:10]


RECIPES = {
    "mnist": (1, "546efb14a6"),
    "fashion_mnist": (1, "f3252ab54d"),
    "cifar10": (1, "b376d0aa31"),
    "cifar100": (1, "9549e4de62"),
    "svhn_cropped": (1, "3600e3b8d9"),
    "food101": (1, "fb12def8a2"),
    "imagenet16": (1, "c4c505ff39"),
    "imagenet32": (1, "eb8344b24f"),
    "imagenet64": (1, "84da096072"),
    "lm1b_bytes": (1, "80faaa4899"),
    "lm1b_32k": (1, "48d1878faf"),
    "wikipedia_en_bytes": (1, "c1e32e7824"),
    "wikipedia_en_32k": (1, "d990ce9386"),
}


@pytest.mark.parametrize("name", DATASETS)
def test_what_is_generated_belongs_to_the_number_of_the_recipe(name):
    """If this fails, count up `RECIPE` of the stand-in, which has its trials trained anew, and give both."""
    is_image = isinstance(DATASETS[name], ImageDataset)
    assert (RECIPE if is_image else TEXT_RECIPE, digest_of(DATASETS[name])) == RECIPES[name]


def test_the_number_of_the_recipe_counts(monkeypatch):
    first = fingerprint("mnist", "synthetic"), fingerprint(LM1B, "synthetic")
    _fingerprint._known.clear()
    monkeypatch.setattr("optsuite.data._synthetic.RECIPE", RECIPE + 1)
    assert fingerprint("mnist", "synthetic") != first[0]
    assert fingerprint(LM1B, "synthetic") == first[1]
