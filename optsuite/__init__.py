"""Benchmarks for optimizers."""
