"""Tables of the page, as plain data."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Bar(NamedTuple):
    """Interval as a picture, in per cent of its width."""

    low: float
    value: float
    high: float
    mark: float
    """Place of no difference."""


class Cell(NamedTuple):
    """Cell of a table."""

    text: str
    note: str = ""
    """Smaller text below."""
    order: float | None = None
    """Number by which its column is sorted; its text if None."""
    kind: str = ""
    """Looks: `number`, `best` (a number), `words` (in place of a number), `long` (a text), `own`."""
    href: str = ""
    span: int = 1
    look: str = ""
    """Optimizer whose colour and dashes it shows."""
    bar: Bar | None = None


class Table(NamedTuple):
    """Table that can be sorted and filtered."""

    name: str
    """Name for those who cannot see it."""
    head: Sequence[str]
    groups: Mapping[str, Sequence[Sequence[Cell]]]
    """Rows by task, or all under an empty name; the first cell of each is its task if it has one."""
    num_words: int
    """Number of the first columns that hold words, not numbers."""


def no_number(words: str) -> Cell:
    """Return words that stand where a number would."""
    return Cell(words, kind="number words")
