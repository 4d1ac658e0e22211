"""Fixtures of many tests."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from optsuite.data import DATASETS
from optsuite.storage import _patience


@pytest.fixture(scope="session")
def small_data_folder(tmp_path_factory):
    """An empty data folder: loaded splits are kept by folder, so small sets are not taken for the others."""
    return tmp_path_factory.mktemp("small")


@pytest.fixture
def small_data(small_data_folder, monkeypatch):
    """Stand-ins of a few thousand images, which take no time to generate."""
    monkeypatch.setenv("OPTSUITE_DATA_DIR", str(small_data_folder))
    monkeypatch.delenv("OPTSUITE_DATA", raising=False)
    for name, info in list(DATASETS.items()):
        monkeypatch.setitem(DATASETS, name, replace(info, num_train=2000, num_test=500))


@pytest.fixture(params=["local", "memory"])
def root(request, tmp_path):
    """An empty root, on this machine and on a storage of another kind."""
    return str(tmp_path / "root") if request.param == "local" else f"memory://{uuid.uuid4().hex}"


@pytest.fixture(scope="session", autouse=True)
def empty_cache(tmp_path_factory):
    """A cache folder in which nothing was measured before."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def short_patience():
    """Storage that gives up soon, after two tries or so."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(_patience, "WRITING", _patience.Patience(0.5, 30))
        monkeypatch.setattr(_patience, "READING", _patience.Patience(0.5, 30))
        yield


@pytest.fixture(autouse=True)
def no_store_is_gone():
    """Forget stores that another test could not reach."""
    _patience._gone.clear()


@pytest.fixture(scope="session", autouse=True)
def opt_list_file(tmp_path_factory):
    """A list of made-up entries of OptList, in place of the one that would be downloaded."""
    path = tmp_path_factory.mktemp("opt_list") / "opt_list.json"
    path.write_text(json.dumps([made_up_entry(idx) for idx in range(1000)]))
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("OPTSUITE_OPT_LIST", str(path))
        yield path


def made_up_entry(idx):
    return {
        "learning_rate": 1e-3 * (1 + idx),
        "beta1": 0.9,
        "beta2": 0.999 - 1e-4 * (idx % 3),
        "epsilon": 1e-8 * 10 ** (idx % 5),
        "use_nesterov": idx % 2 == 0,
        "adamw_weight_decay": 1e-3 * (idx % 4),
        "l2_weight_decay": 0.0,
        "warmup_fraction": 0.01 * (idx % 2),
        "min_learning_rate_mult": 0.1,
        "constant_fraction": 0.5,
    }


@pytest.fixture
def published_opt_list(monkeypatch):
    """The published list, if there is a copy of it on this machine."""
    path = Path(__file__).parents[2] / "shared" / "reference" / "opt_list.json"
    if not path.exists():
        pytest.skip(f"no {path}")
    monkeypatch.setenv("OPTSUITE_OPT_LIST", str(path))
