"""Training a cell in this process, and recording it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from cells import CPU, TASK, by_trial, damage, run, run_cell

from optsuite import storage, sweep
from optsuite.backends import ElsewhereError
from optsuite.curves import Curve, load_baseline_results_from_dir
from optsuite.errors import DataError, StorageError
from optsuite.hparam_sets import Config, Family, get_hparam_set, register_family
from optsuite.sweep import Cell, missing_trials
from optsuite.tasks import get_task, register_task


def test_each_trial_has_one_outcome_and_one_file(cell, roots, store):
    outcomes = run(cell, roots)
    assert set(outcomes) == set(cell.trials())
    for trial, curve in outcomes.items():
        assert isinstance(curve, Curve)
        assert (curve.opt_name, curve.seed) == (trial.config.label, trial.seed)
        recorded = load_baseline_results_from_dir(trial.folder(store.curves))
        assert curve in [Curve(arrays) for arrays in recorded]


def test_curves_are_written_as_they_come(cell, roots, store):
    cells = run_cell(cell, cell.hparam_set.configs, roots=roots, mode="synthetic", device=CPU)
    trial = next(cells).trial
    assert trial not in missing_trials(cell.trials(), store, "synthetic")


def test_what_is_recorded_is_read_and_only_the_rest_is_trained(cell, roots):
    first, second = cell.hparam_set.configs
    before = by_trial(cell, [first], roots)
    told = []
    after = run(cell, roots, tell=lambda done, total: told.append((done, total)))
    assert before.items() <= after.items()
    assert {trial.config for trial in set(after) - set(before)} == {second}
    assert told[-1] == (2 * 3, 2 * 3)  # two trials of three steps


def test_a_second_run_gives_the_same_and_trains_nothing(cell, roots):
    before, told = run(cell, roots), []
    assert run(cell, roots, tell=lambda *counts: told.append(counts)) == before
    assert told == []


def test_all_trains_again_and_replaces_the_files(cell, roots, store):
    before = run(cell, roots)
    after = run(cell, roots, rerun="all")
    for trial, curve in after.items():
        np.testing.assert_array_equal(curve["train/loss"], before[trial]["train/loss"])
        assert len(storage.list_files(trial.folder(store.curves), ".curves")) == 2  # one a seed


def test_a_file_that_cannot_be_read_is_its_trials_outcome_alone(cell, roots, store):
    run(cell, roots)
    bad = cell.trials()[1]
    damage(store, bad)
    outcomes = run(cell, roots)
    assert [trial for trial, result in outcomes.items() if isinstance(result, Exception)] == [bad]
    with pytest.raises(
        StorageError,
        match=rf"`{bad.folder(store.curves)}/\d+_\d+_\w+\.curves` is not .* with the file deleted",
    ):
        raise outcomes[bad]
    again = run(cell, roots, rerun="failed")
    assert all(isinstance(result, Curve) for result in again.values())


def test_a_task_that_breaks_is_the_outcome_of_all_its_trials(roots):
    def broken(outputs, batch):
        if outputs.device.type == "meta":
            return outputs.sum()  # its cost can be counted
        raise ArithmeticError("the loss is broken")

    register_task(replace(get_task(TASK), name="Broken", loss_fn=broken))
    outcomes = run(Cell("Broken", get_hparam_set("TinyLR_2_R2")), roots)
    assert len(outcomes) == 4
    assert {str(error) for error in outcomes.values()} == {"the loss is broken"}


def test_one_rule_that_breaks_leaves_the_others(roots, monkeypatch):
    """Configs of another optimizer are another program."""
    mixed = [Config("SGD_lr0.1", "SGD", {"lr": 0.1}), Config("Adam_lr0.1", "Adam", {"lr": 0.1})]
    register_family(Family("MixedLR", "Mixed", lambda: mixed))

    def broken(**_):
        raise ArithmeticError("the optimizer is broken")

    from optsuite.optimizers import _table

    monkeypatch.setitem(_table.OPTIMIZERS, "Adam", _table.OPTIMIZERS["Adam"]._replace(factory=broken))
    outcomes = run(Cell(TASK, get_hparam_set("MixedLR_2_R1")), roots)
    kinds = {trial.config.label: type(result) for trial, result in outcomes.items()}
    assert kinds == {"SGD_lr0.1": Curve, "Adam_lr0.1": ArithmeticError}


def test_a_group_that_another_process_ended_without_its_curves_is_to_be_tried_again(roots, store):
    """It failed there, for a reason that is not known here."""
    mixed = [Config(f"{name}_lr0.1", name, {"lr": 0.1}) for name in ("SGD", "Adam")]
    register_family(Family("MixedLR", "Mixed", lambda: mixed))
    cell = Cell(TASK, get_hparam_set("MixedLR_2_R1"))
    outcomes = run_cell(cell, mixed, roots=roots, mode="synthetic", device=CPU)
    first = next(outcomes)
    for group in sweep.read_groups(store, TASK):
        if first.trial.id("synthetic") not in group.trial_ids:
            group.remove()
    (second,) = outcomes
    assert second.trial.config != first.trial.config
    assert isinstance(second.result, ElsewhereError)


def test_running_needs_the_data_that_were_asked_for(cell, roots):
    with pytest.raises(DataError, match="Fashion-MNIST not found"):
        list(run_cell(cell, cell.hparam_set.configs, roots=roots, mode="real", device=CPU))
