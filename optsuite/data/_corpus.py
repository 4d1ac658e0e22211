"""Readers of documents, which hold one document at a time and never a whole corpus."""

import bz2
import gzip
import os
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

from optsuite.data._formats import reading
from optsuite.data._kinds import TextDataset
from optsuite.errors import DataError, UnknownNameError, import_extra

ERRORS_VARIABLE = "OPTSUITE_TEXT_ERRORS"
"""Environment variable that says what to do with documents that are not UTF-8: `fail` or `skip`."""

_OPENERS = {".gz": gzip.GzipFile, ".bz2": bz2.BZ2File}
_MARK = b"<doc "
_MAX_ARTICLE_BYTES = 1 << 26


def text_errors() -> str:
    """Return what the environment says to do with documents that are not UTF-8: `fail` or `skip`."""
    chosen = os.environ.get(ERRORS_VARIABLE) or "fail"
    if chosen not in ("fail", "skip"):
        raise UnknownNameError(f"value of {ERRORS_VARIABLE}", chosen, ("fail", "skip"))
    return chosen


def read_documents(info: TextDataset, paths: list[Path], errors: str) -> Iterator[str]:
    """Yield the documents of some files, without space at their ends; empty ones are left out.

    A document is a line (LM1B), a row of the column `text` of a Parquet file, what WikiExtractor puts
    between `<doc ...>` and `</doc>` less the title, or else the whole of a text file.

    Args:
        info: The row of their dataset in `DATASETS`.
        paths: The files, Parquet or text; text may be compressed by gzip or bzip2.
        errors: Whether a document that is not UTF-8 is an error (`fail`) or left out with a warning (`skip`).

    Raises:
        DataError: A file cannot be read, or a document is not UTF-8.
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
    """Yield each line, after the number of the byte at which it starts."""
    start = 0
    for line in file:
        yield start, line
        start += len(line)


def _articles(file: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield the text between marks, or the whole file if it has none, after the byte at which it starts."""
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
    """Drop the first line if it repeats the title in the mark, as WikiExtractor writes it."""
    if lines and mark.rstrip().endswith(b'title="' + lines[0].rstrip() + b'">'):
        start, lines = start + len(lines[0]), lines[1:]
    return start, b"".join(lines)


def _parquet_rows(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield each row of the column `text`, after its number."""
    parquet = import_extra("pyarrow.parquet", "parquet", f"{path} needs pyarrow", DataError)
    place = 0
    with parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(1024, columns=["text"]):
            for raw in batch.column("text").cast("large_binary").to_pylist():
                yield place, raw or b""
                place += 1
