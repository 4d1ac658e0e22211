"""Two stores: which trials are pairs, what is a change, and why some do not compare."""

from __future__ import annotations

import json

import numpy as np
import pytest
from nights import SET, TASK, losses, rounding, write

from optsuite import comparison, storage
from optsuite.storage import MissingFileError


@pytest.fixture
def stores(tmp_path):
    return str(tmp_path / "a"), str(tmp_path / "b")


def noisy(seed, loss_HSE):
    return loss_HSE * (1 + rounding(np.random.default_rng(seed), loss_HSE.shape[:2]))[..., None]


def the_cell(stores):
    (cell,) = comparison.compare(*stores).cells
    return cell


def words(stores):
    return " ".join(" ".join(comparison.lines(comparison.compare(*stores))).split())


def test_the_same_bits_are_said_to_be_identical(stores):
    for root in stores:
        write(root, losses())
    found = comparison.compare(*stores)
    assert found.cells[0].is_identical
    assert (found.num_tests, comparison.exit_status(found)) == (0, 0)
    assert "1 identical bit for bit" in words(stores)


def test_noise_is_no_change(stores):
    for seed, root in enumerate(stores):
        write(root, noisy(seed, losses()))
    cell = the_cell(stores)
    assert not cell.is_identical
    assert not cell.has_changed
    assert (cell.num_settings, cell.num_seeds) == (14, 5)
    assert "no real change of loss" in words(stores)


def test_a_shift_of_all_settings_is_a_real_change(stores):
    for seed, root in enumerate(stores):
        write(root, noisy(seed, losses() * (1 + 0.2 * seed)))
    found = comparison.compare(*stores)
    assert found.changed == found.cells
    assert found.cells[0].final.mean == pytest.approx(0.18, abs=0.05)
    assert found.cells[0].final.num_worse > 12
    assert comparison.exit_status(found) == comparison.CHANGED == 3
    assert f"real changes of loss: {TASK}/{SET}" in words(stores)


def test_so_is_one_that_makes_some_settings_better_and_others_worse(stores):
    bend = np.linspace(-0.2, 0.2, 15)[:, None, None]
    for seed, root in enumerate(stores):
        write(root, noisy(seed, losses() * (1 + bend * seed)))
    change = the_cell(stores).final
    assert change.is_real
    assert min(change.num_worse, change.num_better) >= 5


def test_so_is_one_of_the_losses_before_the_end(stores):
    early = losses()
    early[..., 1:-1] *= 1.3
    for root, loss in zip(stores, (losses(), early), strict=True):
        write(root, loss)
    cell = the_cell(stores)
    assert not cell.final.is_real
    assert cell.curve.is_real


def test_trials_that_diverge_now_are_a_change_where_they_are_many(stores):
    after = losses()
    after[9:, :, -1] = np.nan
    write(stores[0], losses())
    write(stores[1], after)
    assert the_cell(stores).diverged[:2] == (0, 25)
    assert the_cell(stores).diverged.is_real
    few = losses()
    few[13, :3, -1] = np.nan
    write(stores[1], few)
    assert the_cell(stores).diverged[:2] == (0, 3)
    assert not the_cell(stores).has_changed


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"data_source": "synthetic"}, "the data differ: real in A, synthetic in B"),
        ({"eval_batches": 6}, "they were evaluated at other steps or on other numbers of batches"),
        ({"version": "2"}, "these are other trials: the task has another version"),
        ({"seed": 7}, "they have no seed in common"),
    ],
)
def test_what_does_not_compare_says_why(stores, facts, why):
    write(stores[0], losses())
    write(stores[1], losses(), **facts)
    found = comparison.compare(*stores)
    assert found.cells[0].why_not.startswith(why)
    assert comparison.exit_status(found) == comparison.NOTHING == 1
    assert "nothing compares" in words(stores)


def test_other_horizons_do_not_compare(stores):
    write(stores[0], losses())
    write(stores[1], losses())
    url = storage.archive_path(TASK, SET, stores[1])
    arrays = storage.read_npz(url)
    arrays |= {key: arrays[key][..., :11] for key in ("train/xs", "train/loss")}
    arrays |= {key: arrays[key][..., :3] for key in ("eval/xs", "eval/train/loss")}
    storage.write_npz(url, arrays | {"num_steps": np.full_like(arrays["num_steps"], 10)})
    assert the_cell(stores).why_not == "the horizons differ: 20 steps in A, 10 in B"


def test_an_edited_class_compares_and_says_so(stores):
    for version, root in enumerate(stores):
        write(root, losses(), optimizer="my.py:Mine", version=str(version))
    cell = the_cell(stores)
    assert cell.is_identical
    assert cell.notes[0].startswith("the code of the optimizer")


def test_settings_and_seeds_are_paired_by_what_they_are(stores):
    write(stores[0], losses())
    write(stores[1], losses(num_seeds=3, num_settings=15)[:9])
    cell = the_cell(stores)
    assert (cell.num_settings, cell.num_seeds, cell.is_identical) == (9, 3, True)
    assert any("only in A: 2 seeds" in note for note in cell.notes)
    assert any("and 3 more" in note for note in cell.notes)


def test_cells_of_one_store_are_named(stores):
    for root in stores:
        write(root, losses())
    write(stores[0], losses(), hparam_set="SGDLR_20_R5")
    found = comparison.compare(*stores)
    assert [cell.why_not for cell in found.cells] == ["", "only in A"]
    assert f"only in A: {TASK}/SGDLR_20_R5" in words(stores)


def test_one_seed_cannot_tell_a_change_from_noise(stores):
    for factor, root in enumerate(stores, 1):
        write(root, factor * losses(num_seeds=1))
    cell = the_cell(stores)
    assert cell.final is None
    assert not cell.has_changed
    assert "at least 2 are needed" in words(stores)
    assert "nothing to test" in words(stores)


def test_an_archive_that_cannot_be_read_does_not_cost_the_others(stores):
    for root in stores:
        write(root, losses())
        write(root, losses(), hparam_set="SGDLR_20_R5")
    storage.write_bytes(storage.archive_path(TASK, "SGDLR_20_R5", stores[1]), b"no npz")
    by_set = {cell.hparam_set: cell for cell in comparison.compare(*stores).cells}
    assert by_set[SET].is_identical
    assert by_set["SGDLR_20_R5"].why_not.startswith("B: ")


def test_a_root_without_archives_is_an_error(stores):
    write(stores[0], losses())
    with pytest.raises(MissingFileError, match="no archives"):
        comparison.compare(*stores)


def test_losses_that_are_not_positive_compare_too(stores):
    for shift, root in enumerate(stores):
        write(root, losses() - 3 - shift)
    cell = the_cell(stores)
    assert cell.final.is_real
    assert cell.final.num_better == 14


def test_it_is_a_value_of_json(stores):
    for seed, root in enumerate(stores):
        write(root, noisy(seed, losses()))
    told = json.loads(json.dumps(comparison.to_json(comparison.compare(*stores)), allow_nan=False))
    assert told["exit_status"] == 0
    assert told["cells"][0]["final"]["is_real"] is False
    assert told["cells"][0]["result"].startswith("noise")


def test_words_for_one_setting_and_for_large_changes(stores):
    for factor, root in enumerate(stores, 1):
        write(root, 1000**factor * losses(num_settings=1))
    assert "+200 %" in words(stores)
    assert "final loss changed: 1 setting worse, 0 better" in words(stores)
