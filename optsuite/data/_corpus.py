"""Readers of documents, one at a time and never a whole corpus."""

from __future__ import annotations

import bz2
import gzip
import os
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

from optsuite.data._formats import reading
from optsuite.data._kinds import TextDataset
from optsuite.errors import DataError, UnknownNameError

__all__ = ["ERRORS_VARIABLE", "read_documents", "text_errors"]

ERRORS_VARIABLE = "OPTSUITE_TEXT_ERRORS"
"""Environment variable: what to do with documents that are not UTF-8."""

_OPENERS = {".gz": gzip.GzipFile, ".bz2": bz2.BZ2File}
_MARK = b"<doc "
_MAX_ARTICLE_BYTES = 1 << 26


def text_errors() -> str:
    """`fail` or `skip`, from the environment."""
    chosen = os.environ.get(ERRORS_VARIABLE) or "fail"
    if chosen not in ("fail", "skip"):
        raise UnknownNameError(f"value of {ERRORS_VARIABLE}", chosen, ("fail", "skip"))
    return chosen


def read_documents(info: TextDataset, paths: list[Path], errors: str) -> Iterator[str]:
    """The documents of some files, without space at their ends; empty ones are left out.

    A document is a line (LM1B), a row of the column `text` of a Parquet file, what WikiExtractor puts
    between `<doc ...>` and `</doc>` less the title, or else the whole of a text file.

    Args:
        info: Their dataset's row.
        paths: The files, Parquet or text; text may be compressed by gzip or bzip2.
        errors: What to do with a document that is not UTF-8: `fail` or `skip` it, with a warning.

    Raises:
        DataError: A file cannot be read, or is not UTF-8.
    """
    num_skipped = 0
    for path in paths:
        is_parquet = path.suffix == ".parquet"
        with reading(path, info):
            for place, raw in _parquet_rows(path) if is_parquet else _text_documents(info, path):
                try:
                    text = raw.decode("utf-8").removeprefix("\ufeff").strip()
                except UnicodeDecodeError as cause:
                    if errors == "fail":
                        where = f"row {place}" if is_parquet else f"byte {place + cause.start}"
                        raise DataError(
                            f"{path} is not UTF-8 at {where} ({cause.reason}): mend it, or set "
                            f"{ERRORS_VARIABLE}=skip to leave out such documents"
                        ) from cause
                    num_skipped += 1
                else:
                    if text:
                        yield text
    if num_skipped:
        warnings.warn(f"left out {num_skipped} documents of {info.title} that are not UTF-8", stacklevel=2)


def _text_documents(info: TextDataset, path: Path) -> Iterator[tuple[int, bytes]]:
    with _OPENERS[path.suffix](path) if path.suffix in _OPENERS else path.open("rb") as file:
        yield from _lines(file) if info.has_line_documents else _articles(file)


def _lines(file: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Each line, after the byte that it starts at."""
    start = 0
    for line in file:
        yield start, line
        start += len(line)


def _articles(file: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """What is between marks, or the whole file if it has none."""
    start, lines, mark = 0, list[bytes](), b""
    is_open = True  # a file without marks is one article
    for place, line in _lines(file):
        if place == 0 and line.startswith(b'{"'):
            raise ValueError("lines of JSON; run WikiExtractor without --json")
        if line.startswith(_MARK):
            start, lines, mark, is_open = place + len(line), [], line, True
        elif mark and line.startswith(b"</doc>"):
            yield _without_title(start, lines, mark)
            is_open = False
        elif is_open:
            lines.append(line)
            if place - start > _MAX_ARTICLE_BYTES:
                raise ValueError("more text than an article has; a file is one, or has many between marks")
    if mark and is_open:
        raise ValueError(f"no end of the article at byte {start}")
    if is_open:
        yield start, b"".join(lines)


def _without_title(start: int, lines: list[bytes], mark: bytes) -> tuple[int, bytes]:
    """WikiExtractor repeats the title of its mark as the first line."""
    if lines and mark.rstrip().endswith(b'title="' + lines[0].rstrip() + b'">'):
        start, lines = start + len(lines[0]), lines[1:]
    return start, b"".join(lines)


def _parquet_rows(path: Path) -> Iterator[tuple[int, bytes]]:
    """The column `text`, after the number of the row."""
    try:
        from pyarrow import parquet
    except ImportError as cause:
        raise DataError(f"{path} needs pyarrow: run `pip install 'optsuite[parquet]'`") from cause
    place = 0
    with parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(1024, columns=["text"]):
            for raw in batch.column("text").cast("large_binary").to_pylist():
                yield place, raw or b""
                place += 1
