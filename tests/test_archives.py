import warnings
from collections.abc import Mapping
from types import SimpleNamespace

import fsspec
import numpy as np
import pytest
from examples import FIXTURE_LRS, FIXTURES, TASK, fixture_labels
from hypothesis import given
from hypothesis import strategies as st
from mutations import mutated

from optsuite import archives, curves, storage
from optsuite.errors import StorageError
from optsuite.hparam_sets import Config, Schedule, trial_id

SCHEDULE = {"num_steps": 20, "eval_every": 10, "eval_batches": 5, "last_eval_batches": 10}
LABELS = ("SGD_lr0.001", "SGD_lr0.01", "SGD_lr0.1")
METRICS = ("loss", "loss_normalized", "accuracy")


def hparam_set(name="SGDLR_20_R2", labels=LABELS, repetitions=2, num_steps=20):
    """A set of any labels, which no family has."""
    configs = [Config(label, "SGD", {"lr": 0.1}) for label in labels]
    schedule = Schedule(num_steps, 10, 5, 10)
    return SimpleNamespace(name=name, repetitions=repetitions, schedule=schedule, configs=configs)


def example(label=LABELS[0], seed=0, value=None, **changes):
    value = seed + 10 * len(label) if value is None else value
    arguments = {
        **SCHEDULE,
        "task_name": TASK,
        "opt_name": label,
        "seed": seed,
        "train_loss": np.full(21, value),
        "eval_metrics": {
            f"{s}/{m}": np.full(3, value) for s in ("train", "outer_valid", "test") for m in METRICS
        },
        "data_source": "synthetic",
        "config_text": label,
        "accelerator_platform": "cpu",
        "accelerator_kind": "cpu",
        "accelerator_devs": 1,
        "trial_id": trial_id({"opt": label, "seed": seed}),
    }
    return curves.make_curve(**{**arguments, **changes})


def fill(root, labels=LABELS, seeds=(0, 1)):
    return {
        (label, seed): curves.write_curve(example(label, seed), root) for label in labels for seed in seeds
    }


# Stacking


@given(st.integers(1, 4), st.integers(1, 4))
def test_stacking_then_indexing_is_the_identity(num_configs, repetitions):
    curves_hs = [[example("O" * (h + 1), seed=s) for s in range(repetitions)] for h in range(num_configs)]
    stacked = archives.stack_curves(curves_hs)
    assert stacked["train/loss"].shape == (num_configs, repetitions, 21)
    assert stacked["train/loss"].dtype == np.float32
    assert stacked["opt_name"].dtype == f"<U{num_configs}"
    for h, row in enumerate(curves_hs):
        for s, curve in enumerate(row):
            assert curves_equal({key: array[h, s] for key, array in stacked.items()}, curve)


def curves_equal(left: Mapping, right: Mapping):
    return left.keys() == right.keys() and all(
        np.array_equal(left[key], right[key], equal_nan=np.asarray(right[key]).dtype.kind == "f")
        for key in left
    )


def test_curves_that_do_not_fit_together_are_named():
    plain = {"a": np.zeros(3), "b": 1}
    cases = [
        ([[plain, {"a": np.zeros(3), "c": 1}]], "config 0, repetition 1 lacks b and adds c"),
        ([[plain], [{"a": np.zeros(4), "b": 1}]], r"`a` is float64 \(3,\) .*\(4,\) in config 1"),
        ([[plain], [{"a": np.zeros(3), "b": 1.0}]], r"`b` is int64 .*float64 \(\) in config 1"),
        ([[plain, plain], [plain]], r"equally many curves.*got \[2, 1\]"),
        ([[], []], r"at least one, of every config \(got \[0, 0\]\)"),
        ([], r"got \[\]"),
    ]
    for curves_hs, message in cases:
        with pytest.raises(StorageError, match=message):
            archives.stack_curves(curves_hs)
    with pytest.raises(StorageError, match=r"compared with x\.curves, y\.curves lacks a, b"):
        archives.stack_curves([[plain, {}]], [["x.curves", "y.curves"]])


# Building from the original's curves


def by_repetition(archive):
    """Each config's repetitions as a set of bits: the original stacked them in no set order."""
    return [
        {
            tuple((key, archive[key][h, s].tobytes()) for key in sorted(archive))
            for s in range(archive["num_steps"].shape[1])
        }
        for h in range(archive["num_steps"].shape[0])
    ]


@pytest.mark.parametrize("fixtures", FIXTURES)
@pytest.mark.parametrize("threads", [0, 8])
def test_the_originals_curves_give_the_originals_archive(fixtures, threads, tmp_path):
    paths = sorted((fixtures / "archives" / TASK).glob("*.npz"))
    assert paths
    for path in paths:
        cell = hparam_set(path.stem, fixture_labels(path), num_steps=100)
        root = str(fixtures / "baselines")
        url = archives.build_archive(TASK, cell, root, str(tmp_path), threads)
        assert url == f"{tmp_path}/{TASK}/{path.name}"
        ours = archives.load_archive(TASK, path.stem, root=str(tmp_path))
        theirs = archives.load_archive(TASK, path.stem, root=str(fixtures / "archives"))
        assert {k: (a.dtype, a.shape) for k, a in ours.items()} == {
            k: (a.dtype, a.shape) for k, a in theirs.items()
        }
        assert by_repetition(ours) == by_repetition(theirs)
        assert "curve_file" not in ours  # so that the keys are the original's


# Building from ours


@pytest.mark.parametrize("threads", [0, 8])
def test_a_complete_cell_is_archived_in_the_order_of_set_and_seed(root, threads):
    for seed in (2, 1, 0):  # written in no order, and one more than the set asks for
        fill(root, seeds=[seed])
    url = archives.build_archive(TASK, hparam_set(), root, f"{root}/archives", threads)
    assert url == f"{root}/archives/{TASK}/SGDLR_20_R2.npz"
    archive = archives.load_archive(TASK, "SGDLR_20_R2", f"{root}/archives")
    assert archive["seed"].tolist() == [[0, 1]] * 3
    assert archive["opt_name"].tolist() == [[label] * 2 for label in LABELS]
    assert archive["eval/train/loss"].shape == (3, 2, 3)
    assert archive["eval/test/accuracy"].dtype == np.float32
    assert archive["num_steps"].dtype == np.int64
    assert archive["gin_operative_config"].dtype == "<U11"


def test_default_roots_come_from_the_environment(root, monkeypatch):
    monkeypatch.setenv("LOPT_BASELINE_DIR", f"{root}/curves/")
    monkeypatch.setenv("LOPT_BASELINE_ARCHIVES_DIR", f"{root}/archives/")
    fill(None)
    assert archives.build_archive(TASK, hparam_set())
    assert archives.list_hparam_sets_for_task(TASK) == ["SGDLR_20_R2"]
    assert archives.load_archive(TASK, "SGDLR_20_R2")["seed"].shape == (3, 2)


def test_an_incomplete_cell_is_not_archived_and_says_what_it_lacks(root):
    assert archives.missing_repetitions(TASK, hparam_set(labels=LABELS[:1]), root) == [
        (LABELS[0], 0),
        (LABELS[0], 1),
    ]
    urls = fill(root)
    assert archives.missing_repetitions(TASK, hparam_set(), root) == []
    storage.remove(urls[LABELS[1], 1])
    assert archives.missing_repetitions(TASK, hparam_set(), root) == [(LABELS[1], 1)]
    assert archives.build_archive(TASK, hparam_set(), root, root) is None
    assert archives.list_hparam_sets_for_task(TASK, root) == []


def test_seeds_beyond_the_sets_do_not_stand_in(root):
    fill(root, seeds=(0, 2))
    assert archives.missing_repetitions(TASK, hparam_set(labels=LABELS[:1]), root) == [(LABELS[0], 1)]


def test_curves_of_other_trials_are_missing_if_the_trials_are_told(root):
    fill(root)
    others = IDS - {str(example(LABELS[1], 0)["trial_id"])}
    assert archives.missing_repetitions(TASK, hparam_set(), root, trial_ids=others) == [(LABELS[1], 0)]
    assert archives.build_archive(TASK, hparam_set(), root, root, trial_ids=others) is None


def test_the_newest_curve_of_a_seed_is_archived(root):
    folder = fill(root)[LABELS[0], 0].rpartition("/")[0]
    newer = example(value=77)
    storage.write_npz(f"{folder}/99990101_000000_{newer['trial_id']}.curves", newer)
    archives.build_archive(TASK, hparam_set(), root, root)
    assert archives.load_archive(TASK, "SGDLR_20_R2", root)["train/loss"][0, 0, 0] == 77


def test_curves_with_other_keys_are_named(root):
    fill(root)
    url = curves.write_curve(example(LABELS[2], 1, extra={"note": "x"}), root, replace=True)
    name = url.rpartition("/")[2]
    with pytest.raises(StorageError, match=rf"{name} lacks none and adds note"):
        archives.build_archive(TASK, hparam_set(), root, root)


def test_a_bad_file_beside_a_complete_cell_does_not_stop_its_archive(root):
    folder = fill(root)[LABELS[0], 0].rpartition("/")[0]
    with fsspec.open(f"{folder}/20260101_000000_aaaaaaaaaa.curves", "wb") as file:
        file.write(b"bad")
    with pytest.warns(curves.CorruptFileWarning, match=r"_aaaaaaaaaa\.curves"):
        assert archives.build_archive(TASK, hparam_set(), root, f"{root}/archives")
    assert archives.build_archive(TASK, hparam_set(), root, root, clear_bad_files=True)
    assert len(storage.list_files(folder, ".curves.bad")) == 1


def test_an_archive_is_rewritten_only_if_its_curves_changed(root, monkeypatch):
    fill(root)
    url = archives.build_archive(TASK, hparam_set(), root, root)
    write_npz, written = storage.write_npz, []

    def record(url, arrays):
        written.append(url)
        write_npz(url, arrays)

    monkeypatch.setattr(storage, "write_npz", record)
    assert archives.build_archive(TASK, hparam_set(), root, root) == url
    assert written == []
    curves.write_curve(example(value=77), root, replace=True)
    written.clear()
    assert archives.build_archive(TASK, hparam_set(), root, root) == url
    assert written == [url]


# Recognising an archive that is current by the names of its curves


IDS = {str(example(label, seed)["trial_id"]) for label in LABELS for seed in (0, 1)}


@pytest.fixture
def reads(monkeypatch):
    """URLs of the npz files that were read."""
    init, urls = storage.Npz.__init__, []

    def record(npz, url, **options):
        urls.append(url)
        init(npz, url, **options)

    monkeypatch.setattr(storage.Npz, "__init__", record)
    return urls


def build(root, trial_ids=frozenset(IDS)):
    return archives.build_archive(TASK, hparam_set(), root, f"{root}/archives", trial_ids=trial_ids)


def test_an_archive_of_ours_holds_the_names_of_its_curves_files(root):
    urls = fill(root)
    archive = storage.read_npz(build(root))
    names = [[urls[label, seed].rpartition("/")[2] for seed in (0, 1)] for label in LABELS]
    assert archive["curve_file"].tolist() == names
    assert archive["curve_file"].dtype.kind == "U"
    assert archive.keys() - example().keys() == {"curve_file"}


def test_a_current_archive_is_recognised_without_reading_a_curve(root, reads):
    fill(root)
    url = build(root)
    reads.clear()
    assert build(root) == url
    assert reads == [url]
    fill(root, seeds=(2,))  # another trial in the same folders is not the cell's
    reads.clear()
    assert build(root) == url
    assert reads == [url]


def test_without_trial_ids_every_curve_is_read(root, reads):
    fill(root)
    build(root)
    reads.clear()
    build(root, trial_ids=None)
    assert sum(url.endswith(".curves") for url in reads) == len(IDS)


def test_an_archive_is_rebuilt_when_a_curve_was_rerun(root, reads):
    fill(root)
    url = build(root)
    newer = curves.write_curve(example(value=77), root, replace=True)
    assert build(root) == url
    archive = storage.read_npz(url)
    assert archive["train/loss"][0, 0, 0] == 77
    assert archive["curve_file"][0, 0] == newer.rpartition("/")[2]
    reads.clear()
    assert build(root) == url
    assert reads == [url]


def test_a_missing_curve_makes_a_cell_incomplete_whatever_its_archive_holds(root):
    urls = fill(root)
    url = build(root)
    storage.remove(urls[LABELS[1], 1])
    assert build(root) is None
    later = example(LABELS[1], 1, value=55)
    folder = urls[LABELS[1], 1].rpartition("/")[0]
    storage.write_npz(f"{folder}/99990101_000000_{later['trial_id']}.curves", later)
    assert build(root) == url
    assert storage.read_npz(url)["train/loss"][1, 1, 0] == 55


def test_other_trials_of_the_same_seed_are_left_alone(root):
    fill(root)
    url = build(root)
    other = example(value=9999, trial_id="aaaaaaaaaa")  # e.g. on data of another kind
    curves.write_curve(other, root)
    assert build(root) == url
    assert storage.read_npz(url)["train/loss"].max() < 9999
    archives.delete_archive("SGDLR_20_R2", TASK, f"{root}/archives")
    assert storage.read_npz(build(root))["train/loss"].max() < 9999
    assert storage.read_npz(build(root, trial_ids=None))["train/loss"][0, 0, 0] == 9999


@pytest.mark.parametrize("damage", ["truncated", "flipped", "foreign", "older", "odd", "smaller"])
def test_a_damaged_archive_is_rebuilt(root, damage):
    fill(root)
    url = build(root)
    whole = storage.read_npz(url)
    if damage == "truncated":
        storage.write_bytes(url, storage.read_bytes(url)[:-200])
    elif damage == "flipped":  # a bit of an array that says nothing about files
        content = bytearray(storage.read_bytes(url))
        content[content.index(b"eval/train/loss.npy") + 60] ^= 1
        storage.write_bytes(url, bytes(content))
    elif damage == "foreign":
        storage.write_npz(url, {"a": 1})
    elif damage == "odd":  # of the same files, as it says
        storage.write_npz(url, {**whole, "eval/xs": whole["eval/xs"] + 0.5})
    elif damage == "smaller":
        part = {key: array[:2] for key, array in whole.items()}
        storage.write_npz(url, {**part, "curve_file": whole["curve_file"].reshape(2, 3)[:, :2]})
    else:  # written before archives held the names of files
        storage.write_npz(url, {key: array for key, array in whole.items() if key != "curve_file"})
    assert build(root) == url
    assert curves_equal(storage.read_npz(url), whole)


def test_an_archive_is_made_whatever_lies_in_its_place(root):
    fill(root)
    url = build(root)
    content, rng = storage.read_bytes(url), np.random.default_rng(1)
    for _ in range(30):
        storage.write_bytes(url, mutated(content, rng))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of other hyperparameters, as it may tell
            assert build(root) == url
        assert storage.read_npz(url)["curve_file"].shape == (3, 2)


@pytest.mark.parametrize("fixtures", FIXTURES)
def test_the_originals_curves_are_archived_whatever_trials_are_asked_for(fixtures, tmp_path):
    labels = [f"SGD_lr{lr}" for lr in FIXTURE_LRS]
    cell = hparam_set("SGDLR_100_R2", labels, num_steps=100)
    root = str(fixtures / "baselines")
    url = archives.build_archive(TASK, cell, root, str(tmp_path), trial_ids=IDS)
    theirs = archives.load_archive(TASK, "SGDLR_100_R2", str(fixtures / "archives"))
    assert storage.read_npz(url).keys() == theirs.keys()
