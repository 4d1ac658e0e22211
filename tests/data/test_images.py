"""Splits, stand-ins, resizing and gathering."""

from __future__ import annotations

import hashlib
import itertools

import numpy as np
import pytest
import torch
from torch.nn import functional

from optsuite.data import (
    DATASETS,
    ImageSpec,
    IndexStream,
    dataloader,
    load,
    resolve_source,
)
from optsuite.data._datasets import cut
from optsuite.data._images import Images
from optsuite.data._synthetic import generate, synthetic_counts
from optsuite.errors import DataError, UnknownNameError

from .published import write_imagenet


def load_images(name, split, size, **options):
    spec = ImageSpec(dataset=name, size=size, **options)
    return load(spec, split, source="synthetic", device="cpu")


def test_splits_of_images_are_80_10_10_percent_rounded_as_in_tfds():
    svhn = DATASETS["svhn_cropped"]
    assert cut(svhn, "train", 73_257, 7) == ("train", 0, 58_606)
    assert cut(svhn, "inner_valid", 73_257, 7) == ("train", 58_606, 65_931)
    assert cut(svhn, "outer_valid", 73_257, 7) == ("train", 65_931, 73_257)
    assert cut(svhn, "test", 73_257, 7) == ("test", 0, 7)


def test_unknown_names_are_errors():
    with pytest.raises(UnknownNameError, match="unknown dataset `cifar11`: did you mean cifar10"):
        ImageSpec(dataset="cifar11", size=8)
    with pytest.raises(UnknownNameError, match="unknown split `valid`"):
        load_images("mnist", "valid", 28)
    with pytest.raises(UnknownNameError, match="unknown data source `fake`"):
        resolve_source("mnist", "fake")
    with pytest.raises(DataError, match="at least 1 pixel, got 0"):
        ImageSpec(dataset="mnist", size=0)


def test_mode_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv("OPTSUITE_DATA", "real")
    with pytest.raises(DataError, match="MNIST not found"):
        resolve_source("mnist")
    monkeypatch.setenv("OPTSUITE_DATA", "synthetic")
    assert resolve_source("mnist") == "synthetic"


def test_same_arguments_give_the_same_tensors():
    assert load_images("mnist", "test", 28).images is load_images("mnist", "test", 28).images
    spec = ImageSpec(dataset="mnist", size=28)
    again = load(spec, "test", source="synthetic", device=torch.device("cpu"))
    assert again.images is load_images("mnist", "test", 28).images


@pytest.mark.parametrize("name", ["mnist", "cifar10", "food101", "imagenet16"])
def test_stand_in_has_the_shape_of_its_dataset(name):
    info = DATASETS[name]
    size = info.size or 64
    images = load_images(name, "test", size)
    assert images.images.shape[1:] == (info.channels, size, size)
    assert images.images.dtype == torch.uint8
    assert set(images.labels.tolist()) == set(range(info.num_classes))
    assert len(images) == len(images.images) == synthetic_counts(info)[1]


def test_stand_in_has_as_many_examples_as_fit_in_128_mib():
    assert len(load_images("mnist", "train", 28)) == 48_000
    assert synthetic_counts(DATASETS["imagenet64"]) == (10_922, 2_730)


def test_stand_in_is_the_same_on_every_machine():
    """These bytes are a promise: other ones would change every curve recorded on stand-ins."""
    digests = {}
    for name in ("mnist", "cifar100"):
        arrays = generate(DATASETS[name], "test")
        raw = arrays.images.tobytes() + arrays.labels.astype("<i8").tobytes()
        digests[name] = hashlib.blake2b(raw, digest_size=8).hexdigest()
    assert digests == {"mnist": "0975f5204ecd0d55", "cifar100": "bec4f6c1cdced3a4"}


def test_stand_in_does_not_depend_on_the_precision_of_matrix_products():
    expected = generate(DATASETS["imagenet64"], "test").images
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        assert np.array_equal(generate(DATASETS["imagenet64"], "test").images, expected)
    finally:
        torch.set_float32_matmul_precision(before)


def accuracy(model, train, test, num_steps):
    stream = IndexStream(len(train), 128, seed=0, name="train")
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3, fused=True)
    for indices in stream.block(0, num_steps):
        batch = train.gather(indices)
        loss = functional.cross_entropy(model(batch["image"].flatten(1) - 0.4), batch["label"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    batch = test.gather(torch.arange(4000))
    with torch.no_grad():
        outputs = model(batch["image"].flatten(1) - 0.4)
    return (outputs.argmax(1) == batch["label"]).float().mean().item()


@pytest.mark.parametrize("name", ["fashion_mnist", "cifar10"])
def test_stand_in_rewards_a_linear_model_and_a_network_more(name):
    """Chance is 0.1; neither model comes close to 1."""
    channels = DATASETS[name].channels
    train, test = load_images(name, "train", 16), load_images(name, "test", 16)
    generator = torch.Generator().manual_seed(0)

    def linear(num_inputs, num_outputs):
        layer = torch.nn.utils.skip_init(torch.nn.Linear, num_inputs, num_outputs)
        torch.nn.init.normal_(layer.weight, std=num_inputs**-0.5, generator=generator)
        torch.nn.init.zeros_(layer.bias)
        return layer

    width = channels * 16 * 16
    network = torch.nn.Sequential(linear(width, 128), torch.nn.ReLU(), linear(128, 10))
    shallow = accuracy(linear(width, 10), train, test, 400)
    deep = accuracy(network, train, test, 800)
    assert 0.3 < shallow < 0.65
    assert shallow + 0.1 < deep < 0.95


def test_resize_and_grayscale_are_float_on_the_scale_of_bytes():
    images = load_images("cifar10", "test", 8, grayscale=True).images
    assert images.shape == (10_000, 1, 8, 8)
    assert images.dtype == torch.float32
    assert images.max() > 1
    colour = load_images("cifar10", "test", 8).images
    torch.testing.assert_close(images, colour.mean(dim=1, keepdim=True))


def test_grayscale_of_grey_images_changes_nothing():
    grey = load_images("mnist", "test", 28, grayscale=True).images
    assert grey.dtype == torch.uint8
    assert torch.equal(grey, load_images("mnist", "test", 28).images)


@pytest.mark.parametrize("shape", [(4,), (2, 4), (2, 3, 4), (0, 4)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_gather_takes_any_leading_dimensions(shape, dtype):
    store = torch.arange(10 * 12).reshape(10, 3, 2, 2).to(dtype)
    images = Images(store, torch.arange(10) % 3)
    indices = torch.arange(np.prod(shape).item()).reshape(shape) % 10
    batch = images.gather(indices)
    assert batch["image"].shape == (*shape, 3, 2, 2)
    assert torch.equal(batch["image"], store[indices].float() / 255)
    assert torch.equal(batch["label"], images.labels[indices])
    assert torch.equal(store, torch.arange(10 * 12).reshape(10, 3, 2, 2).to(dtype))


def test_gather_from_memory_mapped_images(data_folder, shrink):
    shrink("imagenet16")
    parts = write_imagenet(data_folder / "imagenet16", 16)
    spec = ImageSpec(dataset="imagenet16", size=16)
    images = load(spec, "test", source="real", device="cpu")
    batch = images.gather(torch.tensor([3, 0]))
    expected = parts["test"][0][[3, 0]].astype(np.float32) / 255
    assert np.array_equal(batch["image"].numpy(), expected)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_gather_on_a_gpu_matches_the_cpu():
    spec = ImageSpec(dataset="cifar10", size=32)
    indices = torch.arange(6).reshape(2, 3)
    expected = load(spec, "test", source="synthetic", device="cpu").gather(indices)
    images = load(spec, "test", source="synthetic", device="cuda")
    assert images.images.is_cuda
    stays = Images(images.images.cpu(), images.labels)  # too large for the device
    for source in (images, stays):
        batch = source.gather(indices)
        assert batch["image"].is_cuda
        assert torch.equal(batch["image"].cpu(), expected["image"])


def test_dataloader_follows_the_stream():
    spec = ImageSpec(dataset="mnist", size=28)
    batches = dataloader(spec, 16, "test", seed=3, source="synthetic", device="cpu")
    images = load(spec, "test", source="synthetic", device="cpu")
    stream = IndexStream(len(images), 16, seed=3, name="test")
    for number, batch in enumerate(itertools.islice(batches, 3)):
        expected = images.gather(stream.block(number, number + 1)[0])
        assert torch.equal(batch["image"], expected["image"])
        assert torch.equal(batch["label"], expected["label"])
