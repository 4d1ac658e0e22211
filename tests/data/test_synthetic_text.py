"""Stand-ins for text datasets."""

from __future__ import annotations

import functools
import hashlib

import numpy as np
import pytest

from optsuite.data import DATASETS, SPLITS, TextSpec, load
from optsuite.data._synthetic_text import generate_tokens

NAMES = ("lm1b_bytes", "lm1b_32k", "wikipedia_en_bytes", "wikipedia_en_32k")
# Bits per token by tokens alone and by pairs, at most; real text is about there.
UNIGRAM = {"bytes": (4.0, 4.4), "32k": (9.0, 10.5)}
BIGRAM = {"bytes": 3.75, "32k": 7.8}


@functools.cache  # which most tests look at
def tokens(name, part="train", length=33):
    rows = generate_tokens(DATASETS[name], part, length)
    rows.flags.writeable = False
    return rows


def cross_entropies(rows, vocab_size):
    """Return the bits per token of held-out documents, by frequencies of tokens and by those of pairs."""
    held_out, seen = rows[:2000], rows[2000:]
    before, token = pairs(seen)
    unigram = (np.bincount(token, minlength=vocab_size) + 0.01) / (len(token) + 0.01 * vocab_size)
    kinds, counts = np.unique(before * vocab_size + token, return_counts=True)
    totals = np.bincount(before, minlength=vocab_size)
    before, token = pairs(held_out)
    place = np.searchsorted(kinds, before * vocab_size + token).clip(max=len(kinds) - 1)
    count = np.where(kinds[place] == before * vocab_size + token, counts[place], 0)
    bigram = 0.8 * count / totals[before].clip(1) + 0.2 * unigram[token]
    return -np.log2(unigram[token]).mean(), -np.log2(bigram).mean()


def pairs(rows):
    """Return the token before each token but padding, and that token: int64 (M,) each."""
    before, token = rows[:, :-1].astype(np.int64), rows[:, 1:].astype(np.int64)
    return before[token > 0], token[token > 0]


@pytest.mark.parametrize("name", NAMES)
def test_pairs_tell_more_than_tokens_and_tokens_more_than_nothing(name):
    vocab_size, vocab = DATASETS[name].num_outputs, DATASETS[name].vocab
    unigram, bigram = cross_entropies(tokens(name), vocab_size)
    low, high = UNIGRAM[vocab]
    assert low < unigram < high < np.log2(vocab_size) - 3
    assert bigram < BIGRAM[vocab] < unigram - 0.25


@pytest.mark.parametrize("name", NAMES)
def test_tokens_are_of_the_vocabulary_and_none_follows_padding(name):
    rows = tokens(name)
    assert rows.dtype == np.int16
    assert rows[rows > 0].min() > 2
    assert rows.max() < DATASETS[name].num_outputs
    assert rows[:, 0].all()
    assert not ((rows[:, :-1] == 0) & (rows[:, 1:] > 0)).any()


def test_pieces_are_spread_over_the_vocabulary():
    used = np.bincount(tokens("lm1b_32k").ravel(), minlength=32_100) > 0
    assert used[32_000:].sum() == 0
    assert all(part.mean() > 0.5 for part in np.split(used[:32_000], 8))


def test_sentences_end_early_and_articles_do_not():
    padded = {name: (tokens(name)[:, -1] == 0).mean() for name in NAMES}
    assert 0.4 < padded["lm1b_32k"] < 0.9
    assert 0 < padded["lm1b_bytes"] < 0.01
    assert padded["wikipedia_en_32k"] == padded["wikipedia_en_bytes"] == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_shorter_length_is_the_start_of_the_same_documents(name):
    np.testing.assert_array_equal(tokens(name, length=9), tokens(name)[:, :9])


def test_bytes_are_words_between_spaces():
    text = bytes((row := tokens("wikipedia_en_bytes", length=200)[0])[row > 0].astype(np.uint8) - 3).decode()
    lengths = [len(word) for word in text.split(" ")]
    assert 3 < np.mean(lengths) < 8
    assert set(text) <= set("abcdefghijklmnopqrstuvwxyz ,.")


@pytest.mark.parametrize("name", NAMES)
def test_every_split_has_documents_of_its_own(name):
    sizes = [
        len(load(TextSpec(dataset=name, length=8), split, source="synthetic", device="cpu"))
        for split in SPLITS
    ]
    assert sizes == ([98_000, 1000, 1000, 10_000] if name.startswith("lm1b") else [97_000, 1000, 1000, 1000])


def test_stand_in_is_the_same_on_every_machine():
    """These bytes are a promise: other ones would change every curve recorded on stand-ins."""
    digests = {
        name: hashlib.blake2b(tokens(name).astype("<i2").data, digest_size=8).hexdigest() for name in NAMES
    }
    assert digests == {
        "lm1b_bytes": "e453b6ac636b48af",
        "lm1b_32k": "fc044010ea5d4c19",
        "wikipedia_en_bytes": "9900f8b30b0d979e",
        "wikipedia_en_32k": "094fca749b2b35e0",
    }
