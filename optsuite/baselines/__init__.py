"""Baselines in the package: evaluation curves of all settings of known optimizers, on real data."""
