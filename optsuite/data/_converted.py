"""Readers of large datasets, which are converted once to one memory-mapped array of bytes per set.

The arrays are written in the order of the splits, so that a split is a slice of the mapping and
never a copy. They lie beside the published files, under `optsuite_<size>`.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from math import prod
from pathlib import Path

import numpy as np
import torch

from optsuite import storage
from optsuite._types import Array
from optsuite.data._cache import cache_name, mapped
from optsuite.data._formats import Arrays, read_npz_rows, reading
from optsuite.data._kinds import ImageDataset
from optsuite.data._resize import resize
from optsuite.errors import DataError

_SLICE_BYTES = 1 << 26


def read_food101(info: ImageDataset, folder: Path, part: str, size: int, order: Array) -> Arrays:
    """Read Food-101, resized and rounded to whole brightness levels when it is converted.

    Args:
        info: The row of Food-101 in `DATASETS`.
        folder: The folder that holds `meta` and `images`.
        part: `train` or `test`.
        size: Rows and columns to resize to.
        order: Number of the published example that comes at each place, int64 (M,).
    """
    index = folder / "meta" / f"{part}.json"
    photos, labels = _food101_index(info, index, part)

    def write(images: Array) -> None:
        def convert(place: int) -> None:
            path = folder / "images" / f"{photos[order[place]]}.jpg"
            with reading(path, info):
                images[place] = _decode(path, size)

        with ThreadPoolExecutor(os.cpu_count()) as pool:  # decoding releases the interpreter lock
            for _ in pool.map(convert, range(len(images))):
                pass

    # To look at 100,000 photos for a change would take too long.
    images = _converted(info, folder, part, (len(order), 3, size, size), [index], write)
    return Arrays(images, labels[order])


def _food101_index(info: ImageDataset, path: Path, part: str) -> tuple[list[str], Array]:
    """Return the names of the photos and their labels, int64 (M,)."""
    with reading(path, info):
        by_class: dict[str, list[str]] = storage.parse_json(path.read_bytes(), str(path))
        photos = [photo for group in by_class.values() for photo in group]
        number = {name: index for index, name in enumerate(sorted(by_class))}
        labels = [number[name] for name, group in by_class.items() for _ in group]
        expected = info.num_train if part == "train" else info.num_test
        if len(photos) != expected:
            raise ValueError(f"expected {expected} photos, got {len(photos)}")
    return photos, np.array(labels, dtype=np.int64)


def _decode(path: Path, size: int) -> Array:
    """Read a photo and resize it: uint8 (3, size, size)."""
    from PIL import Image

    with Image.open(path) as photo:
        pixels = np.array(photo.convert("RGB"))
    channels_first = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    decoded: Array = resize(channels_first, size)[0].round_().to(torch.uint8).numpy()
    return decoded


def read_imagenet(info: ImageDataset, folder: Path, part: str, size: int, order: Array) -> Arrays:
    """Read downsampled ImageNet; `size` is the one it was published in, all else as for `read_food101`."""
    paths = [folder / name for name in info.files if name.startswith("val") == (part == "test")]
    place = np.empty_like(order)
    place[order] = np.arange(len(order))

    def check_count(found: int, what: str) -> None:
        if found != len(order):
            raise DataError(
                f"the batches of {info.title} in {folder} hold {found} {part} {what}, expected {len(order)}: "
                f"delete them and {info.how_to_get}"
            )

    def write(images: Array) -> None:
        start = 0
        for path in paths:
            with reading(path, info):
                for rows in read_npz_rows(path, "data", _SLICE_BYTES):
                    target = place[start : start + len(rows)]
                    images[target] = rows.reshape(-1, 3, size, size)
                    start += len(rows)
        check_count(start, "images")

    labels = np.concatenate([_imagenet_labels(info, path) for path in paths])
    check_count(len(labels), "labels")
    images = _converted(info, folder, part, (len(order), 3, size, size), paths, write)
    return Arrays(images, labels[order])


def _imagenet_labels(info: ImageDataset, path: Path) -> Array:
    with reading(path, info):
        labels = np.concatenate(list(read_npz_rows(path, "labels", _SLICE_BYTES)))
        return labels.astype(np.int64) - 1  # published as 1 to 1000


def _converted(
    info: ImageDataset,
    folder: Path,
    part: str,
    shape: tuple[int, ...],
    sources: list[Path],
    write: Callable[[Array], None],
) -> Array:
    """Map the converted images, after converting them if that has not been done.

    Args:
        info: The dataset's row in `DATASETS`.
        folder: The folder of its files.
        part: `train` or `test`.
        shape: Shape of the result, (M, 3, size, size).
        sources: Files whose change has the images converted again.
        write: Function that fills an array of that shape.

    Returns:
        A read-only mapped array, uint8 of `shape`.
    """

    def make(path: Path) -> None:
        images = np.lib.format.open_memmap(path, "w+", dtype=np.uint8, shape=shape)
        write(images)
        images.flush()

    path = folder / f"optsuite_{shape[-1]}" / cache_name(info, part, sources, shape)
    return mapped(info, path, make, prod(shape))
