"""Corpora that are missing, damaged or something else: what the errors say."""

from __future__ import annotations

import sys

import pytest

from optsuite.data import (
    DATASETS,
    data_dir,
    resolve_source,
)
from optsuite.errors import DataError, UnknownNameError

from .corpora import (
    LM1B,
    NUM_PIECES,
    PIECES,
    SENTENCES,
    WIKIPEDIA,
    caches,
    load_real,
    texts,
    train_sentencepiece,
    write_lm1b,
    write_wikipedia,
)


def test_an_empty_split_asks_for_more_documents(data_folder):
    write_lm1b(data_folder, sentences=SENTENCES[:20], held_out=[""])
    for split, words in {
        "inner_valid": "20 documents, and needs about 100",
        "test": "0 .* needs one",
    }.items():
        with pytest.raises(DataError, match=rf"`{split}` of LM1B \(bytes\) is empty: it is cut from {words}"):
            load_real(split)


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
    ("package", "name", "extra"),
    [("sentencepiece", PIECES, "text"), ("pyarrow.parquet", WIKIPEDIA, "parquet")],
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
