"""Counts and times in words, for terminals and pages."""

from __future__ import annotations

__all__ = ["counted", "duration"]


def counted(count: int, noun: str) -> str:
    """`1 cell`, `1,200 cells`."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def duration(seconds: float) -> str:
    """`12 s`, `3 min 20 s`, `5 h 10 min`."""
    whole = max(1, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
