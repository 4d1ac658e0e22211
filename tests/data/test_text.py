"""Corpora on disk: what is read, what is kept, and what every error says."""

from __future__ import annotations

import itertools
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from optsuite.data import (
    DATASETS,
    SPLITS,
    ImageSpec,
    TextSpec,
    data_dir,
    dataloader,
    fetch,
    load,
    resolve_source,
)
from optsuite.data._corpus import read_documents
from optsuite.data._datasets import cut
from optsuite.data._text import Text
from optsuite.data._tokens import crop_or_pad, encode_bytes, read_tokens
from optsuite.errors import DataError, UnknownNameError

from .corpora import HELD_OUT, SENTENCES, train_sentencepiece, write_lm1b, write_wikipedia

NUM_PIECES = 50
LM1B, PIECES, WIKIPEDIA = "lm1b_bytes", "lm1b_32k", "wikipedia_en_bytes"


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    monkeypatch.delenv("OPTSUITE_SENTENCEPIECE", raising=False)
    monkeypatch.delenv("OPTSUITE_TEXT_ERRORS", raising=False)


@pytest.fixture(scope="session")
def model():
    return train_sentencepiece(NUM_PIECES)


@pytest.fixture
def few_pieces(monkeypatch):
    monkeypatch.setitem(DATASETS, PIECES, replace(DATASETS[PIECES], num_pieces=NUM_PIECES))


def load_real(split, name=LM1B, length=120):
    return load(TextSpec(dataset=name, length=length), split, source="real", device="cpu")


def rows_of(examples):
    """Each example's tokens, the first observed and all that are to be predicted."""
    batch = examples.gather(torch.arange(len(examples)))
    return torch.cat([batch["obs"][:, :1], batch["target"]], 1)


def text_of(row):
    return bytes(token - 3 for token in row.tolist() if token).decode()


def texts(split, name=LM1B):
    return [text_of(row) for row in rows_of(load_real(split, name))]


def caches(folder):
    return sorted(folder.rglob("*.npy"))


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


def test_an_empty_split_asks_for_more_documents(data_folder):
    write_lm1b(data_folder, sentences=SENTENCES[:20], held_out=[""])
    for split, words in {
        "inner_valid": "20 documents, and needs about 100",
        "test": "0 .* needs one",
    }.items():
        with pytest.raises(DataError, match=rf"`{split}` of LM1B \(bytes\) is empty: it is cut from {words}"):
            load_real(split)


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


def test_text_that_is_not_utf8_is_found(data_folder):
    path = write_lm1b(data_folder)
    start = path.stat().st_size
    path.write_bytes(path.read_bytes() + b"caf\xe9 .\nend .\n")
    with pytest.raises(DataError) as caught:
        load_real("train")
    message = str(caught.value)
    assert message.startswith(f"{path} is not UTF-8 at byte {start + 3} ")
    assert "OPTSUITE_TEXT_ERRORS=skip" in message
    assert not caches(data_folder)
    assert not list(data_folder.rglob("*.tmp"))


def test_text_that_is_not_utf8_is_skipped_on_demand(data_folder, monkeypatch):
    path = write_lm1b(data_folder)
    path.write_bytes(path.read_bytes() + b"caf\xe9 .\nend .\n")
    monkeypatch.setenv("OPTSUITE_TEXT_ERRORS", "skip")
    with pytest.warns(UserWarning, match=r"left out 1 documents of LM1B \(bytes\)"):
        found = texts("train") + texts("inner_valid") + texts("outer_valid")
    assert sorted(found) == sorted([*SENTENCES, "end ."])
    monkeypatch.setenv("OPTSUITE_TEXT_ERRORS", "fail")
    with pytest.raises(DataError, match="is not UTF-8"):  # what was kept leaves documents out
        load_real("train")


def test_another_word_for_text_errors_is_explained(data_folder, monkeypatch):
    write_lm1b(data_folder)
    monkeypatch.setenv("OPTSUITE_TEXT_ERRORS", "ignore")
    with pytest.raises(UnknownNameError, match="unknown value of OPTSUITE_TEXT_ERRORS `ignore`"):
        load_real("train")


def test_articles_are_found_between_marks(data_folder):
    """Titles, what is outside and the sign of byte order are no text; a bad byte's place is the file's."""
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


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"id": "1", "text": "a"}\n', "lines of JSON; run WikiExtractor without --json"),
        (b'<doc id="1" title="T">\nT\n\nBody\n', "no end of the article at byte 23"),
    ],
)
def test_what_holds_no_articles_is_refused(content, words, data_folder):
    path = write_wikipedia(data_folder, "wiki") / "AA" / "wiki_00"
    path.write_bytes(content)
    with pytest.raises(DataError, match=words) as caught:
        load_real("train", WIKIPEDIA)
    assert str(path) in str(caught.value)


def test_a_dump_in_one_piece_is_refused(data_folder, monkeypatch):
    write_wikipedia(data_folder, "txt", ["word\n" * 300])
    monkeypatch.setattr("optsuite.data._corpus._MAX_ARTICLE_BYTES", 1000)
    with pytest.raises(DataError, match=r"0000\.txt .* more text than an article has"):
        load_real("train", WIKIPEDIA)


def test_a_corpus_in_two_forms_is_read_once(data_folder):
    for kind in ("txt.gz", "txt", "wiki.bz2", "wiki", "parquet"):
        root = write_wikipedia(data_folder, kind)
        (root / "other.ff").mkdir(exist_ok=True)
        (root / "other.ff" / "a.parquet").write_bytes(b"another language")
        (root / "folder.parquet").mkdir(exist_ok=True)
        files = DATASETS[WIKIPEDIA].part_files(root, "train")
        assert len(files) == (1 if kind == "parquet" or "wiki" in kind else len(SENTENCES))
        assert all(path.name.endswith(kind.removeprefix("wiki") or "wiki_00") for path in files)


def test_a_part_of_the_corpus_is_not_taken_for_it(data_folder):
    first = write_lm1b(data_folder)
    first.unlink()
    assert resolve_source(LM1B, "auto") == "synthetic"
    with pytest.raises(DataError, match=r"looked for 99 files 1-billion-.*news\.en-.*, found 98\)"):
        resolve_source(LM1B, "real")


def test_parquet_that_is_not_utf8_is_found(data_folder):
    import pandas as pd

    root = write_wikipedia(data_folder, "parquet")
    path = root / "bad.parquet"
    pd.DataFrame({"text": [b"fine", b"caf\xe9"]}).to_parquet(path)
    with pytest.raises(DataError, match=r"bad\.parquet is not UTF-8 at row 1 "):
        load_real("train", WIKIPEDIA)


@pytest.mark.parametrize("damage", [b"", b"PAR1 and no more"])
def test_damaged_parquet_is_named_with_the_fix(damage, data_folder):
    path = write_wikipedia(data_folder, "parquet") / "train-00000-of-00001.parquet"
    path.write_bytes(damage)
    with pytest.raises(DataError) as caught:
        load_real("train", WIKIPEDIA)
    assert f"cannot read {path} as a file of English Wikipedia" in str(caught.value)


def test_parquet_without_text_is_named(data_folder):
    import pandas as pd

    path = write_wikipedia(data_folder, "parquet") / "other.parquet"
    pd.DataFrame({"body": ["a"]}).to_parquet(path)
    with pytest.raises(DataError, match=r"other\.parquet .*text"):
        load_real("train", WIKIPEDIA)


def test_truncated_gzip_is_named(data_folder):
    path = write_wikipedia(data_folder, "txt.gz") / "AA" / "0000.txt.gz"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"cannot read .*0000\.txt\.gz"):
        load_real("train", WIKIPEDIA)


@pytest.mark.parametrize(
    ("package", "name", "extra"), [("sentencepiece", PIECES, "text"), ("pyarrow", WIKIPEDIA, "parquet")]
)
def test_missing_package_prints_the_install_line(package, name, extra, data_folder, model, monkeypatch):
    write_lm1b(data_folder)
    (data_folder / "lm1b" / "sentencepiece.model").write_bytes(model)
    write_wikipedia(data_folder, "parquet")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(DataError, match=rf"pip install 'optsuite\[{extra}\]'"):
        load_real("train", name)


@pytest.mark.parametrize("name", [LM1B, PIECES, WIKIPEDIA])
def test_missing_corpus_says_where_and_how(name, data_folder):
    info = DATASETS[name]
    assert resolve_source(name, "auto") == "synthetic"
    for ask in (lambda: resolve_source(name, "real"), lambda: load_real("train", name)):
        with pytest.raises(DataError) as caught:
            ask()
        message = str(caught.value)
        assert message.startswith(f"{info.title} not found in {data_dir() / info.corpus} (looked for ")
        assert all(pattern in message for pattern in info.train_files)
        assert f"`optsuite data path {name}`" in message
        assert message.endswith('or pass mode="synthetic"')


def test_missing_model_says_where_and_how(data_folder):
    write_lm1b(data_folder)
    with pytest.raises(DataError) as caught:
        resolve_source(PIECES, "real")
    message = str(caught.value)
    assert "(looked for sentencepiece.model)" in message
    assert "gs://t5-data/vocabs/cc_all.32000/sentencepiece.model" in message
    assert "set OPTSUITE_SENTENCEPIECE to" in message


def test_model_that_is_nowhere_is_named(data_folder, monkeypatch):
    write_lm1b(data_folder)
    monkeypatch.setenv("OPTSUITE_SENTENCEPIECE", "memory://nowhere.model")
    with pytest.raises(DataError, match=r"memory://nowhere\.model .*no such file.*gs://t5-data"):
        load_real("test", PIECES)


def test_file_that_is_no_model_is_named(data_folder):
    write_lm1b(data_folder)
    path = data_folder / "lm1b" / "sentencepiece.model"
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(DataError, match="cannot read the SentencePiece model of LM1B") as caught:
        load_real("test", PIECES)
    assert str(path) in str(caught.value)


def test_model_of_another_size_is_refused(data_folder, model):
    write_lm1b(data_folder)
    (data_folder / "lm1b" / "sentencepiece.model").write_bytes(model)
    with pytest.raises(DataError, match=f"needs 32000 pieces .* got {NUM_PIECES} with"):
        load_real("test", PIECES)


def test_model_without_padding_is_refused(data_folder, few_pieces):
    write_lm1b(data_folder)
    without = train_sentencepiece(NUM_PIECES, pad_id=-1, unk_id=0)
    (data_folder / "lm1b" / "sentencepiece.model").write_bytes(without)
    with pytest.raises(DataError, match=rf"\(0, 1, 2\), got {NUM_PIECES} with \(-1, 1, 0\)"):
        load_real("test", PIECES)


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
