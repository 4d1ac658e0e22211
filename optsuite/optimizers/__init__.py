"""Optimizers as pairs of pure functions, a file for each kind, made of pieces that are chained.

The rules are those of `learned_optimization`'s baselines, which take most of them from optax. A new
one is a file with a factory in this folder and a row in `_table.py`, its grid of learning rates included.
"""

from optsuite.optimizers._accumulate import accumulate
from optsuite.optimizers._adabelief import adabelief, scale_by_belief
from optsuite.optimizers._adafac_mlp_lopt import adafac_mlp_lopt
from optsuite.optimizers._adafactor import (
    adafactor,
    clip_by_block_rms,
    scale_by_factored_rms,
    scale_by_param_block_rms,
)
from optsuite.optimizers._adagrad import adagrad, scale_by_adagrad
from optsuite.optimizers._adam import adam, adamw, scale_by_adam
from optsuite.optimizers._ademamix import ademamix, scale_by_ademamix
from optsuite.optimizers._adopt import adopt, scale_by_adopt
from optsuite.optimizers._averaged import AveragedState, averaged, ema
from optsuite.optimizers._backward import deliver, has_hooks
from optsuite.optimizers._base import (
    HorizonLrSchedule,
    LearnedOptimizer,
    LrSchedule,
    Optimizer,
    OptState,
    as_trained,
    chain,
)
from optsuite.optimizers._cautious import cautious
from optsuite.optimizers._checkpoints import (
    Checkpoint,
    check_architecture,
    content_of,
    list_packaged_checkpoints,
    location_of,
    pinned,
    read_checkpoint,
    write_checkpoint,
)
from optsuite.optimizers._decayed import decayed
from optsuite.optimizers._domains import plain as plain_hparams
from optsuite.optimizers._fromage import fromage
from optsuite.optimizers._graft import graft
from optsuite.optimizers._horizon import (
    warmup_constant,
    warmup_cosine,
    warmup_exponential,
    warmup_linear,
    warmup_sqrt,
    warmup_stable_decay,
)
from optsuite.optimizers._import_path import (
    argument_defaults,
    constructor_arguments,
    import_optimizer,
    is_import_path,
    parse_call,
    parse_optimizer,
    parse_value,
    set_training,
    takes_argument,
    takes_loss,
)
from optsuite.optimizers._lamb import lamb
from optsuite.optimizers._lars import lars
from optsuite.optimizers._learnable import learnable_adam, learnable_sgd, learnable_sgdm
from optsuite.optimizers._learned import LEARNED_OPTIMIZERS, default_architecture, get_learned_optimizer
from optsuite.optimizers._lion import lion, scale_by_lion
from optsuite.optimizers._mars import correct_by_mars, mars_adamw
from optsuite.optimizers._mlp_lopt import mlp_lopt
from optsuite.optimizers._muon import muon, scale_by_muon
from optsuite.optimizers._nadamw import nadamw, nadamw_cosine_lr, scale_by_nadamw
from optsuite.optimizers._opt_list import opt_list, read_opt_list
from optsuite.optimizers._pieces import (
    add_decayed_weights,
    clip,
    clip_by_global_norm,
    scale_by_lr,
    scale_by_trust_ratio,
    trace,
)
from optsuite.optimizers._prodigy import prodigy
from optsuite.optimizers._radam import radam, scale_by_radam
from optsuite.optimizers._rmsprop import rmsprop, scale_by_rms
from optsuite.optimizers._roles import Role, check_roles, role_by_shape
from optsuite.optimizers._schedule_free import schedule_free_adamw, schedule_free_sgd
from optsuite.optimizers._scheduled_adam import adam_exp_decay_lr, adam_sqrt_decay_lr, piecewise_linear_adam
from optsuite.optimizers._schedules import (
    cosine_decay,
    exponential_decay,
    linear_rampup_sqrt_decay,
    piecewise_linear,
)
from optsuite.optimizers._sgd import sgd, sgdm
from optsuite.optimizers._shampoo import scale_by_shampoo, shampoo
from optsuite.optimizers._signum import scale_by_signum, signum
from optsuite.optimizers._sm3 import scale_by_sm3, sm3
from optsuite.optimizers._soap import scale_by_soap, soap
from optsuite.optimizers._table import (
    CLIPPED_AVERAGED,
    OPTIMIZERS,
    OptimizerRow,
    check_hparams,
    get_optimizer,
    get_row,
    list_optimizers,
    register_optimizer,
)
from optsuite.optimizers._try_out import takes_matrices_only
from optsuite.optimizers._wrappers import WRAPPERS, Wrapper, split_wrapped
from optsuite.optimizers._yogi import scale_by_yogi, yogi

__all__ = [
    "CLIPPED_AVERAGED",
    "LEARNED_OPTIMIZERS",
    "OPTIMIZERS",
    "WRAPPERS",
    "AveragedState",
    "Checkpoint",
    "HorizonLrSchedule",
    "LearnedOptimizer",
    "LrSchedule",
    "OptState",
    "Optimizer",
    "OptimizerRow",
    "Role",
    "Wrapper",
    "accumulate",
    "adabelief",
    "adafac_mlp_lopt",
    "adafactor",
    "adagrad",
    "adam",
    "adam_exp_decay_lr",
    "adam_sqrt_decay_lr",
    "adamw",
    "add_decayed_weights",
    "ademamix",
    "adopt",
    "argument_defaults",
    "as_trained",
    "averaged",
    "cautious",
    "chain",
    "check_architecture",
    "check_hparams",
    "check_roles",
    "clip",
    "clip_by_block_rms",
    "clip_by_global_norm",
    "constructor_arguments",
    "content_of",
    "correct_by_mars",
    "cosine_decay",
    "decayed",
    "default_architecture",
    "deliver",
    "ema",
    "exponential_decay",
    "fromage",
    "get_learned_optimizer",
    "get_optimizer",
    "get_row",
    "graft",
    "has_hooks",
    "import_optimizer",
    "is_import_path",
    "lamb",
    "lars",
    "learnable_adam",
    "learnable_sgd",
    "learnable_sgdm",
    "linear_rampup_sqrt_decay",
    "lion",
    "list_optimizers",
    "list_packaged_checkpoints",
    "location_of",
    "mars_adamw",
    "mlp_lopt",
    "muon",
    "nadamw",
    "nadamw_cosine_lr",
    "opt_list",
    "parse_call",
    "parse_optimizer",
    "parse_value",
    "piecewise_linear",
    "piecewise_linear_adam",
    "pinned",
    "plain_hparams",
    "prodigy",
    "radam",
    "read_checkpoint",
    "read_opt_list",
    "register_optimizer",
    "rmsprop",
    "role_by_shape",
    "scale_by_adagrad",
    "scale_by_adam",
    "scale_by_ademamix",
    "scale_by_adopt",
    "scale_by_belief",
    "scale_by_factored_rms",
    "scale_by_lion",
    "scale_by_lr",
    "scale_by_muon",
    "scale_by_nadamw",
    "scale_by_param_block_rms",
    "scale_by_radam",
    "scale_by_rms",
    "scale_by_shampoo",
    "scale_by_signum",
    "scale_by_sm3",
    "scale_by_soap",
    "scale_by_trust_ratio",
    "scale_by_yogi",
    "schedule_free_adamw",
    "schedule_free_sgd",
    "set_training",
    "sgd",
    "sgdm",
    "shampoo",
    "signum",
    "sm3",
    "soap",
    "split_wrapped",
    "takes_argument",
    "takes_loss",
    "takes_matrices_only",
    "trace",
    "warmup_constant",
    "warmup_cosine",
    "warmup_exponential",
    "warmup_linear",
    "warmup_sqrt",
    "warmup_stable_decay",
    "write_checkpoint",
    "yogi",
]
