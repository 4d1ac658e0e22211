"""A complete cell has an archive, or its reason is told; the page tells the same."""

from __future__ import annotations

import pytest
from cells import CPU, TASK, damage, run, run_cell

from optsuite import storage
from optsuite.curves import files_of_trial
from optsuite.runner import Outcomes, Runner, RunOptions, Warned, result_of
from optsuite.storage import _npz


@pytest.fixture
def session(cell, roots):
    """Ask for configs of a cell, and build what can be built; its warnings, and the words of its page."""

    def session(configs=cell.hparam_set.configs, before_building=lambda: None, **options):
        events = []
        options = {"storage": roots[0], "data": "synthetic", "device": "cpu", **options}
        runner = Runner(RunOptions(**options), events.append)
        runner.take({cell: list(configs)})
        runner.train_all()
        outcomes = {o.trial: o for event in events if isinstance(event, Outcomes) for o in event.outcomes}
        before_building()
        results = [result_of(cell, config, outcomes) for config in configs]
        runner.build([cell], results, command="c", preset="p")
        warnings = [event.text for event in events if isinstance(event, Warned)]
        return warnings, storage.read_bytes(runner.report).decode() if runner.report else ""

    return session


def flip(monkeypatch, url, times):
    """Flip a bit in what the first reads of a file give."""
    read_bytes, left = _npz.read_bytes, [None] * times

    def read(asked, **options):
        content = read_bytes(asked, **options)
        if asked == url and left:
            left.pop()
            return content[:100] + bytes([content[100] ^ 1]) + content[101:]
        return content

    monkeypatch.setattr(_npz, "read_bytes", read)


def file_of(store, trial):
    (url,) = files_of_trial(trial.folder(store.curves), trial.id("synthetic"))
    return url


def test_a_complete_cell_is_archived_without_a_word(session):
    assert session(report=False) == ([], "")


def test_bits_that_flip_once_on_the_way_cost_nothing(cell, roots, store, session, monkeypatch):
    run(cell, roots)
    flip(monkeypatch, file_of(store, cell.trials()[0]), times=1)
    assert session(report=False) == ([], "")
    assert storage.exists(storage.archive_path(TASK, "TinyLR_2_R2", store.archives))


def test_bits_that_flip_on_the_way_to_the_archive_are_told(cell, roots, store, session, monkeypatch):
    """The trials have passed, and their curves are there."""
    run(cell, roots)
    url = file_of(store, cell.trials()[0])
    (warning,), page = session(before_building=lambda: flip(monkeypatch, url, times=1000))
    assert warning.startswith(
        f"no archive of {cell.name}: 1 of 4 curves cannot be read: SGD_lr0.01 repetition 0; "
        f"`{url}` is not a readable npz file"
    )
    assert f"{url}` is not a readable npz file" in page
    assert "Unreadable" in page
    assert "not recorded" not in page


def test_curves_that_do_not_fit_together_are_told(cell, roots, store, session):
    run(cell, roots)
    url = file_of(store, cell.trials()[0])
    storage.write_npz(url, {**storage.read_npz(url), "note": 1})
    (warning,), _ = session(report=False)
    assert warning.startswith(f"no archive of {cell.name}: the curves of a cell need the same keys")


def test_curves_that_vanish_before_they_are_archived_are_told(cell, roots, store, session):
    run(cell, roots)
    url = file_of(store, cell.trials()[3])
    (warning,), _ = session(before_building=lambda: storage.remove(url), report=False)
    assert warning == f"no archive of {cell.name}: it lacks 1 of 4 curves: SGD_lr0.1 repetition 1"


def test_a_cell_of_which_a_part_was_asked_for_is_no_problem(cell, session):
    assert session(cell.hparam_set.configs[:1], report=False) == ([], "")


def test_but_a_damaged_file_of_the_other_part_is(cell, roots, store, session):
    run(cell, roots)
    url = damage(store, cell.trials()[3])
    (warning,), _ = session(cell.hparam_set.configs[:1], report=False)
    assert f"SGD_lr0.1 repetition 1; `{url}` is not a readable npz file" in warning


def test_a_trial_that_failed_is_not_told_twice(cell, roots, store, session):
    run(cell, roots)
    damage(store, cell.trials()[0])
    warnings, page = session()
    assert warnings == []
    assert "No archive" in page


def test_files_of_other_trials_in_its_folders_are_not_its_own(cell, roots, store, session):
    list(run_cell(cell, cell.hparam_set.configs, roots=roots, mode="synthetic", device=CPU))
    folder = cell.trials()[0].folder(store.curves)
    storage.write_bytes(f"{folder}/20260101_000000_aaaaaaaaaa.curves", b"bad")
    assert session(report=False) == ([], "")
