"""Readers of documents, one at a time and never a whole corpus."""

from __future__ import annotations

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


def text_errors() -> str:
    """`fail` or `skip`, from the environment."""
    chosen = os.environ.get(ERRORS_VARIABLE) or "fail"
    if chosen not in ("fail", "skip"):
        raise UnknownNameError(f"value of {ERRORS_VARIABLE}", chosen, ("fail", "skip"))
    return chosen


def read_documents(info: TextDataset, paths: list[Path], errors: str) -> Iterator[str]:
    """The documents of some files, without space at their ends; empty ones are left out.

    A document is a line (LM1B), a row of the column `text` of a Parquet file, what WikiExtractor puts
    between `<doc ...>` and `</doc>`, or else the whole of a text file.

    Args:
        info: Their dataset's row.
        paths: The files, Parquet or text; text may be compressed by gzip.
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
                    text = raw.decode("utf-8").strip()
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
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        yield from _lines(file) if info.has_line_documents else _articles(file)


def _lines(file: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Each line, after the byte that it starts at."""
    start = 0
    for line in file:
        yield start, line
        start += len(line)


def _articles(file: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """What is between marks, or the whole file if it has none."""
    start, lines = 0, list[bytes]()
    for place, line in _lines(file):
        if line.startswith(b"<doc "):
            start, lines = place + len(line), []
        elif line.startswith(b"</doc>"):
            yield start, b"".join(lines)
            start, lines = place + len(line), []
        else:
            lines.append(line)
    yield start, b"".join(lines)


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
