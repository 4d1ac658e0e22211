"""Splits of image datasets as tensors on the device, and batches gathered from them by index."""

from collections.abc import Hashable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from optsuite._types import Array, Batch
from optsuite.data._cache import as_tensor
from optsuite.data._converted import read_food101, read_imagenet
from optsuite.data._datasets import cut
from optsuite.data._device import pick, to_device
from optsuite.data._formats import Arrays, read_cifar, read_mnist, read_svhn
from optsuite.data._kinds import ImageDataset
from optsuite.data._location import Source, require_files
from optsuite.data._random import permutation
from optsuite.data._resize import to_spec
from optsuite.data._specs import ImageSpec
from optsuite.data._synthetic import generate, synthetic_counts
from optsuite.errors import DataError

_WHOLE = {
    "mnist": read_mnist,
    "fashion_mnist": read_mnist,
    "cifar10": read_cifar,
    "cifar100": read_cifar,
    "svhn_cropped": read_svhn,
}
_MAPPED = {"food101": read_food101, **{f"imagenet{size}": read_imagenet for size in (16, 32, 64)}}


@dataclass(frozen=True, eq=False)
class Images:
    """One split of a dataset of images.

    `images` lies on the device of `labels`. If it is memory-mapped and too large for that device, it lies on
    the CPU and batches are moved as they are gathered.
    """

    images: Tensor
    """Pixels from 0 to 255, (M, C, Y, X): uint8 as published, float32 if resized or made grey."""
    labels: Tensor
    """Classes, int64 (M,)."""

    def __len__(self) -> int:
        return len(self.labels)

    def gather(self, indices: Tensor) -> Batch:
        """Return `image`, float32 (..., B, C, Y, X) in [0, 1], and `label`, int64 (..., B), of examples."""
        flat, device = indices.reshape(-1), self.labels.device
        picked = pick(self.images, flat).to(device, torch.float32, non_blocking=True).div_(255)
        image = picked.reshape(*indices.shape, *self.images.shape[1:])
        return {"image": image, "label": pick(self.labels, flat).reshape(indices.shape)}


def load_images(
    spec: ImageSpec, split: str, source: Source, device: torch.device, settings: Hashable
) -> Images:
    """Load one split of a dataset of images; see `load`.

    The training set is shuffled before splits are cut from it, in an order that depends on the dataset alone,
    since some sets are stored sorted by class.
    """
    info = spec.info
    is_real = source == "real"
    counts = (info.num_train, info.num_test) if is_real else synthetic_counts(info)
    part, start, stop = cut(info, split, *counts)
    stored_size = spec.size if info.size is None and is_real else info.size
    whole = _read(info, part, source, stored_size, settings)
    images = to_spec(whole.images[start:stop], spec.size, spec.grayscale)
    return Images(to_device(images, device), whole.labels[start:stop].to(device))


@lru_cache(maxsize=2)  # a dataset's training and test set, while its splits are cut
def _read(info: ImageDataset, part: str, source: Source, size: int | None, settings: Hashable) -> Images:  # noqa: ARG001  # `settings` is part of the key
    arrays = generate(info, part) if source == "synthetic" else _read_real(info, part, size)
    return Images(as_tensor(arrays.images), torch.from_numpy(arrays.labels))


def _read_real(info: ImageDataset, part: str, size: int | None) -> Arrays:
    """Read the published training set in shuffled order, or the test set in its own order."""
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


def _check(info: ImageDataset, folder: Path, part: str, arrays: Arrays, count: int) -> None:
    expected = (count, info.channels, info.size, info.size)
    if arrays.images.shape != expected or len(arrays.labels) != count:
        raise DataError(
            f"the {part} files of {info.title} in {folder} need images of shape {expected}, got "
            f"{arrays.images.shape} and {len(arrays.labels)} labels: delete them and "
            f"{info.how_to_get}"
        )


def _check_labels(info: ImageDataset, folder: Path, labels: Array) -> None:
    if labels.min() < 0 or labels.max() >= info.num_classes:
        raise DataError(
            f"the files of {info.title} in {folder} need labels from 0 to {info.num_classes - 1}, "
            f"got {labels.min()} to {labels.max()}: delete them and {info.how_to_get}"
        )
