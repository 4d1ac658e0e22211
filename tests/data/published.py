"""Small datasets, written to disk in the formats in which the true ones are published."""

from __future__ import annotations

import gzip
import json
import pickle
import struct
from pathlib import Path

import numpy as np

from optsuite.data._random import uniform_uint8, words

NUM_TRAIN, NUM_TEST = 20, 6


def random_images(count, channels, size, *key):
    return uniform_uint8((count, channels, size, size), "test images", *key)


def random_labels(count, num_classes, *key):
    return words(count, "test labels", *key).astype(np.int64) % num_classes


def write_idx(path: Path, array, *, zipped=False):
    raw = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
    raw += array.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    if zipped:
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(raw))
    else:
        path.write_bytes(raw)


def write_mnist(root: Path, class_name, *, zipped=False):
    parts = {}
    for part, stem, count in (("train", "train", NUM_TRAIN), ("test", "t10k", NUM_TEST)):
        images = random_images(count, 1, 28, class_name, part)
        labels = random_labels(count, 10, class_name, part)
        raw = root / class_name / "raw"
        write_idx(raw / f"{stem}-images-idx3-ubyte", images[:, 0], zipped=zipped)
        write_idx(raw / f"{stem}-labels-idx1-ubyte", labels.astype(np.uint8), zipped=zipped)
        parts[part] = images, labels
    return parts


def python2_pickle(images, key, labels) -> bytes:
    """Return a batch exactly as Python 2 and NumPy of 2009 wrote it, opcode by opcode."""

    def text(word):
        return b"U" + bytes((len(word),)) + word.encode()

    raw = images.reshape(len(images), -1)
    dtype = b"cnumpy\ndtype\n" + text("u1") + b"K\x00K\x01\x87R"
    dtype += b"(K\x03" + text("|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text("b")
    array += b"\x87R(K\x01"
    array += b"M" + struct.pack("<H", raw.shape[0]) + b"M" + struct.pack("<H", raw.shape[1])
    array += b"\x86" + dtype + b"\x89T" + struct.pack("<I", raw.size) + raw.tobytes() + b"tb"
    listed = b"](" + b"".join(b"K" + bytes((int(label),)) for label in labels) + b"e"
    return b"\x80\x02}(" + text("data") + array + text(key) + listed + b"u."


def write_cifar(folder: Path, names, key, num_classes):
    folder.mkdir(parents=True, exist_ok=True)
    images, labels = [], []
    count = NUM_TEST if names[0].startswith("test") else NUM_TRAIN // len(names)
    for name in names:
        images.append(random_images(count, 3, 32, key, name))
        labels.append(random_labels(count, num_classes, key, name))
        (folder / name).write_bytes(python2_pickle(images[-1], key, labels[-1]))
    return np.concatenate(images), np.concatenate(labels)


def write_imagenet(folder: Path, size):
    folder.mkdir(parents=True)
    parts = {}
    images = random_images(NUM_TRAIN, 3, size, "imagenet", size)
    labels = random_labels(NUM_TRAIN, 1000, "imagenet", size)
    for batch in range(10):
        rows = slice(2 * batch, 2 * batch + 2)
        np.savez(
            folder / f"train_data_batch_{batch + 1}.npz",
            data=images[rows].reshape(2, -1),
            labels=labels[rows] + 1,
            mean=np.zeros(3 * size * size),
        )
    parts["train"] = images, labels
    images = random_images(NUM_TEST, 3, size, "imagenet test", size)
    labels = random_labels(NUM_TEST, 1000, "imagenet test", size)
    np.savez(folder / "val_data.npz", data=images.reshape(NUM_TEST, -1), labels=labels + 1)
    parts["test"] = images, labels
    return parts


def write_food101(root: Path):
    """Write photos of one colour each, so that JPEG keeps them, in two classes."""
    from PIL import Image

    (root / "food-101" / "meta").mkdir(parents=True)
    parts = {}
    for part, count in (("train", NUM_TRAIN), ("test", NUM_TEST)):
        index = {"waffles": [], "apple_pie": []}  # not in the order of their labels
        colours, labels = [], []
        for label, name in ((1, "waffles"), (0, "apple_pie")):
            for number in range(count // 2):
                photo = f"{name}/{part}{number}"
                level = 10 * number + 5 + label
                path = root / "food-101" / "images" / f"{photo}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (40 + number, 30), (level,) * 3).save(path)
                index[name].append(photo)
                colours.append(level)
                labels.append(label)
        (root / "food-101" / "meta" / f"{part}.json").write_text(json.dumps(index))
        parts[part] = np.array(colours), np.array(labels)
    return parts


def repickle(images, labels) -> bytes:
    """Return the same batch as Python 3 writes it in Python 2's protocol."""
    content = {"data": images.reshape(len(images), -1), "labels": [int(label) for label in labels]}
    return pickle.dumps(content, protocol=2)


def sorted_rows(images, labels):
    """Return images and labels in an order that depends on their values alone."""
    rows = np.column_stack([np.asarray(labels), np.asarray(images).reshape(len(labels), -1)])
    return rows[np.lexsort(rows.T[::-1])]
