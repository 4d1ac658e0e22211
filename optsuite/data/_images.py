"""Images as tensors: loaded once per process, kept on the device, gathered by index."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from optsuite.data._converted import read_food101, read_imagenet
from optsuite.data._datasets import DatasetInfo, ImageSpec, get_dataset, split_range
from optsuite.data._formats import Arrays, read_cifar, read_mnist, read_svhn
from optsuite.data._location import Source, data_dir, require_files
from optsuite.data._random import permutation
from optsuite.data._resize import to_spec
from optsuite.data._stream import IndexStream
from optsuite.data._synthetic import generate, synthetic_counts
from optsuite.errors import DataError, UnknownNameError

if TYPE_CHECKING:
    from optsuite._types import Array, Batch

__all__ = ["Images", "dataloader", "gather", "load_images", "num_examples"]

_WHOLE = {
    "mnist": read_mnist,
    "fashion_mnist": read_mnist,
    "cifar10": read_cifar,
    "cifar100": read_cifar,
    "svhn_cropped": read_svhn,
}
_MAPPED = {
    "food101": read_food101,
    "imagenet16": read_imagenet,
    "imagenet32": read_imagenet,
    "imagenet64": read_imagenet,
}
_LOCK = threading.RLock()  # threads that ask for the same images wait for one load


class Images(NamedTuple):
    """One split of a dataset.

    `images` lies on the device of `labels`, unless it is memory-mapped and too large for it: then
    it lies on the CPU and batches are moved as they are gathered.
    """

    images: Tensor  # (M, C, Y, X), 0..255: uint8 as published, float32 once resized or made grey
    labels: Tensor  # int64 (M,)


def num_examples(spec: ImageSpec, split: str, source: Source) -> int:
    """Examples in a split; opens no file."""
    start, stop = split_range(split, *_counts(get_dataset(spec.dataset), source))
    return stop - start


def _counts(info: DatasetInfo, source: Source) -> tuple[int, int]:
    if source not in ("real", "synthetic"):
        raise UnknownNameError("data source", source, ("real", "synthetic"))
    return (info.num_train, info.num_test) if source == "real" else synthetic_counts(info)


def load_images(spec: ImageSpec, split: str, *, source: Source, device: torch.device | str) -> Images:
    """One split as tensors.

    The splits that are cut from the training set are cut after one shuffle that depends on the
    dataset alone, since some sets are stored sorted by class. The latest splits are kept, so that
    asking again gives the same tensors.

    Args:
        spec: Which images.
        split: One of `SPLITS`.
        source: The published images or the stand-in; see `resolve_source`.
        device: Where the tensors will be used.

    Raises:
        DataError: `source` is `real` and a file is missing, damaged or of another format.
        UnknownNameError: No such split or source.
    """
    with _LOCK:
        return _load(spec, split, source, torch.device(device), data_dir())


@lru_cache(maxsize=16)  # the four splits of four specs
def _load(spec: ImageSpec, split: str, source: Source, device: torch.device, folder: Path) -> Images:
    info = get_dataset(spec.dataset)
    start, stop = split_range(split, *_counts(info, source))
    part = "test" if split == "test" else "train"
    stored_size = spec.size if info.size is None and source == "real" else info.size
    whole = _read(info.name, part, source, stored_size, folder)
    images = to_spec(whole.images[start:stop], spec.size, spec.grayscale)
    if _fits(images, device):
        images = images.to(device)
    return Images(images, whole.labels[start:stop].to(device))


def _fits(images: Tensor, device: torch.device) -> bool:
    """Whether to move images to the device: always, but to a GPU only up to a quarter of it."""
    if device.type != "cuda":
        return True
    free_bytes, _ = torch.cuda.mem_get_info(device)
    return images.nbytes <= free_bytes // 4


@lru_cache(maxsize=2)  # a dataset's training and test set, while its splits are cut
def _read(dataset: str, part: str, source: Source, size: int | None, folder: Path) -> Images:  # noqa: ARG001  # `folder` is part of the key
    info = get_dataset(dataset)
    arrays = generate(info, part) if source == "synthetic" else _read_real(info, part, size)
    return Images(torch.from_numpy(arrays.images), torch.from_numpy(arrays.labels))


def _read_real(info: DatasetInfo, part: str, size: int | None) -> Arrays:
    """The published training set in shuffled order, or the test set in its own."""
    folder = require_files(info)
    count = info.num_train if part == "train" else info.num_test
    order = permutation(count, "splits", info.name) if part == "train" else np.arange(count)
    if info.name in _MAPPED:
        arrays = _MAPPED[info.name](info, folder, part, size or 0, order)
    else:
        arrays = _WHOLE[info.name](info, folder, part)
        _check(info, folder, part, arrays, count)
        arrays = Arrays(arrays.images[order], arrays.labels[order])
    _check_labels(info, folder, arrays.labels)
    return arrays


def _check(info: DatasetInfo, folder: Path, part: str, arrays: Arrays, count: int) -> None:
    expected = (count, info.channels, info.size, info.size)
    if arrays.images.shape != expected or len(arrays.labels) != count:
        raise DataError(
            f"the {part} files of {info.title} in {folder} need images of shape {expected}, got "
            f"{arrays.images.shape} and {len(arrays.labels)} labels: delete them and "
            f"{info.how_to_get}"
        )


def _check_labels(info: DatasetInfo, folder: Path, labels: Array) -> None:
    if labels.min() < 0 or labels.max() >= info.num_classes:
        raise DataError(
            f"the files of {info.title} in {folder} need labels from 0 to {info.num_classes - 1}, "
            f"got {labels.min()} to {labels.max()}: delete them and {info.how_to_get}"
        )


def gather(images: Images, indices: Tensor) -> Batch:
    """The examples at `indices`, on the device of `images.labels`.

    Nothing waits for the device, unless the images are too large for it.

    Args:
        images: One split.
        indices: int64 (..., B), on any device.

    Returns:
        `image` float32 (..., B, C, Y, X) in [0, 1] and `label` int64 (..., B).
    """
    store, labels = images
    flat = indices.reshape(-1)
    picked = store.index_select(0, flat.to(store.device, non_blocking=True))
    picked = picked.to(labels.device, torch.float32, non_blocking=True).div_(255)
    label = labels.index_select(0, flat.to(labels.device, non_blocking=True))
    return {
        "image": picked.reshape(*indices.shape, *store.shape[1:]),
        "label": label.reshape(indices.shape),
    }


def dataloader(
    spec: ImageSpec,
    batch_size: int,
    split: str,
    *,
    seed: int = 0,
    source: Source,
    device: torch.device | str,
) -> Iterator[Batch]:
    """Batches without end, in the order of `IndexStream(..., seed=seed, name=split)`.

    Example:
        >>> spec = ImageSpec(dataset="mnist", size=28)
        >>> batches = dataloader(spec, 128, "train", source="synthetic", device="cpu")
        >>> next(batches)["image"].shape
        torch.Size([128, 1, 28, 28])
    """
    images = load_images(spec, split, source=source, device=device)
    stream = IndexStream(len(images.labels), batch_size, seed=seed, name=split)

    def batches() -> Iterator[Batch]:
        number = 0
        while True:
            yield gather(images, stream.block(number, number + 1)[0])
            number += 1

    return batches()
