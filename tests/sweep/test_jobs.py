"""Jobs and their parts."""

from __future__ import annotations

import pytest
from cells import TASK
from hypothesis import given
from hypothesis import strategies as st

from optsuite.hparam_sets import Config, Schedule, Trial, get_hparam_set
from optsuite.storage import Store
from optsuite.sweep import Job, share_out, split


@given(num_configs=st.integers(1, 9), num_seeds=st.integers(1, 4), num_parts=st.integers(1, 8))
def test_parts_hold_each_trial_once_and_as_many_as_the_others(num_configs, num_seeds, num_parts):
    configs = [Config(f"SGD_lr{n}", "SGD", {"lr": float(n)}) for n in range(num_configs)]
    trials = tuple(Trial(TASK, c, Schedule(3), seed) for c in configs for seed in range(num_seeds))
    job = Job("a", TASK, trials, Store("curves", "archives"), "synthetic")
    parts = split(job, num_parts)
    assert tuple(trial for part in parts for trial in part.trials) == trials
    assert [part.part for part in parts] == list(range(len(parts)))
    assert len(parts) == min(num_parts, num_configs if num_configs > 1 else num_seeds)
    numbers_of_configs = [len({trial.config for trial in part.trials}) for part in parts]
    assert max(numbers_of_configs) - min(numbers_of_configs) <= 1
    assert sum(part.num_steps for part in parts) == job.num_steps == 4 * len(trials)


@pytest.mark.parametrize(
    ("num_jobs", "num_workers", "num_parts"), [(1, 1, 1), (1, 2, 2), (2, 2, 1), (3, 2, 1), (3, 8, 3)]
)
def test_jobs_are_cut_only_where_workers_would_have_none(num_jobs, num_workers, num_parts):
    trials = tuple(get_hparam_set("SGDLR_3_R1").trials(TASK))
    jobs = [Job(str(n), TASK, trials, Store("curves", "archives"), "synthetic") for n in range(num_jobs)]
    assert [len(parts) for parts in share_out(jobs, num_workers)] == [num_parts] * num_jobs
