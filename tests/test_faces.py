"""One error in the terms of each face: a function's caller, pytest's options, the command's options."""

from __future__ import annotations

import ast
import pickle
from pathlib import Path

import pytest
import torch

import optsuite
from optsuite import archives, storage
from optsuite.data import resolve_source
from optsuite.errors import DataError, OptsuiteError, RemoteError, StorageError, in_face, parameter, quoted
from optsuite.trainer._reproducible import reproducible

FACES = ("python", "pytest", "cli")


def missing_data(folder, monkeypatch):
    monkeypatch.setenv("OPTSUITE_DATA_DIR", str(folder))
    resolve_source("cifar10", "real")


def read_only_root(folder, _):
    (folder / "file").touch()
    storage.check_writable(str(folder / "file" / "curves"))


def archive_on_stand_ins(folder, _):
    archives.write_archive("Task", "Set", {"a": [1.0]}, root=f"{folder}/it_synthetic")
    archives.load_archive("Task", "Set", root=f"{folder}/it")


def precision_set_elsewhere(_, monkeypatch):
    def refuse():
        raise RuntimeError("mixed")

    monkeypatch.setattr(torch, "get_float32_matmul_precision", refuse)
    with reproducible(torch.device("cpu")):
        pass


SITES = [
    (missing_data, ('pass mode="synthetic"', "pass --opt-data synthetic", "pass --data synthetic")),
    (
        read_only_root,
        (
            "with `root=` or LOPT_BASELINE_DIR, for archives with `root=` or",
            "with `--opt-storage` or LOPT_BASELINE_DIR, for archives with `--opt-archives` or",
            "with `--storage` or LOPT_BASELINE_DIR, for archives with `--archives` or",
        ),
    ),
    (archive_on_stand_ins, ('it_synthetic"', "pass --opt-archives /", "pass --archives /")),
    (
        precision_set_elsewhere,
        ("leave that to `precision=`", "leave that to `--opt-precision`", "leave that to `--precision`"),
    ),
]


@pytest.mark.parametrize(("site", "words"), SITES, ids=lambda value: getattr(value, "__name__", None))
def test_a_parameter_is_named_as_each_face_knows_it(site, words, tmp_path, monkeypatch):
    with pytest.raises(OptsuiteError) as caught:
        site(tmp_path, monkeypatch)
    for face, expected in zip(FACES, words, strict=True):
        assert expected in in_face(caught.value, face)
    assert str(caught.value) == in_face(caught.value, "python")


def example():
    return DataError(f"no files: get some or pass {parameter('data', 'synthetic')}")


def test_what_another_error_quotes_is_still_open_for_every_face():
    def load():
        try:
            raise example()
        except DataError as cause:
            raise StorageError(f"cannot do that ({cause})") from cause

    with pytest.raises(StorageError) as caught:
        load()
    assert str(caught.value) == 'cannot do that (no files: get some or pass mode="synthetic")'
    assert "pass --data synthetic)" in in_face(caught.value, "cli")


def test_faces_name_what_comes_from_another_process():
    error = pickle.loads(pickle.dumps(example()))  # noqa: S301 - made here
    assert in_face(error, "pytest").endswith("pass --opt-data synthetic")
    told = RemoteError(f"{quoted(error)} (on process 0)")
    assert str(told).endswith('pass mode="synthetic" (on process 0)')
    assert in_face(told, "cli").endswith("pass --data synthetic (on process 0)")


def test_no_mark_is_seen_in_any_face():
    for face in FACES:
        assert in_face(example(), face).isprintable()
    assert f"{example()}" == str(example()) == in_face(example(), "python")


def test_an_error_that_is_not_ours_is_told_by_its_type_in_every_face():
    assert {in_face(ValueError("no\nmore"), face) for face in FACES} == {"ValueError: no"}


def test_no_room_below_the_plugin_writes_an_option_of_pytest():
    root = Path(optsuite.__file__).parent
    texts = {
        (str(path.relative_to(root)), node.value)
        for path in root.rglob("*.py")
        if path.relative_to(root).parts[0] not in ("plugin", "errors.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "--opt-" in node.value
    }
    assert texts == set()
