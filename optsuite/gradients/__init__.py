"""Gradient estimators: how a loss becomes a gradient, one file each.

An estimator is a pair of pure functions for one trial, as an optimizer is; what it remembers from step to
step is its carry. A new one is a file with a factory in this folder, and a line here.
"""

from optsuite.gradients._antithetic_es import antithetic_es
from optsuite.gradients._backpropagation import backpropagation
from optsuite.gradients._base import Carry, GradientEstimator, Loss
from optsuite.gradients._mean import mean_of
from optsuite.gradients._persistent_es import Unroll, persistent_es
from optsuite.gradients._recompute import recomputed

__all__ = [
    "Carry",
    "GradientEstimator",
    "Loss",
    "Unroll",
    "antithetic_es",
    "backpropagation",
    "mean_of",
    "persistent_es",
    "recomputed",
]
