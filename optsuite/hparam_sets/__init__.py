"""The named hparam sets as data, the grammar of their names, and the trials that they hold."""

from optsuite.hparam_sets._contenders import find_family, register_untuned
from optsuite.hparam_sets._families import (
    ACCUMULATIONS,
    LEARNING_RATES,
    Family,
    HParamSet,
    get_family,
    get_hparam_set,
    list_families,
    list_hparam_sets,
    lr_grid,
    needs_checkpoint,
    register_family,
    register_grid,
    register_lr_family,
    split_name,
)
from optsuite.hparam_sets._grammar import WEIGHT_DECAYS
from optsuite.hparam_sets._learned import register_checkpoint
from optsuite.hparam_sets._trials import (
    Config,
    HparamValue,
    Schedule,
    Trial,
    check_facts,
    facts_of,
    ids_of,
    trial_id,
)
