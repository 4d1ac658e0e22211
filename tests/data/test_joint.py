"""Several datasets side by side."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from optsuite.data import DATASETS, ImageSpec, JointSpec, TextSpec, dataloader, load, resolve_source
from optsuite.errors import DataError, UnknownNameError

MNIST, TEXT = ImageSpec(dataset="mnist", size=8), TextSpec(dataset="lm1b_bytes", length=4)
BOTH = JointSpec(parts=(MNIST, TEXT))

pytestmark = pytest.mark.usefixtures("small_data")


def test_an_example_has_the_fields_of_every_part():
    assert BOTH.fields == {
        "0/image": ((1, 8, 8), torch.float32),
        "0/label": ((), torch.int64),
        "1/obs": ((4,), torch.int64),
        "1/target": ((4,), torch.int64),
    }
    batch = next(dataloader(BOTH, (2, 3), "train", source="synthetic", device="cpu"))
    assert {name: (field.shape[2:], field.dtype) for name, field in batch.items()} == BOTH.fields
    assert all(field.shape[:2] == (2, 3) for field in batch.values())
    assert BOTH.batch_of(1, batch).keys() == {"obs", "target"}


def test_shorter_parts_begin_again(monkeypatch):
    monkeypatch.setitem(DATASETS, "fashion_mnist", replace(DATASETS["fashion_mnist"], num_train=100))
    small = ImageSpec(dataset="fashion_mnist", size=5)  # of no other test: loaded splits are kept
    both = JointSpec(parts=(small, MNIST, small))
    examples, parts = (load(spec, "train", source="synthetic", device="cpu") for spec in (both, small))
    assert len(examples) == len(load(MNIST, "train", source="synthetic", device="cpu")) > len(parts)
    indices = torch.tensor([0, len(examples) - 1])
    expected = parts.gather(indices % len(parts))
    for number in (0, 2):
        found = both.batch_of(number, examples.gather(indices))
        assert all(torch.equal(found[name], field) for name, field in expected.items())


def test_parts_are_real_together_or_not_at_all(monkeypatch, tmp_path):
    found = {"mnist"}
    monkeypatch.setattr(
        "optsuite.data._location.find_files", lambda info: tmp_path if info.name in found else None
    )
    assert resolve_source("mnist", "auto") == "real"
    assert resolve_source("mnist+cifar10", "auto") == "synthetic"
    with pytest.raises(DataError, match="CIFAR-10 not found"):
        resolve_source("mnist+cifar10", "real")
    found.add("cifar10")
    assert resolve_source("mnist+cifar10", "auto") == "real"
    assert resolve_source("mnist+cifar10", "synthetic") == "synthetic"
    with pytest.raises(UnknownNameError, match="unknown dataset `cifr10`: did you mean cifar10"):
        resolve_source("mnist+cifr10")


def test_no_parts_are_refused():
    with pytest.raises(DataError, match="at least one dataset"):
        JointSpec(parts=())
