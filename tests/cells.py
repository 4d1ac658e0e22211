"""A small cell to run, a store in memory, and fixtures that forget what a test registers."""

from __future__ import annotations

import uuid
from dataclasses import replace

import fsspec
import pytest
import torch

from optsuite import curves, tasks, trainer
from optsuite.backends import run_job
from optsuite.data import DATASETS
from optsuite.hparam_sets import Config, Family, _families, get_hparam_set, register_family
from optsuite.storage import Store
from optsuite.sweep import Cell, prepare

TASK = "ImageMLP_FashionMnist8_Relu32"
LARGE = "ImageMLP_Cifar10_16384x16384_Relu"
CPU = torch.device("cpu")


def family(name, *labels):
    """A family of SGD whose labels say the learning rates."""
    configs = [Config(label, "SGD", {"lr": float(label.removeprefix("SGD_lr"))}) for label in labels]
    return Family(name, name.removesuffix("LR"), lambda: configs)


@pytest.fixture(autouse=True)
def tables(monkeypatch, tmp_path_factory):
    """Small stand-ins; what a test registers is forgotten."""
    monkeypatch.setattr(tasks, "_TASKS", dict(tasks._TASKS))
    monkeypatch.setattr(_families, "_FAMILIES", dict(_families._FAMILIES))
    monkeypatch.setenv("OPTSUITE_DATA_DIR", str(tmp_path_factory.getbasetemp()))
    for name in ("OPTSUITE_DATA", "LOPT_BASELINE_DIR", "LOPT_BASELINE_ARCHIVES_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name, info in list(DATASETS.items()):
        small = replace(info, num_train=2000, num_test=500, system_folders=())
        monkeypatch.setitem(DATASETS, name, small)
    register_family(family("TinyLR", "SGD_lr0.01", "SGD_lr0.1"))


def counted_steps(monkeypatch):
    """Count the trial-steps that are trained from now on, block by block."""
    counts = []
    advance = trainer.GridRun.advance

    def counting(self, state, stop=None):
        after = advance(self, state, stop)
        counts.append(after.trial_steps - state.trial_steps)
        return after

    monkeypatch.setattr(trainer.GridRun, "advance", counting)
    return counts


@pytest.fixture
def root():
    """A place of its own in memory."""
    name = uuid.uuid4().hex
    yield f"memory://{name}"
    filesystem = fsspec.filesystem("memory")
    if filesystem.exists(f"/{name}"):
        filesystem.rm(f"/{name}", recursive=True)


@pytest.fixture
def cell():
    return Cell(TASK, get_hparam_set("TinyLR_2_R2"))


@pytest.fixture
def roots(root):
    return f"{root}/curves", None


@pytest.fixture
def store(roots):
    return Store.at(*roots, "synthetic")


def run_cell(cell, configs, *, device=None, tell=lambda _done, _total: None, **options):
    """Every outcome of a cell, those that were recorded first."""
    job, outcomes = prepare(cell, configs, **options)
    yield from outcomes
    yield from run_job(job, device=device, tell=tell)


def run(cell, roots, **options):
    """Outcomes by trial."""
    return by_trial(cell, cell.hparam_set.configs, roots, **options)


def by_trial(cell, configs, roots, **options):
    outcomes = run_cell(cell, configs, roots=roots, mode="synthetic", device=CPU, **options)
    return {outcome.trial: outcome.result for outcome in outcomes}


def damage(store, trial):
    """Overwrite a trial's file with what is no npz file; return its URL."""
    (url,) = curves.files_of_trial(trial.folder(store.curves), trial.id("synthetic"))
    with fsspec.open(url, "wb") as file:
        file.write(b"not an npz")
    return url
