"""Small corpora in the layouts of the true ones, a small vocabulary, and what is read of them."""

from __future__ import annotations

import bz2
import gzip
import io
from pathlib import Path

import torch

from optsuite.data import TextSpec, load

NUM_PIECES = 50
LM1B, PIECES, WIKIPEDIA = "lm1b_bytes", "lm1b_32k", "wikipedia_en_bytes"
SENTENCES = [f"Sentence number {n} has {'one more word ' * (n % 5)}to tell , é and ." for n in range(200)]
HELD_OUT = [f"Held out {n} ." for n in range(7)]


def write_lm1b(folder: Path, sentences=SENTENCES, held_out=HELD_OUT):
    """Write all files of the published archive, with a few lines each; return the first for training."""
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
    """Write articles as Parquet, as a (compressed) file for each, or in the format of WikiExtractor."""
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
    """Return the bytes of a model like T5's, where padding, end and unknown are 0, 1 and 2."""
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


def load_real(split, name=LM1B, length=120):
    return load(TextSpec(dataset=name, length=length), split, source="real", device="cpu")


def rows_of(examples):
    """Return the tokens of each example: the first that is observed, and all that are to be predicted."""
    batch = examples.gather(torch.arange(len(examples)))
    return torch.cat([batch["obs"][:, :1], batch["target"]], 1)


def text_of(row):
    return bytes(token - 3 for token in row.tolist() if token).decode()


def texts(split, name=LM1B):
    return [text_of(row) for row in rows_of(load_real(split, name))]


def caches(folder):
    return sorted(folder.rglob("*.npy"))
