"""A folder with the benchmarks, a small family of configs and small stand-ins; and runs of pytest in it."""

from __future__ import annotations

import io
import warnings
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

# Runs in this process forget modules that they imported, and some cannot be imported twice.
import fsspec.implementations.memory  # noqa: F401
import pandas as pd
import pytest

import optsuite.report  # noqa: F401
from optsuite import Config, Schedule, tasks, train
from optsuite.data import DATASETS
from optsuite.hparam_sets import _families
from optsuite.optimizers import OPTIMIZERS
from optsuite.storage import read_npz

BENCHMARKS = Path(__file__).parents[2] / "benchmarks" / "test_baselines.py"
TASK = "ImageMLP_FashionMnist8_Relu32"
TASKS = ("ImageMLP_FashionMnist16_Relu32", TASK)
TASKS_GLOB = "ImageMLP_FashionMnist[81]*_Relu32"
SET = "TinyLR_10_R2"  # evaluated at steps 0 and 10
CELL = f"{TASK}-{SET}"
LABELS = ("SGD_lr0.01", "SGD_lr0.1")

# Also what a user would write: a conftest that registers families and tasks.
EXTENSIONS = """
from dataclasses import replace
from pathlib import Path

from optsuite import Config, Family, get_task, register_family, register_task
from optsuite.data import DATASETS

DATASETS.update({name: replace(info, num_train=2000, num_test=500) for name, info in DATASETS.items()})


def family(name, *labels):
    configs = [Config(f"SGD_lr{lr}", "SGD", {"lr": float(lr)}) for lr in labels]
    register_family(Family(name, name.removesuffix("LR"), lambda: configs))


family("TinyLR", "0.01", "0.1")
family("WildLR", "0.1", "1e30")
family("ManyLR", *(f"0.{n}" for n in range(10, 26)))

fixed = Path(__file__).with_name("fixed")
fashion = get_task("ImageMLP_FashionMnist8_Relu32")


def breaks_in_training(outputs, batch):
    if outputs.device.type != "meta" and not fixed.exists():
        raise ArithmeticError("the loss is broken")
    return fashion.loss_fn(outputs, batch)


register_task(replace(fashion, name="Breaks", loss_fn=breaks_in_training))
"""


def shrink(monkeypatch, *names):
    for name, info in list(DATASETS.items()):
        if name not in names:
            monkeypatch.setitem(DATASETS, name, replace(info, num_train=2000, num_test=500))


@pytest.fixture(scope="session", autouse=True)
def warm(tmp_path_factory):
    """Train once: runs in this process must not be the first to import what torch and pandas import late."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("OPTSUITE_DATA_DIR", str(tmp_path_factory.mktemp("data")))
        shrink(monkeypatch)
        train(TASK, Config("SGD", "SGD", {"lr": 0.1}), Schedule(1), mode="synthetic")
    pd.DataFrame().to_parquet(io.BytesIO())


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory):
    """An empty folder; what is loaded is kept by folder, so one for all tests."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture
def environment(monkeypatch, data_folder):
    """Nothing of the user's, and small stand-ins."""
    for name in ("OPTSUITE_DATA", "LOPT_BASELINE_DIR", "LOPT_BASELINE_ARCHIVES_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPTSUITE_DATA_DIR", str(data_folder))
    shrink(monkeypatch)


def read_curves(root):
    """The curves under a folder, by trial id."""
    curves = [read_npz(str(path)) for path in Path(root).rglob("*.curves")]
    return {str(curve["trial_id"]): curve for curve in curves}


class Bench:
    """Runs the benchmarks in a folder of their own."""

    def __init__(self, pytester):
        self.pytester = pytester
        self.path = pytester.path
        self.storage = self.path / "curves"
        pytester.makepyfile(test_baselines=BENCHMARKS.read_text())
        pytester.makeconftest(EXTENSIONS)

    def args(self, *args, tasks=TASK, sets=SET, data="synthetic", storage="curves", report="off"):
        named = {"tasks": tasks, "sets": sets, "data": data, "storage": storage and self.path / storage}
        named["report"] = report
        return [*(f"--opt-{name}={value}" for name, value in named.items() if value), *map(str, args)]

    def run(self, *args, **options):
        """Run in this process; what the folder's conftest registers is forgotten afterwards."""
        with warnings.catch_warnings(), pytest.MonkeyPatch.context() as monkeypatch, patch.dict(OPTIMIZERS):
            warnings.simplefilter("default")  # they are errors in our own options
            monkeypatch.setattr(tasks, "_TASKS", dict(tasks._TASKS))
            monkeypatch.setattr(_families, "_FAMILIES", dict(_families._FAMILIES))
            # Hypothesis would be imported, and forgotten, by every run.
            return self.pytester.runpytest_inprocess(
                "-p", "no:hypothesispytest", *self.args(*args, **options)
            )

    def ids(self, *args, **options):
        """The ids that a run would have, without the function's name."""
        result = self.run("--collect-only", "-q", *args, **options)
        return [line.partition("[")[2].rstrip("]") for line in result.outlines if "::" in line]

    @property
    def curve_files(self):
        """Every curve's file, sorted by path."""
        return sorted(self.path.rglob("*.curves"))

    @property
    def archive_files(self):
        """Every archive's file; checkpoints are none."""
        found = (path.relative_to(self.path) for path in self.path.rglob("*.npz"))
        return sorted(str(path) for path in found if ".optsuite" not in path.parts)

    @property
    def shared_files(self):
        """Every file that runners have among themselves: groups, claims, checkpoints, failures."""
        return sorted(path.name for path in self.path.rglob(".optsuite/*/*"))

    def labels(self):
        """Labels of the configs that have curves."""
        return {path.parents[1].name for path in self.curve_files}

    def stamps(self):
        """When each curve's file was written."""
        return {path: path.stat().st_mtime_ns for path in self.curve_files}

    def results(self):
        """Folders of results, and probes, here."""
        return sorted(path.name for path in self.path.iterdir() if path.name.startswith(("curves", "lopt")))


@pytest.fixture
def bench(pytester, environment):
    return Bench(pytester)


@pytest.fixture
def has_cuda():
    import torch

    return torch.cuda.is_available()


def text(result):
    """All that a run printed, on one line, so that wrapping does not matter."""
    return " ".join("\n".join([*result.outlines, *result.errlines]).split())
