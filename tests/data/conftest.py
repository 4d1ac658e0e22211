"""An empty data folder for every test, and datasets that expect a handful of examples."""

from __future__ import annotations

from dataclasses import replace

import pytest

from optsuite.data import DATASETS

from .corpora import NUM_PIECES, PIECES, train_sentencepiece
from .published import NUM_TEST, NUM_TRAIN


@pytest.fixture(autouse=True)
def data_folder(tmp_path, monkeypatch):
    """An empty data folder, and no dataset found elsewhere on the machine."""
    monkeypatch.setenv("OPTSUITE_DATA_DIR", str(tmp_path))
    for name in ("OPTSUITE_DATA", "OPTSUITE_SENTENCEPIECE", "OPTSUITE_TEXT_ERRORS"):
        monkeypatch.delenv(name, raising=False)
    for name, info in list(DATASETS.items()):
        monkeypatch.setitem(DATASETS, name, replace(info, system_folders=()))
    return tmp_path


@pytest.fixture
def shrink(monkeypatch):
    """Make a dataset expect NUM_TRAIN and NUM_TEST examples."""

    def apply(name):
        small = replace(DATASETS[name], num_train=NUM_TRAIN, num_test=NUM_TEST)
        monkeypatch.setitem(DATASETS, name, small)
        return small

    return apply


@pytest.fixture(scope="session")
def model():
    """The bytes of a small SentencePiece model."""
    return train_sentencepiece(NUM_PIECES)


@pytest.fixture
def few_pieces(monkeypatch):
    """Make LM1B expect that model."""
    monkeypatch.setitem(DATASETS, PIECES, replace(DATASETS[PIECES], num_pieces=NUM_PIECES))
