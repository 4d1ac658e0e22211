"""The one value that readers of archives share: its facts, its lazy arrays, its errors."""

import uuid

import numpy as np
import pytest
from examples import FIXTURE_LRS, FIXTURES, TASK, fixture_labels, make_archive, sgd

from optsuite import archives, storage
from optsuite.archives import Absent, NotEvaluatedError, RecordedConfig
from optsuite.hparam_sets import Schedule, get_hparam_set
from optsuite.storage import CorruptFileError, MissingFileError

NAN = np.nan


@pytest.fixture
def root(tmp_path):
    return str(tmp_path / "archives")


def describe(arrays, hparam_set="SGDLR_20_R2", store=""):
    url = f"r/{TASK}/{hparam_set}.npz"
    return archives.describe(arrays, task=TASK, hparam_set=hparam_set, url=url, store=store)


# Facts


@pytest.mark.parametrize("fixtures", FIXTURES)
def test_the_originals_archives_are_read_as_numpy_reads_them(fixtures):
    paths = sorted((fixtures / "archives" / TASK).glob("*.npz"))
    assert paths
    for path in paths:
        archive = archives.read_archive(TASK, path.stem, str(fixtures / "archives"))
        arrays = storage.read_npz(str(path))
        assert (archive.seeds, archive.data_source, archive.is_stand_in) == (None, None, False)
        assert (archive.num_steps, archive.schedule) == (100, Schedule(100))
        labels = zip(fixture_labels(path), FIXTURE_LRS, strict=True)
        assert archive.configs == tuple(RecordedConfig(label, {"lr": lr}) for label, lr in labels)
        assert dict(archive.arrays).keys() == arrays.keys()
        curves = archive.curves("eval/xs", "eval/test/loss")
        assert list(curves) == ["eval/xs", "eval/test/loss"]
        for key, values in arrays.items():
            np.testing.assert_array_equal(archive.arrays[key], values, strict=True)


def test_the_facts_of_ours():
    arrays = make_archive(sgd(0.1, 1), seeds=(7, 3, 2**60 + 1))
    archive = describe(arrays)
    assert archive.seeds.tolist() == [[7, 3, 2**60 + 1]] * 2
    assert (archive.data_source, archive.is_stand_in) == ("synthetic", True)
    assert archive.schedule == Schedule(20, 10, 5, 10)
    assert not describe(make_archive(sgd(1), data_source="real")).is_stand_in
    arrays["data_source"][...] = "real"
    arrays["data_source"][1, 2] = "synthetic"  # one trial is enough
    assert describe(arrays).data_source == "synthetic"
    assert describe({"train/loss": np.zeros((1, 1, 5))}).schedule is None


def test_a_store_is_called_by_its_root_or_by_its_label(root):
    archives.write_archive(TASK, "S", make_archive(sgd(1)), root)
    here, there = (archives.read_archive(TASK, "S", root, store=label) for label in ("", "mine"))
    assert (here.store, there.store) == (root, "mine")
    assert here.root == there.root == root
    (absent,) = archives.read_each([("T", "S")], id, f"{root}/", "mine")
    assert (absent.store, absent.root) == ("mine", root)


def test_a_hyperparameter_is_nan_where_a_config_has_no_number():
    hparams = {"a": {"lr": 1, "nesterov": True, "mode": "x"}, "b": {"lr": 0.5}, "c": {}}
    archive = describe(make_archive(hparams))
    np.testing.assert_array_equal(archive.hparam("lr"), [1, 0.5, NAN])
    for name in ("nesterov", "mode", "nothing"):
        np.testing.assert_array_equal(archive.hparam(name), [NAN] * 3)


# Arrays


def test_a_file_is_fetched_once_and_only_what_is_asked_for_is_decompressed(root, monkeypatch):
    archives.write_archive(TASK, "S", make_archive(sgd(0.1, 1)), root)
    fetched, opened = [], []
    read_bytes, getitem = storage._npz.read_bytes, storage.Npz.__getitem__
    monkeypatch.setattr(storage._npz, "read_bytes", lambda url, **w: fetched.append(url) or read_bytes(url))
    monkeypatch.setattr(storage.Npz, "__getitem__", lambda npz, key: opened.append(key) or getitem(npz, key))
    archive = archives.read_archive(TASK, "S", root)
    assert not any(key.startswith("eval/") for key in opened)
    first = archive.curves("eval/xs", "eval/test/loss")["eval/test/loss"]
    assert archive.curves("eval/test/loss")["eval/test/loss"] is first
    assert {key for key in opened if key.startswith("eval/")} == {"eval/xs", "eval/test/loss"}
    assert fetched == [f"{root}/{TASK}/S.npz"]


def test_damage_in_an_array_is_found_when_it_is_asked_for(root):
    url = archives.write_archive(TASK, "S", make_archive(sgd(0.1, 1)), root)
    content = bytearray(storage.read_bytes(url))
    content[content.index(b"eval/test/loss.npy") + 60] ^= 1
    storage.write_bytes(url, bytes(content))
    archive = archives.read_archive(TASK, "S", root)
    assert archive.curves("eval/train/loss")["eval/train/loss"].shape == (2, 2, 3)
    with pytest.raises(CorruptFileError, match=r"S\.npz` is not a readable npz"):
        archive.curves("eval/test/loss")


# Configs


def test_our_configs_are_told_by_their_json():
    hparams = {"a": {"lr": 1e-7, "nesterov": True, "mode": "x"}, "b": {}}
    assert describe(make_archive(hparams)).configs == (
        RecordedConfig("a", hparams["a"]),
        RecordedConfig("b", {}),
    )


def test_a_hyperparameter_that_is_no_number_or_word_is_left_out():
    text = '{"hparams": {"lr": {"x": 1}, "b": null, "c": "x"}}'
    assert archives.recorded_config("a", text).hparams == {"c": "x"}


GIN = """
# Parameters for Adam:
Adam.beta1 = 0.9
Adam.learning_rate = {lr}

inner_train_task.opt = @Adam()
inner_train_task.opt_name = '{label}'
inner_train_task.task_name = 'T'
"""


@pytest.mark.parametrize("lr", ["0.001", "1e-07", "1", "3.5e+2"])
def test_the_originals_configs_are_told_by_their_gin(lr):
    text = GIN.format(lr=lr, label=f"Adam_lr{lr}")
    told = archives.recorded_config("UnnamedOptimizer", text)
    assert told == RecordedConfig(f"Adam_lr{lr}", {"lr": float(lr)})


def test_tuples_are_lists_in_our_json_and_tuples_again_when_read():
    text = '{"hparams": {"lr": 0.1, "betas": [0.9, 0.99], "fused": true}}'
    expected = {"lr": 0.1, "betas": (0.9, 0.99), "fused": True}
    assert archives.recorded_config("Mine", text) == RecordedConfig("Mine", expected)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "SGD_lr1",
        "3",
        "null",
        '"hparams"',
        '{"lr": 1}',
        "[1]",
        '{"hparams": [1]}',
        "Adam.learning_rate = @Decay()",
    ],
)
def test_a_config_of_unknown_text_has_its_recorded_name(text):
    assert archives.recorded_config("Mine", text) == RecordedConfig("Mine", {})


def unnamed_archive(num_configs):
    """As the original would write it, had it kept no text: all configs have one name."""
    archive = make_archive(sgd(*range(num_configs)))
    return {**archive, "opt_name": np.full_like(archive["opt_name"], "UnnamedOptimizer")}


def test_configs_that_share_a_name_are_told_by_their_set():
    configs = get_hparam_set("RAdamLR_20_R2").configs
    told = describe(unnamed_archive(len(configs)), "RAdamLR_20_R2").configs
    assert told == tuple(RecordedConfig(config.label, config.hparams) for config in configs)
    bare = {"train/loss": np.zeros((len(configs), 2, 21))}
    assert describe(bare, "RAdamLR_20_R2").configs == told


@pytest.mark.parametrize("hparam_set", ["RAdamLR_20_R2", "Unknown_20_R2", "what ever"])
def test_configs_of_no_name_are_numbered(hparam_set):
    told = describe(unnamed_archive(2), hparam_set).configs
    assert told == (RecordedConfig("config0", {}), RecordedConfig("config1", {}))


# Damaged archives


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"eval/train/loss": None}, r"S\.npz` is not a complete archive: it lacks eval/train/loss \(it has "),
        ({"train/loss": None}, r"lacks train/loss \("),
        ({"train/xs": None, "eval/xs": None}, r"lacks train/xs, eval/xs \("),
        ({"train/loss": np.zeros((2, 21))}, r"`train/loss` needs shape \(configs, .*, got \(2, 21\)"),
        ({"train/loss": np.float32(1)}, r"`train/loss` needs shape .*, got \(\)"),
        ({"train/loss": np.zeros((2, 2, 20))}, r"`num_steps` needs the length of train/loss, 19, got 20"),
        ({"train/loss": np.zeros((0, 2, 21))}, r"`train/loss` .*got \(0, 2, 21\)"),
        ({"train/loss": np.zeros((2, 3, 21))}, r"`opt_name` needs .*here \(2, 3\), got \(2, 2\)"),
        (
            {"eval/test/loss": np.zeros((2, 3, 3))},
            r"`eval/test/loss` needs .*here \(2, 2, 3\), got \(2, 3, 3\)",
        ),
        ({"eval/xs": np.zeros(3)}, r"`eval/xs` needs .*here \(2, 2, 3\), got \(3,\)"),
        ({"eval/train/loss": np.zeros((2, 2, 4))}, r"`eval/train/loss` needs .*got \(2, 2, 4\)"),
        ({"eval/test/accuracy": np.zeros((2, 2))}, r"`eval/test/accuracy` needs .*got \(2, 2\)"),
        ({"opt_name": np.array(["a", "b"])}, r"`opt_name` needs .*here \(2, 2\), got \(2,\)"),
        ({"data_source": "real"}, r"`data_source` needs .*got \(\)"),
        ({"seconds_per_step": np.zeros((0,))}, r"`seconds_per_step` needs .*got \(0,\)"),
        ({"train/loss": np.full((2, 2, 21), "x")}, r"`train/loss` needs numbers, got <U1"),
        ({"eval/train/loss": np.full((2, 2, 3), "x")}, r"`eval/train/loss` needs numbers, got <U1"),
        ({"seed": np.full((2, 2), np.nan)}, r"`seed` needs integers, got float64"),
        ({"opt_name": np.zeros((2, 2))}, r"`opt_name` needs text, got float64"),
        ({"eval_every": np.zeros((2, 2), int)}, r"not an archive: `eval_every` must be .* \(got 0\)"),
    ],
)
def test_an_error_about_an_archive_names_file_and_key(changes, message):
    arrays = {**make_archive(sgd(0.1, 1)), "seconds_per_step": np.ones((2, 2)), **changes}
    arrays = {key: np.asarray(array) for key, array in arrays.items() if array is not None}
    with pytest.raises(CorruptFileError, match=message) as error:
        check_all(arrays)
    assert f"r/{TASK}/S.npz" in str(error.value)


def check_all(arrays):
    archive = describe(arrays, "S")
    evaluated = ("eval/xs", "eval/train/loss", "eval/test/loss", "eval/test/accuracy")
    return archive.curves("train/xs", "train/loss", *evaluated), archive.values("seconds_per_step")


def test_only_what_is_asked_for_is_checked():
    archive = describe({**make_archive(sgd(0.1)), "eval/test/loss": np.zeros(3)})
    assert archive.curves("eval/xs", "eval/train/loss").keys() == {"eval/xs", "eval/train/loss"}
    assert archive.values("nothing") is None


def test_an_archive_without_evaluations_is_told_from_a_damaged_one():
    arrays = make_archive(sgd(1), eval_batches=0, eval_metrics={})
    without = describe(arrays, "S")
    assert not without.has_evaluations
    with pytest.raises(NotEvaluatedError, match=r"S\.npz` was .* \(eval_batches=0\): it lacks eval/xs$"):
        without.curves("eval/xs", "train/loss")
    with pytest.raises(CorruptFileError, match="lacks train/nothing, eval/xs"):
        without.curves("train/nothing", "eval/xs")
    del arrays["eval_batches"]
    assert describe(arrays).has_evaluations
    with pytest.raises(CorruptFileError, match=r"is not a complete archive: it lacks eval/xs \("):
        describe(arrays).curves("eval/xs")


# Many archives


def read(tasks, sets, root=None):
    return archives.read_each(archives.find_cells(tasks, sets, root), lambda archive: archive, root)


def test_each_archive_is_used_in_the_order_of_the_cells(root):
    for name in ("A", "B"):
        archives.write_archive(TASK, name, make_archive(sgd(1)), root)
    storage.write_bytes(storage.archive_path(TASK, "Bad", root), b"not a zip")
    cells = [(TASK, name) for name in ("B", "Bad", "A", "None", "B")]

    def use(archive):
        if archive.hparam_set == "A":
            raise CorruptFileError("no use")
        return archive.hparam_set

    used = archives.read_each((cell for cell in cells), use, root)
    reasons = [one.reason if isinstance(one, Absent) else one for one in used]
    assert reasons == ["B", "unreadable", "unreadable", "missing", "B"]
    assert str(used[2].error) == "no use"
    assert (used[3].task, used[3].hparam_set, used[3].url) == (TASK, "None", f"{root}/{TASK}/None.npz")
    assert isinstance(used[3].error, MissingFileError)
    assert archives.require_any(used, root) == used


def test_one_missing_archive_is_an_error_that_says_what_there_is(root):
    archives.write_archive(TASK, "A", make_archive(sgd(1)), root)
    with pytest.raises(MissingFileError, match=rf"archive of `S` for task `{TASK}` .*: its archives are A$"):
        archives.read_archive(TASK, "S", root)


def test_no_archive_at_all_is_an_error_that_names_what_was_asked(root):
    with pytest.raises(MissingFileError, match=rf"^no archives of `S` of `T` in `{root}`$"):
        archives.require_any(read("T", "S", root), root)
    asked = "`A` of `T`, `B` of `T`, `C` of `T` and 2 more"
    with pytest.raises(MissingFileError, match=rf"^no archives of {asked} in `{root}`$"):
        archives.require_any(read("T", list("ABCDE"), root), f"{root}/")
    with pytest.raises(MissingFileError, match=rf"^no archives in `{root}`$"):
        archives.require_any([], root)
    with pytest.raises(MissingFileError, match=rf"^no archives in `{root}`$"):
        archives.require_any(read("*", "*", root), root)


@pytest.mark.parametrize("kind", ["folder", "bucket"])
def test_no_archive_at_all_points_to_those_on_stand_ins(root, kind, monkeypatch):
    root = root if kind == "folder" else f"memory://{uuid.uuid4().hex}"
    stand_ins = storage.Store.at(None, root, "synthetic").archives
    archives.write_archive(TASK, "S", make_archive(sgd(1)), stand_ins)
    monkeypatch.setenv("LOPT_BASELINE_ARCHIVES_DIR", f"{root}/")
    hint = rf"in `{root}`; there are archives of results on stand-in data in `{stand_ins}`$"
    with pytest.raises(MissingFileError, match=hint):
        archives.require_any(read(TASK, "S"))
