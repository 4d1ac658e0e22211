import copy
import json
import pickle
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from curve_examples import OURS, SCHEDULE, example, original_curves, put
from examples import FIXTURES, REPOSITORY, TASK

from optsuite import curves, storage
from optsuite.curves import Curve
from optsuite.errors import StorageError

# A curve


def test_a_curve_is_an_immutable_copy():
    values = np.zeros(3)
    curve = Curve({"train/loss": values, "num_steps": 3, "opt_name": "Adam"})
    values[0] = 1
    assert curve["train/loss"].tolist() == [0, 0, 0]
    assert (curve["num_steps"].dtype, curve["num_steps"].shape) == (np.int64, ())
    assert (curve["opt_name"].dtype.kind, curve.opt_name) == ("U", "Adam")
    for same in (curve, copy.deepcopy(curve), pickle.loads(pickle.dumps(curve))):  # noqa: S301
        with pytest.raises(ValueError, match="read-only"):
            same["train/loss"][0] = 1
    with pytest.raises(TypeError, match="item assignment"):
        curve["train/loss"] = 1


def test_curves_are_equal_if_their_bits_are():
    curve = example(train_loss=[2.0] * 50 + [np.nan] * 51)
    assert curve == pickle.loads(pickle.dumps(curve))  # noqa: S301
    assert curve != example(seed=1)
    assert curve != dict(curve)
    assert Curve({"a": np.float32(1)}) != Curve({"a": np.float64(1)})
    with pytest.raises(TypeError, match="unhashable"):
        hash(curve)


def test_properties_read_the_keys():
    curve = example(seed=3)
    assert (curve.task_name, curve.opt_name, curve.seed) == (TASK, "SGD_lr0.1", 3)
    assert (curve.num_steps, curve.diverged_at, curve.is_diverged) == (100, None, False)
    assert "SGD_lr0.1, seed 3" in repr(curve)


# Assembling one


@pytest.mark.parametrize("folder", FIXTURES)
def test_a_curve_has_the_originals_keys_and_dtypes_and_ours(folder):
    curve = example()
    for path in original_curves(folder):
        original = storage.read_npz(str(path))
        assert curve.keys() - original.keys() == set(curves.ADDED_KEYS)
        assert set(original) == {*curves.REQUIRED_KEYS, *curves.EVAL_KEYS}
        for key, array in original.items():
            ours = curve[key]
            assert ours.dtype == array.dtype or ours.dtype.kind == array.dtype.kind == "U", key
            assert ours.shape == array.shape, key
        for key in ("train/xs", "eval/xs", *(k for k in original if k.endswith("_batches"))):
            np.testing.assert_array_equal(curve[key], original[key])


def test_extra_keys_join_and_unknown_measurements_are_marked():
    unknown = example()
    assert np.isnan(unknown["seconds_per_step"])
    assert (unknown["peak_memory_bytes"], unknown["flops_per_step"]) == (-1, -1)
    known = example(
        extra={"seconds_per_step": 1, "flops_per_step": 12.0, "trained_as": "vmap 70", "note": "x"}
    )
    assert known.keys() - unknown.keys() == {"note"}
    assert str(known["trained_as"]) == "vmap 70"
    for key in curves.ADDED_KEYS:
        assert known[key].dtype.kind == unknown[key].dtype.kind
    assert known["seconds_per_step"].dtype == np.float64
    assert known["flops_per_step"].dtype == known["peak_memory_bytes"].dtype == np.int64
    with pytest.raises(ValueError, match=r"new keys \(got seed\)"):
        example(extra={"seed": 1})


def test_accuracies_are_recorded_where_they_come():
    metrics = {name: np.ones(11) for name in [*OURS, "test/accuracy"]}
    assert example(eval_metrics=metrics)["eval/test/accuracy"].dtype == np.float32


def test_without_evaluations_there_are_no_eval_keys():
    curve = example(eval_batches=0, eval_metrics={})
    assert not [key for key in curve if key.startswith("eval/")]
    assert set(curve) == {*curves.REQUIRED_KEYS, *curves.ADDED_KEYS}
    with pytest.raises(ValueError, match="`eval_batches` is 0, but metrics came: train/loss"):
        example(eval_batches=0, eval_metrics={"train/loss": [1]})


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
@pytest.mark.parametrize(("step", "finite_evals"), [(0, 0), (1, 1), (10, 1), (11, 2), (100, 10)])
def test_a_curve_stays_nan_from_where_it_diverged(bad, step, finite_evals):
    loss = np.ones(101)
    loss[step] = bad  # what comes after it is finite again
    curve = example(train_loss=loss)
    assert (curve.diverged_at, curve.is_diverged) == (step, True)
    assert np.isfinite(curve["train/loss"]).sum() == step
    assert np.isnan(curve["train/loss"][step:]).all()
    for name in OURS:
        assert np.isfinite(curve[f"eval/{name}"]).sum() == finite_evals
        assert np.isnan(curve[f"eval/{name}"][finite_evals:]).all()


def test_wrong_lengths_and_missing_metrics_are_named():
    with pytest.raises(ValueError, match=r"`train_loss` needs shape \(101,\), got \(100,\)"):
        example(train_loss=np.ones(100))
    with pytest.raises(ValueError, match=r"`test/loss` needs shape \(11,\), got \(1, 11\)"):
        example(eval_metrics={**{n: np.ones(11) for n in OURS}, "test/loss": np.ones((1, 11))})
    with pytest.raises(ValueError, match="lacks outer_valid/loss_normalized"):
        example(eval_metrics={n: np.ones(11) for n in OURS if n != "outer_valid/loss_normalized"})


def test_steps_that_eval_every_does_not_divide():
    curve = example(num_steps=25)
    assert curve["eval/xs"].tolist() == [0, 10, 20]
    assert curve["train/xs"].tolist() == list(range(26))


# Names


def test_a_file_name_is_time_in_utc_and_id():
    time = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2)))
    assert curves.curve_filename("0123456789", time) == "20260102_010405_0123456789.curves"
    naive = time.replace(tzinfo=None)
    assert curves.curve_filename("0123456789", naive) == "20260102_030405_0123456789.curves"
    now = curves.curve_filename("0123456789")
    assert abs(datetime.strptime(now[:15] + "Z", "%Y%m%d_%H%M%S%z") - datetime.now(UTC)).seconds < 60
    with pytest.raises(StorageError, match=r"10 hexadecimal characters .got `xyz`"):
        curves.curve_filename("xyz")


# Writing


def test_a_written_curve_is_read_back(root, monkeypatch):
    curve = example(train_loss=[1.0] * 50 + [np.nan] * 51)
    url = curves.write_curve(curve, root)
    assert url.startswith(f"{root}/{TASK}/SGD_lr0.1/100_10_5_10/")
    assert Curve(storage.read_npz(url)) == curve
    monkeypatch.setenv("LOPT_BASELINE_DIR", root)
    (loaded,) = curves.load_baseline_results(TASK, "SGD_lr0.1", 100, 10, 5, 10)
    assert Curve(loaded) == curve


@pytest.fixture
def clock(monkeypatch):
    """Set the time that this machine believes it is."""
    from optsuite.curves import _names

    def set_to(*date):
        monkeypatch.setattr(
            _names, "datetime", SimpleNamespace(now=lambda _: time, strptime=datetime.strptime)
        )
        time = datetime(*date, tzinfo=UTC)

    return set_to


def files_of(curve, root):
    folder = storage.curve_dir(curve.task_name, curve.opt_name, **SCHEDULE, root=root)
    return curves.files_of_trial(folder, str(curve["trial_id"]))


def test_a_readable_curve_of_the_trial_is_left(root):
    first = curves.write_curve(example(), root)
    assert curves.write_curve(example(config_text="again"), root) == first
    assert Curve(curves.read_curve(first)) == example()


@pytest.mark.parametrize("now", [(2026, 1, 2), (2026, 1, 1), (2020, 1, 1)])
def test_a_rerun_replaces_its_twin_whatever_the_clock_says_and_no_other_file(root, clock, now):
    clock(2026, 1, 1)
    first, other = curves.write_curve(example(0), root), curves.write_curve(example(1), root)
    clock(*now)
    rerun = curves.write_curve(example(0, config_text="again"), root, replace=True)
    assert rerun > first
    assert storage.list_files(first.rpartition("/")[0], ".curves") == sorted([other, rerun])
    assert Curve(curves.read_curve(rerun)) == example(0, config_text="again")


@pytest.mark.parametrize("stamp", ["99991231_235959", "99999999_999999"])
def test_a_rerun_replaces_a_twin_of_the_end_of_time(root, stamp):
    first = curves.write_curve(example(), root)
    late = f"{first.rpartition('/')[0]}/{stamp}_{example()['trial_id']}.curves"
    storage.write_npz(late, example())
    rerun = curves.write_curve(example(config_text="again"), root, replace=True)
    assert files_of(example(), root) == [rerun]


@pytest.mark.parametrize("replace", [False, True])
def test_a_damaged_twin_is_replaced(root, clock, replace):
    clock(2026, 1, 2)
    put(curves.write_curve(example(), root), b"not a zip")
    clock(2026, 1, 1)
    url = curves.write_curve(example(), root, replace=replace)
    assert files_of(example(), root) == [url]
    assert Curve(curves.read_curve(url)) == example()


def test_an_older_twin_that_is_readable_is_kept_rather_than_a_damaged_one(root):
    first = curves.write_curve(example(), root)
    put(f"{first.rpartition('/')[0]}/99990101_000000_{example()['trial_id']}.curves", b"not a zip")
    assert curves.write_curve(example(), root) == first


@pytest.mark.parametrize(("other", "kept"), [("20200101", "ours"), ("99980101", "theirs")])
def test_runners_that_write_at_once_keep_the_last_by_name(root, monkeypatch, other, kept):
    url = files_of(example(), root)
    write_npz, written = storage.write_npz, []

    def write_beside_another(url, arrays):
        theirs = f"{url.rpartition('/')[0]}/{other}_000000_{arrays['trial_id']}.curves"
        for one in (theirs, url):
            write_npz(one, arrays)
            written.append(one)

    monkeypatch.setattr(storage, "write_npz", write_beside_another)
    url = curves.write_curve(example(), root)
    assert url == dict(zip(("theirs", "ours"), written, strict=True))[kept]
    assert files_of(example(), root) == [url]


@pytest.mark.parametrize("replace", [False, True])
def test_what_fails_after_a_curve_is_stored_costs_nothing(root, monkeypatch, replace):
    first = curves.write_curve(example(), root)
    if not replace:
        put(first, b"not a zip")
    list_files, listings = storage.list_files, []

    def fail(*_, **__):
        raise StorageError("gone")

    def list_once(*args):
        listings.append(args)
        return list_files(*args) if len(listings) == 1 else fail()

    monkeypatch.setattr(storage, "list_files", list_once)
    monkeypatch.setattr(storage, "remove", fail)
    url = curves.write_curve(example(config_text="again"), root, replace=replace)
    monkeypatch.undo()
    assert files_of(example(), root) == [first, url]  # in the order of reading, so that the new one is taken
    assert Curve(curves.read_curve(url)) == example(config_text="again")


def test_the_old_file_stays_if_the_rerun_cannot_be_written(root, monkeypatch):
    url = curves.write_curve(example(), root)

    def fail(url, arrays):
        raise StorageError("full")

    monkeypatch.setattr(storage, "write_npz", fail)
    with pytest.raises(StorageError, match="full"):
        curves.write_curve(example(), root, replace=True)
    assert storage.list_files(url.rpartition("/")[0], ".curves") == [url]


def test_what_could_not_be_read_back_is_not_written(root):
    odd = Curve({**example(), "train/loss": np.ones(100, np.float32)})
    with pytest.raises(StorageError, match=r"cannot write `.*`, it is not a curve: `train/loss` needs shape"):
        curves.write_curve(odd, root)


def test_runners_on_one_store_do_not_duplicate(tmp_path):
    code = (
        f"import sys; sys.path[:0] = [{str(REPOSITORY)!r}, {str(REPOSITORY / 'tests')!r}]\n"
        "from optsuite import curves\nfrom curve_examples import example\n"
        "for seed in [*range(5), *range(5)]: curves.write_curve(example(seed), sys.argv[1])"
    )
    runners = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) for _ in range(2)]
    assert [runner.wait() for runner in runners] == [0, 0]
    folder = storage.curve_dir(TASK, "SGD_lr0.1", **SCHEDULE, root=str(tmp_path))
    loaded = curves.load_baseline_results_from_dir(folder)
    assert sorted(int(arrays["seed"]) for arrays in loaded) == [0, 1, 2, 3, 4]
    assert len(list(Path(folder).iterdir())) == 5


@pytest.mark.parametrize("folder", FIXTURES)
def test_the_originals_files_have_no_trial_id(folder):
    directory = original_curves(folder)[0].parent
    assert curves.recorded_trial_ids(str(directory)) == set()
    with pytest.raises(StorageError, match="10 hexadecimal"):
        curves.write_curve(Curve(storage.read_npz(str(original_curves(folder)[0]))), "memory://x")


# Reading


@pytest.mark.parametrize("folder", FIXTURES)
@pytest.mark.parametrize("threads", [0, 8])
def test_the_originals_files_are_read_in_order(folder, threads):
    paths = original_curves(folder)
    assert paths
    for directory in sorted({path.parent for path in paths}):
        loaded = curves.load_baseline_results_from_dir(str(directory), "curves", threads)
        direct = [np.load(path) for path in sorted(directory.iterdir())]
        assert len(loaded) == len(direct) == 2
        for ours, theirs in zip(loaded, direct, strict=True):
            assert Curve(ours) == Curve(dict(theirs.items()))
            assert (Curve(ours).seed, Curve(ours).is_diverged) == (None, False)
            theirs.close()


def test_a_missing_folder_has_no_curves(root):
    assert curves.load_baseline_results_from_dir(f"{root}/none") == []
    assert curves.recorded_trial_ids(f"{root}/none") == set()


def folder_with_bad_files(root):
    urls = [curves.write_curve(example(seed), root) for seed in range(3)]
    folder = urls[0].rpartition("/")[0]
    put(f"{folder}/20260101_000000_aaaaaaaaaa.curves", b"not a zip")
    storage.write_npz(f"{folder}/20260101_000000_bbbbbbbbbb.curves", {"foreign": 1})
    return folder, sorted(urls)


@pytest.mark.parametrize("threads", [0, 4])
def test_bad_files_are_named_and_do_not_cost_the_others(root, threads):
    folder, _ = folder_with_bad_files(root)
    names = r"(?s)left out 2 of .*_aaaaaaaaaa\.curves.*_bbbbbbbbbb\.curves.*keys are foreign"
    with pytest.warns(curves.CorruptFileWarning, match=names) as caught:
        loaded = curves.load_baseline_results_from_dir(folder, threads=threads)
    assert len(caught) == 1
    assert sorted(int(arrays["seed"]) for arrays in loaded) == [0, 1, 2]


def test_bad_files_are_set_aside_if_asked(root):
    folder, urls = folder_with_bad_files(root)
    assert len(curves.load_baseline_results_from_dir(folder, clear_bad_files=True)) == 3
    assert storage.list_files(folder, ".curves") == urls
    assert len(storage.list_files(folder, ".curves.bad")) == 2
    assert len(curves.load_baseline_results_from_dir(folder)) == 3


def test_a_file_that_cannot_be_fetched_is_never_set_aside(tmp_path):
    url = curves.write_curve(example(), str(tmp_path))
    odd = Path(url).with_name("20260101_000000_cccccccccc.curves")
    odd.mkdir()
    with pytest.warns(curves.CorruptFileWarning, match="_cccccccccc"):
        loaded = curves.load_baseline_results_from_dir(str(odd.parent), clear_bad_files=True)
    assert len(loaded) == 1
    assert odd.is_dir()


def test_a_file_replaced_after_the_listing_is_found_again(root, monkeypatch):
    folder = curves.write_curve(example(), root).rpartition("/")[0]
    list_files, listings = storage.list_files, []

    def list_then_rerun(dir_url, suffix):
        urls = list_files(dir_url, suffix)
        listings.append(urls)
        if len(listings) in (1, 4):  # those between are of the rerun itself
            curves.write_curve(example(), root, replace=True)
        return urls

    monkeypatch.setattr(storage, "list_files", list_then_rerun)
    assert len(curves.load_baseline_results_from_dir(folder)) == 1


def test_other_output_types_are_read_by_their_suffix(root):
    storage.write_npz(f"{root}/a.timings", {"anything": 1})
    (loaded,) = curves.load_baseline_results_from_dir(root, "timings")
    assert loaded.keys() == {"anything"}


def test_configuration_text_survives(root):
    text = json.dumps({"lr": 0.1, "µ": "ü\n"})
    assert (
        str(storage.read_npz(curves.write_curve(example(config_text=text), root))["gin_operative_config"])
        == text
    )


# Folders


def fill_folders(root):
    for task in ("Conv", "MLP"):
        for label in ("Adam_lr0.1", "AdamW_lr0.1", "SGD_lr0.1"):
            curves.write_curve(example(task_name=task, opt_name=label), root)
    curves.write_curve(example(task_name="MLP", opt_name="SGD_lr0.1", num_steps=20), root)
    storage.write_npz(f"{root}/MLP/notes.npz", {"a": 1})


@pytest.mark.parametrize(
    ("tasks", "configs", "expected"),
    [
        ("Conv", "SGD_lr0.1", ["Conv/SGD_lr0.1/100_10_5_10"]),
        ("*", "Adam_*", ["Conv/Adam_lr0.1/100_10_5_10", "MLP/Adam_lr0.1/100_10_5_10"]),
        (["MLP", "Conv"], "AdamW*", ["MLP/AdamW_lr0.1/100_10_5_10", "Conv/AdamW_lr0.1/100_10_5_10"]),
        (
            "MLP",
            ["SGD*", "[!S]*W*"],
            [f"MLP/{s}_10_5_10" for s in ("SGD_lr0.1/100", "SGD_lr0.1/20", "AdamW_lr0.1/100")],
        ),
        ("MLP", ["Lion", "Q*"], []),
        (["RNN", "Q*"], "*", []),
    ],
)
def test_folders_are_found_by_names_and_globs(root, tasks, configs, expected):
    fill_folders(root)
    assert ["/".join(names) for names in curves.find_folders(tasks, configs, root)] == expected


@pytest.mark.parametrize("folder", FIXTURES)
def test_the_originals_folders_are_found(folder):
    found = curves.find_folders("*", "*", str(folder / "baselines"))
    assert found
    parents = {path.parent.relative_to(folder / "baselines").parts for path in original_curves(folder)}
    assert found == sorted(parents)


def test_an_empty_root_has_no_folders(root):
    assert curves.find_folders("*", "*", root) == []


def test_no_more_folders_are_listed_than_the_globs_need(root, monkeypatch):
    fill_folders(root)
    listing, listed = storage._files._listing, []
    monkeypatch.setattr(storage._files, "_listing", lambda url: listed.append(url) or listing(url))
    curves.find_folders(["MLP", "Conv"], "SGD_lr0.1", root)
    assert sorted(listed) == [f"{root}/{task}/SGD_lr0.1" for task in ("Conv", "MLP")]
