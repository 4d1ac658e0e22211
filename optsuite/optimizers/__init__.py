"""Optimizers as pairs of pure functions, one file each, made of pieces that chain.

The rules are those of `learned_optimization`'s baselines, which take most of them from optax. A new
one is a file with a factory in this folder, and a row in `_table.py`.
"""

from optsuite.optimizers._adagrad import adagrad, scale_by_adagrad
from optsuite.optimizers._adam import adam, scale_by_adam
from optsuite.optimizers._adam_exp_decay_lr import adam_exp_decay_lr
from optsuite.optimizers._adam_sqrt_decay_lr import adam_sqrt_decay_lr
from optsuite.optimizers._adamw import adamw
from optsuite.optimizers._base import Optimizer, OptState, Schedule, chain
from optsuite.optimizers._decay import add_decayed_weights
from optsuite.optimizers._lr import scale_by_lr
from optsuite.optimizers._momentum import trace
from optsuite.optimizers._radam import radam, scale_by_radam
from optsuite.optimizers._rmsprop import rmsprop, scale_by_rms
from optsuite.optimizers._schedules import exponential_decay, linear_rampup_sqrt_decay
from optsuite.optimizers._sgd import sgd
from optsuite.optimizers._sgdm import sgdm
from optsuite.optimizers._table import (
    OPTIMIZERS,
    OptimizerRow,
    check_hparams,
    get_optimizer,
    list_optimizers,
)

__all__ = [
    "OPTIMIZERS",
    "OptState",
    "Optimizer",
    "OptimizerRow",
    "Schedule",
    "adagrad",
    "adam",
    "adam_exp_decay_lr",
    "adam_sqrt_decay_lr",
    "adamw",
    "add_decayed_weights",
    "chain",
    "check_hparams",
    "exponential_decay",
    "get_optimizer",
    "linear_rampup_sqrt_decay",
    "list_optimizers",
    "radam",
    "rmsprop",
    "scale_by_adagrad",
    "scale_by_adam",
    "scale_by_lr",
    "scale_by_radam",
    "scale_by_rms",
    "sgd",
    "sgdm",
    "trace",
]
