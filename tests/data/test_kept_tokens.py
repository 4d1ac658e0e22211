"""Tokens of a corpus are kept in a file, which is made once and used for that corpus only."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from optsuite.data import (
    DATASETS,
)
from optsuite.data._corpus import read_documents
from optsuite.data._tokens import read_tokens
from optsuite.errors import DataError

from .corpora import (
    HELD_OUT,
    LM1B,
    NUM_PIECES,
    PIECES,
    SENTENCES,
    caches,
    load_real,
    train_sentencepiece,
    write_lm1b,
)


def test_tokens_are_kept_and_used_again(data_folder, monkeypatch):
    write_lm1b(data_folder)
    first = read_tokens(DATASETS[LM1B], "test", 33)
    monkeypatch.setattr("optsuite.data._tokens.read_documents", None)
    again = read_tokens(DATASETS[LM1B], "test", 33)
    assert isinstance(again, np.memmap)
    np.testing.assert_array_equal(first, again)
    (path,) = caches(data_folder)
    assert path.parent.name == "optsuite_bytes_33"
    assert path.stat().st_size == len(HELD_OUT) * 33 * 2 + 128


def test_another_corpus_is_not_taken_for_the_old_one(data_folder):
    write_lm1b(data_folder)
    assert len(read_tokens(DATASETS[LM1B], "train", 9)) == 200
    write_lm1b(data_folder, sentences=SENTENCES[:150])
    assert len(read_tokens(DATASETS[LM1B], "train", 9)) == 150


def test_a_change_that_keeps_the_size_is_seen(data_folder):
    write_lm1b(data_folder)
    before = read_tokens(DATASETS[LM1B], "train", 9).tolist()
    write_lm1b(data_folder, sentences=[sentence.swapcase() for sentence in SENTENCES])
    assert read_tokens(DATASETS[LM1B], "train", 9).tolist() != before


def test_another_model_is_not_taken_for_the_old_one(data_folder, model, few_pieces):
    write_lm1b(data_folder)
    path = data_folder / "lm1b" / "sentencepiece.model"
    rows = []
    for content in (model, train_sentencepiece(NUM_PIECES, model_type="bpe"), model):
        path.write_bytes(content)
        rows.append(read_tokens(DATASETS[PIECES], "test", 9).tolist())
    assert rows[0] != rows[1]
    assert rows[0] == rows[2]
    assert len(caches(data_folder)) == 2


def test_two_processes_that_tokenise_at_once_both_succeed(data_folder):
    write_lm1b(data_folder, sentences=SENTENCES * 50)
    code = (
        "import sys, torch; from optsuite.data import TextSpec, load\n"
        f"spec = TextSpec(dataset={LM1B!r}, length=32)\n"
        "print('ready', flush=True); sys.stdin.read()\n"
        "examples = load(spec, 'train', source='real', device='cpu')\n"
        "print(examples.gather(torch.arange(len(examples)))['obs'].sum().item())"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    runs = [subprocess.Popen([sys.executable, "-c", code], **pipes) for _ in range(2)]
    assert [run.stdout.readline() for run in runs] == ["ready\n"] * 2
    for run in runs:
        run.stdin.close()
    sums = [int(run.stdout.read()) for run in runs]
    for run in runs:
        run.stdout.close()
        assert run.wait() == 0
    expected = load_real("train", length=32)
    assert sums == [expected.gather(torch.arange(len(expected)))["obs"].sum().item()] * 2
    assert len(caches(data_folder)) == 1
    assert not list(data_folder.rglob("*.tmp"))


def test_only_one_of_many_runs_reads_the_corpus(data_folder, monkeypatch):
    write_lm1b(data_folder, sentences=SENTENCES * 20)
    reads = []

    def counted(*args):
        reads.append(args)
        return read_documents(*args)

    monkeypatch.setattr("optsuite.data._tokens.read_documents", counted)
    with ThreadPoolExecutor(4) as pool:
        for tokens in pool.map(lambda _: read_tokens(DATASETS[LM1B], "train", 9), range(8)):
            assert tokens.shape == (len(SENTENCES) * 20, 9)
    assert len(reads) == 1


def test_a_killed_run_is_no_obstacle(data_folder):
    write_lm1b(data_folder)
    first = read_tokens(DATASETS[LM1B], "test", 9).tolist()
    (path,) = caches(data_folder)
    path.rename(f"{path}.tmp")
    path.with_name(f"{path.name}.tmp").write_bytes(b"half")
    assert read_tokens(DATASETS[LM1B], "test", 9).tolist() == first
    assert not list(data_folder.rglob("*.tmp"))


def test_more_documents_than_are_shuffled_at_a_time(data_folder, monkeypatch):
    write_lm1b(data_folder)
    whole = read_tokens(DATASETS[LM1B], "train", 9).tolist()
    for path in caches(data_folder):
        path.unlink()
    monkeypatch.setattr("optsuite.data._tokens._ROWS", 7)
    monkeypatch.setattr("optsuite.data._tokens._DOCUMENTS", 11)
    assert read_tokens(DATASETS[LM1B], "train", 9).tolist() == whole


def test_damaged_tokens_are_named_with_the_fix(data_folder):
    write_lm1b(data_folder)
    read_tokens(DATASETS[LM1B], "test", 9)
    (path,) = caches(data_folder)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(DataError, match="delete it and run again") as caught:
        read_tokens(DATASETS[LM1B], "test", 9)
    assert str(path) in str(caught.value)


def test_a_folder_that_cannot_be_written_is_named_with_the_fix(data_folder):
    write_lm1b(data_folder)
    (data_folder / "lm1b" / "optsuite_bytes_9").write_text("in the way")
    with pytest.raises(DataError, match=r"cannot write the converted copy of LM1B .* OPTSUITE_DATA_DIR"):
        read_tokens(DATASETS[LM1B], "test", 9)


def test_tokens_cannot_be_written_to(data_folder):
    write_lm1b(data_folder)
    with pytest.raises(ValueError, match="read-only"):
        read_tokens(DATASETS[LM1B], "test", 9)[0] = 1
