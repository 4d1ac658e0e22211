"""Stand-ins for text datasets: text generated in place of a corpus that is not on this machine.

A document has a topic and is a walk over 40,000 words whose frequencies follow Zipf's law. Each word comes
from one of three urns: the few words that tend to follow the one before (a model of pairs learns these),
the words of the topic (what a longer context tells), or all words. Words are then spelt

- as bytes: vowels and consonants alternate more often than not, frequent words are short, and there are
  spaces between words, and `,` and `.` are the most frequent words;
- as pieces: a frequent word is one piece, a rare one two pieces that it shares with other rare words.

So cross entropy falls from uniform over the frequencies of tokens to their pairs and on to topics, as in
real text. Documents of LM1B are sentences of 5 to 45 words, those of Wikipedia have 100 words and more.

All is drawn from urns by whole numbers, so the tokens are the same on every machine. The documents of a
shorter length are the starts of those of a longer one.
"""

import itertools
from collections.abc import Iterator

import numpy as np

from optsuite._types import Array
from optsuite.data._kinds import FIRST_BYTE, TextDataset
from optsuite.data._random import uniform_uint8, words

RECIPE = 1
"""Number of the recipe; another one makes other trials, so count it up when generated tokens change."""

_MAX_DOCUMENTS = {"train": 100_000, "test": 10_000}
_WORDS = 40_000
_END, _STOP, _COMMA, _PERIOD = range(4)  # the first words; from the comma on by falling frequency
_BEND = 6000  # frequencies fall as 1 / rank before this rank, as 1 / rank^2 after it
_TOPICS, _TOPIC_WORDS = 64, 256
_WHICH_FOLLOWER = np.repeat(np.arange(4), [8, 4, 2, 2])
_LETTERS = np.frombuffer(b"etaoinshrdlcumwfgypbvkxjqz", np.uint8)
_LETTER_URN = np.repeat(np.arange(26), [13, 9, 8, 8, 7, 7, 6, 6, 6, 4, 4, 3, 3, 3, *[2] * 6, *[1] * 6])
_MAX_LETTERS = 11


def generate_tokens(info: TextDataset, part: str, length: int) -> Array:
    """Generate the stand-in's `train` or `test` documents: int16 (M, length), padded with 0."""
    published = info.num_train if part == "train" else info.num_test
    count = min(published, _MAX_DOCUMENTS[part])
    spelt, lengths = _spelt_in_pieces(info.num_pieces) if info.num_pieces else _spelt_in_bytes()
    tokens = np.zeros((count, length + spelt.shape[1]), np.int16)
    row, letter = np.arange(count)[:, None], np.arange(spelt.shape[1])
    start = np.zeros(count, np.int64)
    for word in _walk(info, part, count):
        tokens[row, start[:, None] + letter] = spelt[word]
        start = np.minimum(start + lengths[word], length)
        if not word.any() or start.min() == length:
            break
    return np.ascontiguousarray(tokens[:, :length])


def _walk(info: TextDataset, part: str, count: int) -> Iterator[Array]:
    """Yield the next word of each document without end: int64 (count,)."""
    key = ("stand-in", info.folder)
    urn = _zipf_urn(_WORDS - _COMMA, 500_000) + _COMMA
    followers = _draw(urn, words(_WORDS * 4, *key, "followers")).reshape(-1, 4)
    rarer = urn[len(urn) // 8 :]
    topic_words = _draw(rarer, words(_TOPICS * _TOPIC_WORDS, *key, "topics")).reshape(_TOPICS, -1)
    topic = _draw(_zipf_urn(_TOPICS, 1000), words(count, *key, part, "topic"))
    random = uniform_uint8((2, count), *key, part, "length").astype(np.int64)
    num_words = (5 + random % 21).sum(0) - 5 if info.has_line_documents else 100 + 4 * random[0]
    word = np.full(count, _STOP)
    for step in itertools.count():
        raw = words(count, *key, part, "step", step)
        source = raw >> np.uint64(62)
        follower = followers[word, _WHICH_FOLLOWER[raw >> np.uint64(58) & np.uint64(15)]]
        of_topic = topic_words[topic, raw >> np.uint64(48) & np.uint64(_TOPIC_WORDS - 1)]
        word = np.where(source < 2, follower, np.where(source == 2, of_topic, _draw(urn, raw)))
        word[step == num_words] = _STOP
        word[step > num_words] = _END
        yield word


def _zipf_urn(count: int, most: int) -> Array:
    """Return the numbers from 0 to `count - 1`, each as often as Zipf's law with a steeper end has it."""
    rank = np.arange(count)
    return rank.repeat(most * _BEND // ((rank + 3) * (rank + _BEND)))


def _draw(urn: Array, raw: Array) -> Array:
    """Draw from an urn for each random word, by the word's lower half."""
    place = (raw & np.uint64(0xFFFFFFFF)) * np.uint64(len(urn)) >> np.uint64(32)
    drawn: Array = urn[place]
    return drawn


def _spelt_in_pieces(num_pieces: int) -> tuple[Array, Array]:
    """Return the tokens of every word, padded with 0, and their numbers: (words, 2) and (words,)."""
    word = np.arange(_WORDS)
    first_stem, first_suffix = num_pieces * 3 // 4, num_pieces * 31 // 32
    is_rare = word + 1 >= first_stem  # the comma is piece 3, the first that is text
    stem = first_stem + word * 7919 % (first_suffix - first_stem)
    suffix = first_suffix + word % (num_pieces - first_suffix)
    first, second = np.where(is_rare, stem, word + 1), np.where(is_rare, suffix, 0)
    first[_END], first[_STOP] = 0, first[_PERIOD]
    tokens = np.stack([first, second], 1)
    return tokens, (tokens > 0).sum(1)


def _spelt_in_bytes() -> tuple[Array, Array]:
    """Return the bytes of every word and a space, padded with 0, and their numbers.

    Returns:
        (words, letters + 1) and (words,).
    """
    is_vowel = np.isin(np.arange(26), [_LETTERS.tobytes().index(vowel) for vowel in b"aeiou"])
    raw = words(26 * 64, "stand-in", "letters").reshape(26, 64)
    urns = [_LETTER_URN[is_vowel[_LETTER_URN] != vowel] for vowel in (False, True)]  # of the other kind
    alternating = np.stack([_draw(urns[int(is_vowel[letter])], raw[letter]) for letter in range(26)])
    next_letter = np.where(np.arange(64) < 44, alternating, _draw(_LETTER_URN, raw))
    random = uniform_uint8((_MAX_LETTERS + 1, _WORDS), "stand-in", "spelling").astype(np.int64)
    letters = [_LETTER_URN[random[0] % len(_LETTER_URN)]]
    for column in random[1:_MAX_LETTERS]:
        letters.append(next_letter[letters[-1], column % 64])
    num_bits = np.searchsorted(2 ** np.arange(16), np.arange(_WORDS), side="right")
    lengths = 1 + num_bits // 2 + random[-1] % 3
    lengths[[_COMMA, _PERIOD]] = 1
    spelt = np.stack([*(_LETTERS[letter] for letter in letters), np.zeros(_WORDS, np.uint8)], 1)
    spelt[[_STOP, _COMMA, _PERIOD], 0] = list(b".,.")
    spelt[np.arange(_WORDS), lengths] = ord(" ")
    tokens = spelt.astype(np.int16) + FIRST_BYTE
    lengths += 1
    lengths[[_END, _STOP]] = 0, 1
    tokens[np.arange(_MAX_LETTERS + 1) >= lengths[:, None]] = 0
    return tokens, lengths
