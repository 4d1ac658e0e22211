"""Benchmarks for optimizers: fixed tasks, named hparam sets, recorded training curves."""

from optsuite.hparam_sets import Config, Schedule
