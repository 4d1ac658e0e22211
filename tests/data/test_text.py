"""Text as tensors: which documents and tokens are in a split."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from optsuite.data import (
    DATASETS,
    SPLITS,
    ImageSpec,
    TextSpec,
    dataloader,
    fetch,
    load,
    resolve_source,
)
from optsuite.data._corpus import read_documents
from optsuite.data._datasets import cut
from optsuite.data._text import Text
from optsuite.data._tokens import crop_or_pad, encode_bytes, read_tokens
from optsuite.errors import DataError

from .corpora import (
    HELD_OUT,
    LM1B,
    PIECES,
    SENTENCES,
    WIKIPEDIA,
    load_real,
    rows_of,
    texts,
    write_lm1b,
    write_wikipedia,
)


@given(st.lists(st.integers(0, 32_099)), st.integers(1, 40))
def test_crop_or_pad_keeps_the_start_and_fills_with_zeros(tokens, length):
    row = crop_or_pad(tokens, length).tolist()
    assert len(row) == length
    kept = min(length, len(tokens))
    assert row[:kept] == tokens[:kept]
    assert not any(row[kept:])


@given(st.text(), st.integers(1, 40))
def test_a_byte_is_a_token_three_above_it(text, length):
    (tokens,) = encode_bytes([text], length)
    assert [token - 3 for token in tokens.tolist()] == list(text.encode()[:length])


def test_vocabularies_have_their_sizes():
    assert TextSpec(dataset=LM1B, length=8).vocab_size == 259
    assert TextSpec(dataset=PIECES, length=8).vocab_size == 32_100


def test_fields_are_what_a_batch_holds():
    spec = TextSpec(dataset=LM1B, length=8)
    batch = next(dataloader(spec, 4, "test", source="synthetic", device="cpu"))
    assert spec.fields == {name: (tuple(field.shape[1:]), field.dtype) for name, field in batch.items()}
    assert batch["obs"].is_contiguous()
    assert batch["target"].is_contiguous()


def test_splits_of_text_are_cut_as_the_reference_does():
    lm1b, wikipedia = DATASETS[LM1B], DATASETS[WIKIPEDIA]
    assert [cut(lm1b, split, 1000, 7) for split in SPLITS] == [
        ("train", 20, 1000),
        ("train", 0, 10),
        ("train", 10, 20),
        ("test", 0, 7),
    ]
    assert [cut(wikipedia, split, 1000, 0) for split in SPLITS] == [
        ("train", 30, 1000),
        ("train", 0, 10),
        ("train", 10, 20),
        ("train", 20, 30),
    ]


def test_bytes_decode_to_the_sentences(data_folder):
    write_lm1b(data_folder)
    assert resolve_source(LM1B) == "real"
    assert texts("test") == HELD_OUT
    cut_from_train = texts("train") + texts("inner_valid") + texts("outer_valid")
    assert sorted(cut_from_train) == sorted(SENTENCES)
    assert cut_from_train != SENTENCES


def test_targets_are_the_observed_moved_by_one(data_folder):
    write_lm1b(data_folder)
    batch = load_real("test", length=4).gather(torch.tensor([[0, 1], [6, 2]]))
    assert batch["obs"].shape == batch["target"].shape == (2, 2, 4)
    assert bytes((batch["obs"][1, 0] - 3).tolist()) == b"Held"
    assert bytes((batch["target"][1, 0] - 3).tolist()) == b"eld "


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_gather_on_a_gpu_matches_the_cpu(data_folder):
    write_lm1b(data_folder)
    spec, indices = TextSpec(dataset=LM1B, length=8), torch.arange(6).reshape(2, 3)
    expected = load(spec, "test", source="real", device="cpu").gather(indices)
    moved = load(spec, "test", source="real", device="cuda")
    assert moved.tokens.is_cuda
    stays = Text(moved.tokens.cpu(), moved.device)  # too large for the device
    for examples in (moved, stays):
        batch = examples.gather(indices)
        assert batch["obs"].is_cuda
        assert torch.equal(batch["target"].cpu(), expected["target"])


@pytest.mark.parametrize("kind", ["parquet", "wiki", "wiki.bz2", "txt", "txt.gz"])
def test_wikipedia_is_read_from_what_users_have(kind, data_folder):
    write_wikipedia(data_folder, kind)
    assert resolve_source(WIKIPEDIA) == "real"
    splits = [texts(split, WIKIPEDIA) for split in SPLITS]
    assert [len(split) for split in splits] == [194, 2, 2, 2]
    assert sorted(itertools.chain(*splits)) == sorted(SENTENCES)


def test_empty_documents_are_left_out(data_folder):
    write_lm1b(data_folder, held_out=["", "a", "   ", " b "])
    assert texts("test") == ["a", "b"]


def test_pieces_are_those_of_the_model(data_folder, model, few_pieces):
    import sentencepiece

    long = " ".join(["Sentence number"] * 400)  # cropped before it is tokenised
    blank = "a" + " " * 2000 + "b"  # few tokens in many characters
    write_lm1b(data_folder, held_out=[*HELD_OUT, long, blank])
    (data_folder / "lm1b" / "sentencepiece.model").write_bytes(model)
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    rows = rows_of(load_real("test", PIECES, length=20)).tolist()
    expected = processor.encode([*HELD_OUT, long, blank])
    assert rows == [crop_or_pad(tokens, 21).tolist() for tokens in expected]


def test_model_is_read_from_a_url(data_folder, model, few_pieces, monkeypatch):
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe_file("/vocabulary.model", model)
    write_lm1b(data_folder)
    assert resolve_source(PIECES, "auto") == "synthetic"
    monkeypatch.setenv("OPTSUITE_SENTENCEPIECE", "memory://vocabulary.model")
    assert resolve_source(PIECES, "auto") == "real"
    assert len(load_real("test", PIECES)) == len(HELD_OUT)
    memory.rm("/vocabulary.model")
    assert read_tokens(DATASETS[PIECES], "test", 121).shape == (len(HELD_OUT), 121)  # kept: fetched no more


def test_articles_are_found_between_marks(data_folder):
    """Titles, text outside and byte order marks are left out; a bad byte is named by its place."""
    root = write_wikipedia(data_folder, "wiki")
    marked = (
        b'\xef\xbb\xbfoutside\n<doc id="1" url="u" title="Title">\nTitle\n\nBody\nTitle\n</doc>\nbetween\n'
        b'<doc id="2" url="u" title="Other">\nNot the title\n</doc>\n'
    )
    (root / "AA" / "wiki_00").write_bytes(marked)
    info = DATASETS[WIKIPEDIA]
    assert list(read_documents(info, info.part_files(root, "train"), "fail")) == [
        "Body\nTitle",
        "Not the title",
    ]
    (root / "AA" / "wiki_00").write_bytes(marked + b'<doc id="3" title="T">\nT\n\ncaf\xe9\n</doc>\n')
    place = len(marked) + len(b'<doc id="3" title="T">\nT\n\ncaf')
    with pytest.raises(DataError, match=f"not UTF-8 at byte {place} "):
        load_real("train", WIKIPEDIA)


def test_the_sign_of_byte_order_is_no_text(data_folder):
    root = write_wikipedia(data_folder, "txt", ["only"])
    (root / "AA" / "0000.txt").write_bytes(b"\xef\xbb\xbfonly")
    info = DATASETS[WIKIPEDIA]
    assert list(read_documents(info, info.part_files(root, "train"), "fail")) == ["only"]


def test_a_corpus_in_two_forms_is_read_once(data_folder):
    for kind in ("txt.gz", "txt", "wiki.bz2", "wiki", "parquet"):
        root = write_wikipedia(data_folder, kind)
        (root / "other.ff").mkdir(exist_ok=True)
        (root / "other.ff" / "a.parquet").write_bytes(b"another language")
        (root / "folder.parquet").mkdir(exist_ok=True)
        files = DATASETS[WIKIPEDIA].part_files(root, "train")
        assert len(files) == (1 if kind == "parquet" or "wiki" in kind else len(SENTENCES))
        assert all(path.name.endswith(kind.removeprefix("wiki") or "wiki_00") for path in files)


def test_fetch_says_how_to_get_a_corpus(data_folder):
    with pytest.raises(DataError, match=r"cannot be fetched .*unpack 1-billion-word.*statmt\.org"):
        fetch(LM1B)
    write_lm1b(data_folder)
    assert fetch(LM1B) == data_folder / "lm1b"


def test_a_spec_is_for_its_kind_of_data():
    with pytest.raises(DataError, match="TextSpec needs a dataset of text, got mnist"):
        TextSpec(dataset="mnist", length=8)
    with pytest.raises(DataError, match="ImageSpec needs a dataset of images, got lm1b_bytes"):
        ImageSpec(dataset=LM1B, size=8)
    with pytest.raises(DataError, match="at least 1 token, got 0"):
        TextSpec(dataset=LM1B, length=0)
