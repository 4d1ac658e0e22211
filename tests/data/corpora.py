"""Small corpora, in the layouts in which the true ones lie, and a small vocabulary trained on them."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

from optsuite.data import DATASETS

SENTENCES = [f"Sentence number {n} has {'one more word ' * (n % 5)}to tell , é and ." for n in range(200)]
HELD_OUT = [f"Held out {n} ." for n in range(7)]


def write_lm1b(folder: Path, sentences=SENTENCES, held_out=HELD_OUT):
    """Two training files and one of the held-out files; returns the first training file."""
    info = DATASETS["lm1b_bytes"]
    middle = len(sentences) // 2
    first = write_lines(folder, info.train_files[0], "00001-of-00100", sentences[:middle])
    write_lines(folder, info.train_files[0], "00002-of-00100", sentences[middle:])
    write_lines(folder, info.test_files[0], "00000-of-00050", held_out)
    return first


def write_lines(folder, pattern, number, lines):
    path = folder / "lm1b" / pattern.replace("*", number)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def write_wikipedia(folder: Path, kind, texts=SENTENCES):
    """Articles as Parquet, as files of one article each, compressed, or as WikiExtractor writes them."""
    root = folder / "wikipedia_en"
    (root / "AA").mkdir(parents=True)
    if kind == "parquet":
        import pandas as pd

        pd.DataFrame({"title": "T", "text": texts}).to_parquet(root / "train-00000-of-00001.parquet")
    elif kind == "marks":
        marked = "".join(f'<doc id="{n}" title="T">\n{text}\n\n</doc>\n' for n, text in enumerate(texts))
        (root / "AA" / "wiki_00").write_text(marked, encoding="utf-8")
    else:
        for number, text in enumerate(texts):
            raw = text.encode()
            path = root / "AA" / f"{number:04}.{kind}"
            path.write_bytes(gzip.compress(raw) if kind == "txt.gz" else raw)
    return root


def train_sentencepiece(num_pieces, **options):
    """The bytes of a model as T5's: padding, end and unknown are 0, 1 and 2."""
    import sentencepiece

    model = io.BytesIO()
    ids = {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1} | options
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES),
        model_writer=model,
        vocab_size=num_pieces,
        minloglevel=2,
        **ids,
    )
    return model.getvalue()
