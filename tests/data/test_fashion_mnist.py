"""The one published dataset that an operating system brings along."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from optsuite import data
from optsuite.data import DATASETS, ImageSpec, resolve_source
from optsuite.data._formats import read_mnist

FOLDER = Path("/usr/share/datasets/fashion-mnist")
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"{FOLDER} is not installed")
SIZES = {"train": 48_000, "inner_valid": 6_000, "outer_valid": 6_000, "test": 10_000}


@pytest.fixture(autouse=True)
def _installed(data_folder, monkeypatch):
    installed = replace(DATASETS["fashion_mnist"], system_folders=(FOLDER,))
    monkeypatch.setitem(DATASETS, "fashion_mnist", installed)


def load(split, size=28):
    spec = ImageSpec(dataset="fashion_mnist", size=size)
    return data.load(spec, split, source="real", device="cpu")


def test_installed_files_are_found_without_set_up():
    assert resolve_source("fashion_mnist") == "real"


@pytest.mark.parametrize("split", SIZES)
def test_splits_have_their_sizes(split):
    assert load(split).images.shape == (SIZES[split], 1, 28, 28)
    assert len(load(split)) == SIZES[split]


def test_first_published_labels():
    info = DATASETS["fashion_mnist"]
    train, test = read_mnist(info, FOLDER, "train"), read_mnist(info, FOLDER, "test")
    assert train.labels[:10].tolist() == [9, 0, 0, 3, 0, 2, 7, 2, 5, 5]
    assert test.labels[:10].tolist() == [9, 2, 1, 1, 6, 1, 4, 6, 5, 7]
    assert load("test").labels[:10].tolist() == [9, 2, 1, 1, 6, 1, 4, 6, 5, 7]


def test_splits_are_shuffled_the_same_way_everywhere():
    """These labels are a promise: other ones would be other splits."""
    assert load("train").labels[:12].tolist() == [6, 2, 5, 2, 5, 0, 1, 5, 8, 2, 6, 9]
    assert load("outer_valid").labels[:12].tolist() == [7, 7, 0, 4, 5, 8, 6, 2, 9, 4, 3, 7]


def test_splits_share_no_image():
    rows = torch.cat([load(split).images for split in SIZES if split != "test"]).flatten(1)
    published = read_mnist(DATASETS["fashion_mnist"], FOLDER, "train").images.reshape(60_000, -1)
    assert np.array_equal(
        np.sort(rows.numpy().view("V784"), axis=0), np.sort(published.copy().view("V784"), axis=0)
    )


def bilinear(image, size):
    """Resize with half-pixel centres and no antialias, straight from the definition of bilinear."""
    result = np.empty((size, size))
    scale = len(image) / size
    for y in range(size):
        for x in range(size):
            v = min(max((y + 0.5) * scale - 0.5, 0), len(image) - 1)
            u = min(max((x + 0.5) * scale - 0.5, 0), len(image) - 1)
            top, left = int(v), int(u)
            low, right = min(top + 1, len(image) - 1), min(left + 1, len(image) - 1)
            upper = image[top, left] * (1 - u + left) + image[top, right] * (u - left)
            lower = image[low, left] * (1 - u + left) + image[low, right] * (u - left)
            result[y, x] = upper * (1 - v + top) + lower * (v - top)
    return result


@pytest.mark.parametrize("size", [8, 16, 32])
def test_resize_matches_bilinear_by_definition(size):
    resized = load("test", size)
    assert resized.images.dtype == torch.float32
    for index in range(5):
        expected = bilinear(load("test").images[index, 0].double().numpy(), size)
        np.testing.assert_allclose(resized.images[index, 0], expected, atol=1e-3)
