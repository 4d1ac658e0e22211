"""Comparison of two stores: the same trials last night and tonight, with a gate for real changes."""
