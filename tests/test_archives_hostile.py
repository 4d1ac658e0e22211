"""Archives that anyone may have written: a named error or sound results, and never at the cost of others."""

from __future__ import annotations

import json
import tracemalloc

import numpy as np
import pytest
from curve_examples import bomb, put
from examples import TASK, make_archive, sgd

from optsuite import archives, storage
from optsuite.archives import Absent, recorded_config
from optsuite.statistics import read_cells
from optsuite.storage import CorruptFileError
from optsuite.tables import archive_table, summary_table

TEXTS = (
    "[" * 100_000,
    '{"hparams": ' * 5000,
    json.dumps({"hparams": {"lr": 10**400}}),
    '{"hparams": {"lr": Infinity}}',
    '{"hparams": {"lr": -Infinity, "b": NaN}}',
    '{"hparams": {"lr": 1e999}}',
    '{"hparams": [[1, 2]]}',
    '{"hparams": {"a": [[1], {}], "b": {"c": 1}, "d": null}}',
    '{"hparams": {"lr": 1}, "hparams": {"lr": 2}}',
    "f.learning_rate = --1\n",
    "f.learning_rate = 1e999\n",
    f"f.learning_rate = {'9' * 10_000}\n",
    "inner_train_task.opt_name = 'a\nb'\n",
)


def with_text(text, **changes):
    arrays = make_archive(sgd(0.1, 1))
    return {**arrays, "gin_operative_config": np.full(arrays["opt_name"].shape, text), **changes}


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_configuration_text_costs_no_archive(root, text):
    storage.write_npz(storage.archive_path(TASK, "Odd_20_R2", root), with_text(text))
    storage.write_npz(storage.archive_path(TASK, "Sound_20_R2", root), make_archive(sgd(0.1, 1)))
    table = summary_table("*", "*", root)
    assert table["status"].tolist() == ["complete"] * 2
    assert len(archive_table(TASK, "Odd_20_R2", root)) > 0


def test_hyperparameters_that_cannot_be_known_are_not():
    for text in TEXTS[:6]:
        assert recorded_config("SGD", text) == ("SGD", {})
    assert recorded_config("SGD", '{"hparams": {"lr": 0.1, "a": [1, "b"], "c": [[1]]}}') == (
        "SGD",
        {"lr": 0.1, "a": (1, "b")},
    )
    assert recorded_config("SGD", TEXTS[9]) == recorded_config("SGD", TEXTS[10]) == ("SGD", {})
    assert recorded_config("SGD", "f.learning_rate = 1e-3\n") == ("SGD", {"lr": 1e-3})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_steps": np.full((2, 2), 21)}, r"`num_steps` needs the length of train/loss, 20, got 21"),
        ({"eval_every": np.array([[10, 10], [10, 5]])}, "`eval_every` needs one value for all trials"),
        ({"eval/xs": np.full((2, 2, 3), np.nan)}, "`eval/xs` needs integers, got float64"),
        ({"eval/xs": np.zeros((2, 2, 3), int)}, "`eval/xs` needs the steps of its schedule"),
        ({"train/loss": np.zeros((2, 2, 21), ">f4")}, "`train/loss` needs numbers, got >f4"),
        ({"train/loss": np.zeros((2, 2, 21), complex)}, "`train/loss` needs numbers, got complex128"),
        ({"data_source": np.full((2, 2), "\x1b[2J")}, r"`data_source` needs a kind of data, got '\\x1b"),
        ({"train/loss": np.zeros(3), "\x1b": 1}, r"`train/loss` needs shape"),
        ({"opt_name": np.full((2, 2), b"x")}, r"`opt_name` needs text, got \|S1"),
        ({"opt_name": np.full((2, 2), "\ud800")}, "`opt_name` needs text, got what is no Unicode"),
        (
            {"gin_operative_config": np.full((2, 2), 2**31 - 1, np.uint32).view("U1")},
            "`gin_operative_config` needs text, got what is no Unicode",
        ),
    ],
)
def test_an_odd_archive_is_unreadable_and_costs_no_other(root, changes, message):
    storage.write_npz(storage.archive_path(TASK, "Odd_20_R2", root), {**make_archive(sgd(0.1, 1)), **changes})
    storage.write_npz(storage.archive_path(TASK, "Sound_20_R2", root), make_archive(sgd(0.1, 1)))
    odd, sound = read_cells([(TASK, "Odd_20_R2"), (TASK, "Sound_20_R2")], root)
    assert isinstance(odd, Absent)
    with pytest.raises(CorruptFileError, match=message):
        raise odd.error
    assert sound.best_label
    assert len(summary_table("*", "*", root)) == 2


def test_labels_that_would_steer_a_terminal_are_not_taken(root):
    names = np.array([["a\x1b[2J"] * 2, ["b"] * 2])
    storage.write_npz(storage.archive_path(TASK, "Odd_20_R2", root), with_text("", opt_name=names))
    archive = archives.read_archive(TASK, "Odd_20_R2", root)
    assert [config.label for config in archive.configs] == ["config0", "config1"]


# Sizes


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("nonsense", 2**28),
        ("AdamLR_20_R2", 2**28),
        ("AdamLR_100000_R5", 75 * (64 * 100_001 + 2**18)),
        ("Unknown_10000_R5", 2**31),
        (f"AdamLR_{'9' * 100}_R9", 2**31),
    ],
)
def test_a_set_says_how_much_memory_its_archive_may_take(name, most):
    assert archives._limits.most_bytes(name) == most


def test_an_archive_that_is_larger_than_its_set_is_refused(root, monkeypatch):
    for bound in ("_LEAST_BYTES", "_MOST_BYTES"):
        monkeypatch.setattr(archives._limits, bound, 2**14)
    storage.write_npz(storage.archive_path(TASK, "Odd_20_R2", root), with_text("x" * 2**12))
    with pytest.raises(CorruptFileError, match=r"Odd_20_R2\.npz.* 16,?384"):
        archives.read_archive(TASK, "Odd_20_R2", root)
    with pytest.raises(CorruptFileError, match=r"Odd_20_R2\.npz.* 16,?384"):
        archives.load_archive(TASK, "Odd_20_R2", root)


@pytest.mark.parametrize("key", ["train/loss", "other"])
def test_a_small_file_takes_no_more_memory_than_it_tells_and_may(root, key):
    url = storage.archive_path(TASK, "AdamLR_20_R2", root)
    put(url, bomb({key: ((15, 2, 2**24), "|i1")}))  # 480 MiB
    assert len(storage.read_bytes(url)) < 2**20
    tracemalloc.start()
    with pytest.raises(CorruptFileError, match="268,435,456 bytes"):
        archives.read_archive(TASK, "AdamLR_20_R2", root)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * 2**20


def test_many_that_are_read_at_once_take_no_more_memory_than_one_may(root, monkeypatch):
    monkeypatch.setattr(archives._limits, "_MOST_BYTES", 2**25)
    names = [f"Odd{number}_20_R2" for number in range(6)]
    for name in names:
        put(
            storage.archive_path(TASK, name, root), bomb({"train/loss": ((1, 1, 5 * 2**20), "<f4")})
        )  # 20 MiB
    tracemalloc.start()
    read = archives.read_each([(TASK, name) for name in names], lambda archive: archive.num_steps, root)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert read == [5 * 2**20 - 1] * 6
    assert peak < 2**25
