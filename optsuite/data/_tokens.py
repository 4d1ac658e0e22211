"""Corpora as matrices of tokens, which are written once and memory-mapped from then on."""

import hashlib
import itertools
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from optsuite import storage
from optsuite._types import Array
from optsuite.data._cache import cache_name, mapped
from optsuite.data._corpus import read_documents, text_errors
from optsuite.data._kinds import FIRST_BYTE, MODEL_FILE, MODEL_VARIABLE, TextDataset
from optsuite.data._location import require_files
from optsuite.data._random import permutation
from optsuite.errors import DataError, StorageError, import_extra

Tokens: TypeAlias = Sequence[int] | Array
Encode: TypeAlias = Callable[[Sequence[str], int], Iterable[Tokens]]
"""Function of (documents, length) that returns at least the first `length` tokens of each document, or all
that it has."""

_DTYPE = np.dtype("<i2")  # holds 32,000 pieces; torch knows it better than uint16
_DOCUMENTS = 4096  # that are tokenised at a time
_ROWS = 1 << 16  # that are shuffled at a time
_CHARS_PER_TOKEN = 16  # T5's longest piece


def read_tokens(info: TextDataset, part: str, length: int) -> Array:
    """Return the first tokens of each document of `train` (in shuffled order) or `test`.

    They are written beside the corpus, in `optsuite_<vocab>_<length>`; another corpus, SentencePiece model or
    choice about documents that are not UTF-8 makes another file.

    Documents are shuffled, as the reference does when it stores them: articles are published in order of age,
    and the oldest are not like the others.

    Args:
        info: The dataset's row in `DATASETS`.
        part: `train` or `test`.
        length: Number of tokens taken from each document.

    Returns:
        A read-only mapped array, int16 (M, length), padded with 0.
    """
    folder = require_files(info)
    paths, errors = info.part_files(folder, part), text_errors()
    url = os.environ.get(MODEL_VARIABLE) or str(folder / MODEL_FILE)
    model = url if info.num_pieces else ""

    def make(path: Path) -> None:
        encode = _sentencepiece(info, model) if model else encode_bytes
        rows = _tokenise(read_documents(info, paths, errors), encode, length)
        _write(rows, length, path, ("splits", info.folder) if part == "train" else None)

    vocabulary = _model_identity(info, model) if model else info.vocab
    name = cache_name(info, part, paths, errors, vocabulary)
    return mapped(info, folder / f"optsuite_{info.vocab}_{length}" / name, make)


def _tokenise(documents: Iterator[str], encode: Encode, length: int) -> Iterator[Array]:
    """Yield the tokens of up to 4096 documents at a time: int16 (up to 4096, length)."""
    while texts := list(itertools.islice(documents, _DOCUMENTS)):
        yield np.stack([crop_or_pad(tokens, length) for tokens in encode(texts, length)])


def crop_or_pad(tokens: Tokens, length: int) -> Array:
    """Return the first `length` tokens, or all of them followed by zeros: int16 (length,)."""
    row = np.zeros(length, _DTYPE)
    row[: len(tokens)] = tokens[:length]
    return row


def _write(rows: Iterator[Array], length: int, target: Path, shuffle_key: tuple[str, ...] | None) -> None:
    """Write an npy file of all rows, in the order of the permutation that a key names, if there is one."""
    with tempfile.TemporaryFile(dir=target.parent) as file, target.open("wb") as out:
        for chunk in rows:
            file.write(chunk.data)
        file.flush()
        count = file.tell() // (length * _DTYPE.itemsize)
        header = {"descr": _DTYPE.str, "fortran_order": False, "shape": (count, length)}
        np.lib.format.write_array_header_1_0(out, header)
        if count == 0:
            return
        order = np.arange(count) if shuffle_key is None else permutation(count, *shuffle_key)
        unordered = np.memmap(file, _DTYPE, "r", shape=(count, length))
        for start in range(0, count, _ROWS):
            out.write(unordered[order[start : start + _ROWS]].data)


def encode_bytes(texts: Sequence[str], length: int) -> Iterator[Array]:
    """Yield each text as tokens, b + 3 for a byte b of its UTF-8 form: int16 (up to length,)."""
    for text in texts:
        raw = np.frombuffer(text[:length].encode()[:length], np.uint8)
        yield raw.astype(_DTYPE) + _DTYPE.type(FIRST_BYTE)


def _model_identity(info: TextDataset, url: str) -> str:
    """Return a hash of a model file; or the URL, which is taken to serve the same for ever.

    So tokens that were kept need no network.
    """
    return url if "://" in url else hashlib.sha256(_read_model(info, url)).hexdigest()


def _read_model(info: TextDataset, url: str) -> bytes:
    try:
        return storage.read_bytes(url)
    except StorageError as cause:
        raise _unreadable_model(info, url, cause) from cause


def _unreadable_model(info: TextDataset, url: str, cause: Exception) -> DataError:
    return DataError(
        f"cannot read the SentencePiece model of {info.title} at {url} ({cause}): {info.how_to_get_model}"
    )


def _sentencepiece(info: TextDataset, url: str) -> Encode:
    """Return the encoder of a SentencePiece model.

    Raises:
        DataError: The model is missing, or is of another kind or size, or its package is not installed.
    """
    needed_by = f"the vocabulary of {info.title} needs sentencepiece"
    sentencepiece = import_extra("sentencepiece", "text", needed_by, DataError)
    try:
        processor = sentencepiece.SentencePieceProcessor(model_proto=_read_model(info, url))
    except RuntimeError as cause:
        raise _unreadable_model(info, url, cause) from cause
    needed = info.num_pieces, 0, 1, 2
    found = processor.get_piece_size(), processor.pad_id(), processor.eos_id(), processor.unk_id()
    if found != needed:
        raise DataError(
            f"the SentencePiece model at {url} needs {needed[0]} pieces with padding, end and unknown as "
            f"{needed[1:]}, got {found[0]} with {found[1:]}: {info.how_to_get_model}"
        )

    def encode(texts: Sequence[str], length: int) -> list[list[int]]:
        heads = [_head(text, length * _CHARS_PER_TOKEN) for text in texts]
        encoded: list[list[int]] = processor.encode(heads, num_threads=os.cpu_count())
        for number, tokens in enumerate(encoded):
            if len(tokens) < length and len(heads[number]) < len(texts[number]):
                encoded[number] = processor.encode(texts[number])
        return encoded

    return encode


def _head(text: str, num_chars: int) -> str:
    """Return whole words from the start of a text. No piece spans two words: they give the text's tokens."""
    return text if len(text) <= num_chars else text[:num_chars].rpartition(" ")[0] or text
