"""Every reader, on small files in the published format, whole and damaged."""

from __future__ import annotations

import os
import pickle
import shutil
import sys

import numpy as np
import pytest
import torch

from optsuite import data
from optsuite.data import DATASETS, SPLITS, ImageDataset, ImageSpec, resolve_source
from optsuite.data._datasets import cut
from optsuite.data._formats import read_npz_rows
from optsuite.errors import DataError

from .published import (
    NUM_TEST,
    NUM_TRAIN,
    random_images,
    repickle,
    sorted_rows,
    write_cifar,
    write_food101,
    write_idx,
    write_imagenet,
    write_mnist,
)


def load(name, split, size=None):
    spec = ImageSpec(dataset=name, size=size or DATASETS[name].size)
    return data.load(spec, split, source="real", device="cpu")


def cat_training_splits(name, size=None):
    parts = [load(name, split, size) for split in ("train", "inner_valid", "outer_valid")]
    return torch.cat([part.images for part in parts]), torch.cat([part.labels for part in parts])


def assert_holds(name, parts):
    """Check that the splits hold just these examples: the test set in order, the others in some order."""
    images, labels = cat_training_splits(name)
    assert images.dtype == torch.uint8
    np.testing.assert_array_equal(sorted_rows(images, labels), sorted_rows(*parts["train"]))
    test = load(name, "test")
    np.testing.assert_array_equal(test.images, parts["test"][0])
    np.testing.assert_array_equal(test.labels, parts["test"][1])
    for split in SPLITS:
        _, start, stop = cut(DATASETS[name], split, NUM_TRAIN, NUM_TEST)
        assert len(load(name, split)) == stop - start


def write_both_cifar(root, name):
    info = DATASETS[name]
    key = "labels" if name == "cifar10" else "fine_labels"
    folder = root / name / info.subfolder
    train = write_cifar(folder, info.files[:-1], key, info.num_classes)
    test = write_cifar(folder, info.files[-1:], key, info.num_classes)
    return {"train": train, "test": test}


def write_svhn(root):
    io = pytest.importorskip("scipy.io")
    parts = {}
    root.mkdir()
    for part, count in (("train", NUM_TRAIN), ("test", NUM_TEST)):
        images = random_images(count, 3, 32, "svhn", part)
        labels = np.arange(count) % 10
        stored = np.where(labels == 0, 10, labels).astype(np.uint8)[:, None]
        content = {"X": images.transpose(2, 3, 1, 0), "y": stored}
        io.savemat(root / f"{part}_32x32.mat", content, do_compression=True)
        parts[part] = images, labels
    return parts


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_idx_files_are_read(name, zipped, data_folder, shrink):
    shrink(name)
    parts = write_mnist(data_folder / name, DATASETS[name].torchvision, zipped=zipped)
    assert resolve_source(name) == "real"
    assert_holds(name, parts)


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_python2_pickles_of_cifar_are_read(name, data_folder, shrink):
    shrink(name)
    assert_holds(name, write_both_cifar(data_folder, name))


def test_cifar_repickled_by_python3_is_read(data_folder, shrink):
    shrink("cifar10")
    images, labels = write_both_cifar(data_folder, "cifar10")["test"]
    path = data_folder / "cifar10" / "cifar-10-batches-py" / "test_batch"
    path.write_bytes(repickle(images, labels))
    np.testing.assert_array_equal(load("cifar10", "test").images, images)


def test_svhn_is_read_and_its_tens_are_zeros(data_folder, shrink):
    shrink("svhn_cropped")
    assert_holds("svhn_cropped", write_svhn(data_folder / "svhn_cropped"))


def test_svhn_without_scipy_prints_the_install_line(data_folder, shrink, monkeypatch):
    shrink("svhn_cropped")
    write_svhn(data_folder / "svhn_cropped")
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(DataError, match=r"pip install 'optsuite\[svhn\]'"):
        load("svhn_cropped", "test")


@pytest.mark.parametrize("size", [16, 32, 64])
def test_imagenet_batches_are_converted_once(size, data_folder, shrink):
    name = f"imagenet{size}"
    shrink(name)
    folder = data_folder / name
    assert_holds(name, write_imagenet(folder, size))
    kept = sorted(path.name.partition("_")[0] for path in (folder / f"optsuite_{size}").glob("*.npy"))
    assert kept == ["test", "train"]


def test_images_follow_their_batches(data_folder, shrink, monkeypatch):
    """Other batches are converted again, so that labels never meet the images of others."""
    shrink("imagenet16")
    folder = data_folder / "imagenet16"
    write_imagenet(folder, 16)
    before = load("imagenet16", "test").images.clone()
    content = dict(np.load(folder / "val_data.npz"))
    np.savez(folder / "val_data.npz", **content | {"data": content["data"][::-1]})
    same_folder = data_folder / ".." / data_folder.name
    monkeypatch.setenv("OPTSUITE_DATA_DIR", str(same_folder))  # as a new session, which has loaded nothing
    assert torch.equal(load("imagenet16", "test").images, before.flip(0))


@pytest.mark.parametrize(("key", "words"), [("data", "5 test images"), ("labels", "5 test labels")])
def test_batches_that_lack_examples_are_refused(key, words, data_folder, shrink):
    shrink("imagenet16")
    folder = data_folder / "imagenet16"
    write_imagenet(folder, 16)
    content = dict(np.load(folder / "val_data.npz"))
    np.savez(folder / "val_data.npz", **content | {key: content[key][:-1]})
    with pytest.raises(DataError, match=f"hold {words}, expected 6: delete them and download"):
        load("imagenet16", "test")


def test_a_full_disk_is_said_before_anything_is_written(data_folder, shrink, monkeypatch):
    shrink("imagenet16")
    write_imagenet(data_folder / "imagenet16", 16)
    usage = shutil.disk_usage(data_folder)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(DataError, match=r"needed 4,608 bytes, 1,000 are free.*make room there"):
        load("imagenet16", "test")
    assert not list(data_folder.rglob("test_*"))


def test_food101_is_decoded_to_the_asked_size(data_folder, shrink):
    shrink("food101")
    parts = write_food101(data_folder / "food101")
    images, labels = cat_training_splits("food101", size=12)
    assert images.shape == (NUM_TRAIN, 3, 12, 12)
    assert images.dtype == torch.uint8
    found = sorted(zip(labels.tolist(), images[:, 0, 0, 0].tolist(), strict=True))
    colours, expected_labels = parts["train"]
    expected = sorted(zip(expected_labels.tolist(), colours.tolist(), strict=True))
    assert np.abs(np.subtract(found, expected)).max() <= 1  # JPEG may be off by one
    assert load("food101", "test", size=8).images.shape == (NUM_TEST, 3, 8, 8)


def test_failed_conversion_leaves_nothing_behind(data_folder, shrink):
    shrink("imagenet16")
    write_imagenet(data_folder / "imagenet16", 16)
    truncate(data_folder / "imagenet16" / "val_data.npz")
    with pytest.raises(DataError, match=r"val_data\.npz"):
        load("imagenet16", "test")
    assert not list(data_folder.rglob("*.tmp"))
    assert not list(data_folder.rglob("test_*"))


def test_npz_rows_are_read_in_slices(tmp_path):
    rows = random_images(7, 3, 4, "slices")
    np.savez_compressed(tmp_path / "a.npz", data=rows)
    slices = list(read_npz_rows(tmp_path / "a.npz", "data", max_bytes=100))
    assert [len(piece) for piece in slices] == [2, 2, 2, 1]
    np.testing.assert_array_equal(np.concatenate(slices), rows)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-40])


def write_any(root, name):
    if name in ("mnist", "fashion_mnist"):
        return write_mnist(root / name, DATASETS[name].torchvision, zipped=name == "mnist")
    if name.startswith("cifar"):
        return write_both_cifar(root, name)
    if name == "svhn_cropped":
        return write_svhn(root / name)
    if name == "food101":
        return write_food101(root / name)
    return write_imagenet(root / name, DATASETS[name].size)


FILES = {
    "mnist": "MNIST/raw/t10k-images-idx3-ubyte.gz",
    "fashion_mnist": "FashionMNIST/raw/t10k-labels-idx1-ubyte",
    "cifar10": "cifar-10-batches-py/test_batch",
    "cifar100": "cifar-100-python/test",
    "svhn_cropped": "test_32x32.mat",
    "food101": "food-101/images/waffles/test0.jpg",
    "imagenet16": "val_data.npz",
}


@pytest.mark.parametrize("damage", ["truncated", "empty", "foreign"])
@pytest.mark.parametrize("name", FILES)
def test_damaged_file_is_named_with_the_fix(name, damage, data_folder, shrink):
    info = shrink(name)
    write_any(data_folder, name)
    path = data_folder / name / FILES[name]
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    else:
        path.write_bytes(b"" if damage == "empty" else b"<html>not found</html>" * 20)
    with pytest.raises(DataError) as caught:
        load(name, "test", size=info.size or 8)
    assert str(path) in str(caught.value)
    assert info.how_to_get in str(caught.value)
    assert caught.value.__cause__ is not None


def test_foreign_pickle_cannot_run_code(data_folder, shrink):
    shrink("cifar10")
    write_both_cifar(data_folder, "cifar10")
    path = data_folder / "cifar10" / "cifar-10-batches-py" / "test_batch"
    mark = data_folder / "mark"
    path.write_bytes(pickle.dumps({"data": _Touch(mark), "labels": []}))
    with pytest.raises(DataError, match=r"has no place in an image file"):
        load("cifar10", "test")
    assert not mark.exists()


class _Touch:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_wrong_number_of_images_is_an_error(data_folder, shrink):
    shrink("mnist")
    write_mnist(data_folder / "mnist", "MNIST")
    path = data_folder / "mnist" / "MNIST" / "raw" / "t10k-images-idx3-ubyte"
    write_idx(path, random_images(NUM_TEST - 1, 1, 28)[:, 0])
    with pytest.raises(DataError, match=r"need images of shape \(6, 1, 28, 28\), got \(5, "):
        load("mnist", "test")


def test_label_out_of_range_is_an_error(data_folder, shrink):
    shrink("mnist")
    write_mnist(data_folder / "mnist", "MNIST")
    path = data_folder / "mnist" / "MNIST" / "raw" / "t10k-labels-idx1-ubyte"
    write_idx(path, np.full(NUM_TEST, 10, np.uint8))
    with pytest.raises(DataError, match="need labels from 0 to 9, got 10 to 10"):
        load("mnist", "test")


@pytest.mark.parametrize("name", [n for n, info in DATASETS.items() if isinstance(info, ImageDataset)])
def test_missing_dataset_says_where_and_how(name, data_folder):
    info = DATASETS[name]
    with pytest.raises(DataError) as caught:
        resolve_source(name, "real")
    message = str(caught.value)
    lacking = info.files[0] if info.subfolder == "." else info.subfolder
    assert message.startswith(f"{info.title} not found in {data_folder / name} (looked for {lacking})")
    assert info.how_to_get in message
    assert message.endswith('or pass mode="synthetic"')
    assert resolve_source(name, "auto") == "synthetic"


def test_message_of_a_missing_dataset(data_folder):
    expected = (
        f"CIFAR-10 not found in {data_folder}/cifar10 (looked for cifar-10-batches-py): run "
        '`optsuite data fetch cifar10` or pass mode="synthetic"'
    )
    with pytest.raises(DataError) as caught:
        load("cifar10", "train")
    assert str(caught.value) == expected


def test_one_missing_file_is_named(data_folder, shrink):
    shrink("cifar10")
    write_both_cifar(data_folder, "cifar10")
    (data_folder / "cifar10" / "cifar-10-batches-py" / "data_batch_3").unlink()
    with pytest.raises(DataError, match="looked for cifar-10-batches-py/data_batch_3"):
        resolve_source("cifar10", "real")
