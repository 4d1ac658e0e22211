"""The rule of roots, and the names below them."""

import uuid
from pathlib import Path

import pytest

from optsuite import storage
from optsuite.errors import StorageError
from optsuite.hparam_sets import get_hparam_set
from optsuite.storage import Store


@pytest.mark.parametrize(
    ("variable", "read", "folder"),
    [
        ("LOPT_BASELINE_DIR", storage.baseline_dir, "lopt_baselines"),
        ("LOPT_BASELINE_ARCHIVES_DIR", storage.archives_dir, "lopt_baselines_archives"),
    ],
)
def test_roots_come_from_the_environment_at_call_time(variable, read, folder, monkeypatch):
    monkeypatch.delenv(variable, raising=False)
    assert read() == str(Path.home() / folder)
    for value, expected in [
        ("~/curves/", str(Path.home() / "curves")),
        ("gs://gresearch/lopt//", "gs://gresearch/lopt"),
        ("memory://", "memory://"),
        ("/", "/"),
        ("", str(Path.home() / folder)),
    ]:
        monkeypatch.setenv(variable, value)
        assert read() == expected


@pytest.mark.parametrize(
    ("root", "expected"),
    [
        ("/a/", "/a/T/Adam_lr1e-05/100_10_5_50"),
        ("s3://bucket/", "s3://bucket/T/Adam_lr1e-05/100_10_5_50"),
        ("memory://", "memory://T/Adam_lr1e-05/100_10_5_50"),
        ("/", "/T/Adam_lr1e-05/100_10_5_50"),
        ("file:///", "file:///T/Adam_lr1e-05/100_10_5_50"),
    ],
)
def test_curve_dir_is_the_originals(root, expected):
    assert storage.curve_dir("T", "Adam_lr1e-05", 100, 10, 5, 50, root=root) == expected


def test_default_root_is_used(monkeypatch):
    monkeypatch.setenv("LOPT_BASELINE_DIR", "s3://b/c/")
    monkeypatch.setenv("LOPT_BASELINE_ARCHIVES_DIR", "s3://b/a/")
    assert storage.curve_dir("T", "O", 1, 2, 3, 4) == "s3://b/c/T/O/1_2_3_4"
    assert storage.archive_path("T", "AdamLR_100_R2") == "s3://b/a/T/AdamLR_100_R2.npz"


@pytest.mark.parametrize("name", ["", ".", "..", ".optsuite", "a/b", "a\\b", "a::b"])
def test_a_name_cannot_leave_its_folder(name):
    with pytest.raises(StorageError, match="cannot name a folder"):
        storage.curve_dir("T", name, 1, 1, 1, 1, root="/a")
    with pytest.raises(StorageError, match="cannot name a folder"):
        storage.archive_path(name, "S", root="/a")


def test_a_trials_folder_is_its_labels_and_schedules(monkeypatch):
    trial = get_hparam_set("SGDLR_2_R1").trials("T")[0]
    assert trial.folder("s3://b/c/") == "s3://b/c/T/SGD_lr1e-07/2_10_5_10"
    monkeypatch.setenv("LOPT_BASELINE_DIR", "/env")
    assert trial.folder() == "/env/T/SGD_lr1e-07/2_10_5_10"


# What lies beside a root


@pytest.mark.parametrize(
    ("root", "expected"),
    [
        ("/a", "/a_w"),
        ("/a//", "/a_w"),
        ("a", "a_w"),
        ("~/a/", f"{Path.home()}/a_w"),
        ("~", f"{Path.home()}_w"),
        ("/", "/w"),
        ("file:///a", "file:///a_w"),
        ("file:///", "file:///w"),
        ("s3://bucket", "s3://bucket/w"),
        ("s3://bucket//", "s3://bucket/w"),
        ("gs://my.bucket-1/", "gs://my.bucket-1/w"),
        ("s3://bucket/a/", "s3://bucket/a_w"),
        ("memory://", "memory://w"),
        ("memory://a", "memory://a/w"),
        ("memory://a/b/", "memory://a/b_w"),
    ],
)
def test_what_lies_beside_a_root_is_never_in_another_bucket(root, expected):
    assert storage.beside(root, "w") == expected


def test_other_roots_in_a_bucket_are_no_tasks():
    bucket = f"memory://{uuid.uuid4().hex}"
    for precision in ("float32", "bf16", "tf32"):
        for source in ("real", "synthetic"):
            for root in Store.at(bucket, None, source, precision):
                storage.write_npz(f"{root}/Task/Set.npz", {"a": 1})
        storage.write_bytes(f"{Store.reports(bucket, precision)}/report.html", b"")
    assert storage.list_tasks(bucket) == storage.list_tasks(f"{bucket}/") == ["Task"]
    assert storage.list_tasks(f"{bucket}/archives_synthetic") == ["Task"]


def test_a_task_may_have_any_name_in_a_folder(tmp_path):
    (tmp_path / "synthetic").mkdir()
    assert storage.list_tasks(str(tmp_path)) == ["synthetic"]


@pytest.fixture
def _env(monkeypatch):
    monkeypatch.setenv("LOPT_BASELINE_DIR", "/env/c/")
    monkeypatch.setenv("LOPT_BASELINE_ARCHIVES_DIR", "/env/a")


@pytest.mark.parametrize(
    ("curves", "archives", "expected"),
    [
        ("/c", None, ("/c", "/c_archives")),
        ("/c/", None, ("/c", "/c_archives")),
        ("/c", "/a/", ("/c", "/a")),
        ("s3://b/c", None, ("s3://b/c", "s3://b/c_archives")),
        (None, "/a", ("/env/c", "/a")),
        (None, None, ("/env/c", "/env/a")),
    ],
)
@pytest.mark.parametrize(("source", "suffix"), [("real", ""), ("synthetic", "_synthetic")])
@pytest.mark.usefixtures("_env")
def test_a_store_keeps_stand_ins_apart(curves, archives, expected, source, suffix):
    assert Store.at(curves, archives, source) == tuple(place + suffix for place in expected)


@pytest.mark.parametrize(
    ("curves", "archives", "expected"),
    [
        ("/c", None, ("/c_bf16_synthetic", "/c_bf16_archives_synthetic")),
        ("/c", "/a", ("/c_bf16_synthetic", "/a_bf16_synthetic")),
        (None, None, ("/env/c_bf16_synthetic", "/env/c_bf16_archives_synthetic")),
        ("s3://b", None, ("s3://b/bf16_synthetic", "s3://b/bf16_archives_synthetic")),
        ("s3://b", "s3://b", ("s3://b/bf16_synthetic", "s3://b/bf16_synthetic")),
    ],
)
@pytest.mark.usefixtures("_env")
def test_a_store_keeps_precisions_apart(curves, archives, expected):
    assert Store.at(curves, archives, "synthetic", "bf16") == expected
    assert Store.at(curves, archives, "synthetic", "bf16") == expected


def test_stand_ins_of_a_bucket_lie_in_it():
    assert Store.at("s3://b", None, "real") == ("s3://b", "s3://b/archives")
    assert Store.at("s3://b/", None, "synthetic") == ("s3://b/synthetic", "s3://b/archives_synthetic")
    assert Store.at("s3://b", "s3://b", "synthetic") == ("s3://b/synthetic", "s3://b/synthetic")


@pytest.mark.parametrize(
    ("curves", "precision", "expected"),
    [
        ("/c/", "float32", "/c_reports"),
        (None, "float32", "/env/c_reports"),
        ("s3://b", "float32", "s3://b/reports"),
        ("/c", "bf16", "/c_bf16_reports"),
        ("s3://b", "bf16", "s3://b/bf16_reports"),
    ],
)
@pytest.mark.usefixtures("_env")
def test_reports_lie_beside_the_curves(curves, precision, expected):
    assert Store.reports(curves, precision) == expected


def test_an_absolute_store_is_the_same_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Store("c", "s3://b/a").absolute() == (f"{tmp_path}/c", "s3://b/a")


@pytest.mark.parametrize("root", ["local", "memory://stores"])
def test_a_store_finds_out_whether_it_can_be_written(tmp_path, root):
    root = str(tmp_path) if root == "local" else root
    Store(f"{root}/c", f"{root}/a").check_writable()
    (tmp_path / "file").touch()
    for both in ((f"{tmp_path}/file/c", f"{root}/a"), (f"{root}/c", f"{tmp_path}/file/a")):
        with pytest.raises(StorageError, match=r"cannot write to `.*/file/"):
            Store(*both).check_writable()
