"""A small cell, and a store in memory."""

from __future__ import annotations

from cells import cell, root, roots, store, tables

__all__ = ["cell", "root", "roots", "store", "tables"]
