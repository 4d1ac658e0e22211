"""Small corpora, in the layouts in which the true ones lie, and a small vocabulary trained on them."""

from __future__ import annotations

import bz2
import gzip
import io
from pathlib import Path

SENTENCES = [f"Sentence number {n} has {'one more word ' * (n % 5)}to tell , é and ." for n in range(200)]
HELD_OUT = [f"Held out {n} ." for n in range(7)]


def write_lm1b(folder: Path, sentences=SENTENCES, held_out=HELD_OUT):
    """All files of the published archive, most of them with a few lines; returns the first training file."""
    root = folder / "lm1b" / "1-billion-word-language-modeling-benchmark-r13output"
    training = root / "training-monolingual.tokenized.shuffled"
    names = [f"news.en-{number:05}-of-00100" for number in range(1, 100)]
    write_lines(training, names, sentences)
    names = [f"news.en.heldout-{number:05}-of-00050" for number in range(50)]
    write_lines(root / "heldout-monolingual.tokenized.shuffled", names, held_out)
    return training / "news.en-00001-of-00100"


def write_lines(folder, names, lines):
    folder.mkdir(parents=True, exist_ok=True)
    share = -(-len(lines) // len(names))
    for number, name in enumerate(names):
        own = lines[number * share : (number + 1) * share]
        (folder / name).write_text("".join(f"{line}\n" for line in own), encoding="utf-8")


def write_wikipedia(folder: Path, kind, texts=SENTENCES):
    """Articles as Parquet, as files of one article each, compressed, or as WikiExtractor writes them."""
    root = folder / "wikipedia_en"
    (root / "AA").mkdir(parents=True, exist_ok=True)
    if kind == "parquet":
        import pandas as pd

        pd.DataFrame({"title": "T", "text": texts}).to_parquet(root / "train-00000-of-00001.parquet")
    elif kind.startswith("wiki"):
        marks = "\n".join(
            f'<doc id="{n}" title="T">\nT\n\n{text}\n\n</doc>\n' for n, text in enumerate(texts)
        )
        path = root / "AA" / kind.replace("wiki", "wiki_00")
        path.write_bytes(bz2.compress(marks.encode()) if path.suffix == ".bz2" else marks.encode())
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
