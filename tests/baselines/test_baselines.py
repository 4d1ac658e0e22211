"""Packaged baselines: what is packed is read again, rounded as stated; damage is an error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from examples import TASK, make_archive, make_trial, sgd
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from optsuite import archives, baselines, storage
from optsuite.archives import read_archive
from optsuite.baselines import ROUNDING, _files, _pack
from optsuite.baselines._rounded import decode, encode
from optsuite.errors import OptsuiteError
from optsuite.hparam_sets import get_hparam_set, ids_of
from optsuite.statistics import ema, evaluations
from optsuite.storage import CorruptFileError

SET = "SomeLR_20_R3"


@pytest.fixture
def packed(tmp_path, monkeypatch):
    """Pack an archive, as if this version had trained it, and return its evaluations."""
    folder = tmp_path / "packed"
    monkeypatch.setattr(_files, "FOLDER", str(folder))

    def pack(archive, name=SET, commit="abc1234"):
        root = str(tmp_path / "archives")
        archives.write_archive(TASK, name, archive, root=root)
        monkeypatch.setattr(_pack, "get_hparam_set", lambda name: type("Set", (), {"trials": lambda *_: ()}))
        monkeypatch.setattr(_pack, "ids_of", lambda *_: set(archive["trial_id"].flat))
        baselines.pack([(TASK, name)], root, str(folder), commit=commit, device="a machine")
        return evaluations(read_archive(TASK, name, root))

    return pack


def real(lrs=(0.01, 0.1), **changes):
    versions = {"optsuite_version": "1.2", "torch_version": "2.9"}
    archive = make_archive(sgd(*lrs), seeds=(0, 1, 2), data_source="real", **changes)
    shape = archive["seed"].shape
    archive |= {key: np.full(shape, value) for key, value in versions.items()}
    archive["curve_file"] = np.full(shape, "20261129_145900_6c4eff40c2.curves")
    return archive


def file_of(folder, name=SET):
    return Path(_files.path_of(str(folder), TASK, name))


def test_what_is_packed_is_read_again(packed):
    own = packed(real())
    found = baselines.load(TASK, SET)
    assert (found.source, found.task, found.hparam_set) == ("packaged", TASK, SET)
    assert (found.configs, found.schedule, found.num_steps) == (own.configs, own.schedule, 20)
    assert (found.data_source, found.device) == ("real", "")  # times do not compare
    for name in ("seeds", "xs", "diverged"):
        np.testing.assert_array_equal(getattr(found, name), getattr(own, name))
    for split, loss_HSE in own.losses.items():
        np.testing.assert_allclose(found.losses[split], loss_HSE, rtol=ROUNDING[split])
        np.testing.assert_array_equal(found.losses[split][..., -1], loss_HSE[..., -1])
    for split, accuracy_HSE in own.accuracies.items():
        np.testing.assert_allclose(found.accuracies[split][..., -1], accuracy_HSE[..., -1], rtol=1e-6)
        assert np.isnan(found.accuracies[split][..., :-1]).all()


def test_it_says_where_it_comes_from(packed):
    packed(real())
    words = "packaged with optsuite: trained with optsuite 1.2 (abc1234), torch 2.9 on a machine, 2026-11-29"
    assert baselines.load(TASK, SET).origin == words == baselines.about().words


def test_diverged_trials_stay_diverged(packed):
    curves = [
        [make_trial(label, hparams, seed, data_source="real", loss=loss) for seed in (0, 1)]
        for (label, hparams), loss in zip(sgd(0.01, 0.1).items(), (0.5, np.nan), strict=True)
    ]
    packed(archives.stack_curves(curves))
    assert baselines.load(TASK, SET).diverged.tolist() == [[False, False], [True, True]]


def test_there_are_those_that_were_packed_and_no_others(packed):
    assert (baselines.available(), baselines.about()) == ([], None)
    packed(real())
    packed(real(), "OtherLR_20_R3")
    assert baselines.available(TASK) == [(TASK, "OtherLR_20_R3"), (TASK, SET)]
    assert baselines.available("Other") == []
    assert baselines.load(TASK, "NoneLR_20_R3") is None
    assert baselines.load("Other", SET) is None


def test_equal_archives_make_equal_files(packed, tmp_path):
    packed(real())
    before = file_of(tmp_path / "packed").read_bytes()
    packed(real())
    assert file_of(tmp_path / "packed").read_bytes() == before


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b[:200] + b"x" + b[201:], lambda b: b""])
def test_a_damaged_file_is_an_error(damage, packed, tmp_path):
    packed(real())
    path = file_of(tmp_path / "packed")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CorruptFileError, match=r"is not the file that came with optsuite: install optsuite"):
        baselines.load(TASK, SET)


def test_the_file_of_another_cell_is_an_error(packed, tmp_path):
    packed(real())
    packed(real((0.3, 1)), "OtherLR_20_R3")
    file_of(tmp_path / "packed").write_bytes(file_of(tmp_path / "packed", "OtherLR_20_R3").read_bytes())
    with pytest.raises(CorruptFileError, match="is not the file"):
        baselines.load(TASK, SET)


def test_a_file_that_is_gone_is_an_error(packed, tmp_path):
    packed(real())
    file_of(tmp_path / "packed").unlink()
    with pytest.raises(storage.MissingFileError, match="install optsuite again"):
        baselines.load(TASK, SET)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"format": 99}', "of another version of optsuite"),
        ("{", "is not readable JSON"),
        ("[]", "is not the file that came with optsuite"),
        ('{"format": 1, "cells": {"a": "b"}, "made": {}}', "is not the file that came with optsuite"),
        ('{"format": 1, "cells": {}, "made": {}}', "is not the file that came with optsuite"),
    ],
)
def test_a_damaged_index_is_an_error(content, words, packed, tmp_path):
    packed(real())
    (tmp_path / "packed" / "index.json").write_text(content)
    with pytest.raises(CorruptFileError, match=words):
        baselines.available()


def test_stand_ins_are_not_packed(tmp_path):
    root = str(tmp_path)
    archives.write_archive(TASK, SET, make_archive(sgd(0.1)), root=root)
    with pytest.raises(OptsuiteError, match="needed results on real data"):
        baselines.pack([(TASK, SET)], root, str(tmp_path / "packed"), commit="", device="")
    assert not (tmp_path / "packed").exists()


def test_trials_of_another_version_are_not_packed(tmp_path, monkeypatch):
    root = str(tmp_path)
    archives.write_archive(TASK, "SGDLR_20_R2", make_archive(sgd(0.1), data_source="real"), root=root)
    monkeypatch.setattr(_pack, "ids_of", lambda *_: {"another"})
    with pytest.raises(OptsuiteError, match="its trials are not those of this version of optsuite"):
        baselines.pack([(TASK, "SGDLR_20_R2")], root, str(tmp_path / "packed"), commit="", device="")


FLOATS = st.floats(
    width=32, allow_subnormal=False, min_value=-(2.0**120), max_value=2.0**120
) | st.sampled_from([np.nan, np.inf, -np.inf])


@pytest.mark.parametrize("split", ROUNDING)
@given(values=arrays(np.float32, (3, 2, 7), elements=FLOATS))
def test_rounding_is_as_small_as_stated(split, values):
    found = decode(encode(values, split), split, values.shape)
    np.testing.assert_allclose(found, values, rtol=ROUNDING[split])


def test_steps_to_a_loss_are_those_of_full_curves():
    """A falling curve with the noise of evaluations: rounding moves the steps by much less than 1 %."""
    rng = np.random.default_rng(0)
    steps = np.arange(0, 2001, 10)
    level = 0.4 + 1.9 * (1 + steps / 50) ** -0.7
    loss_HSE = (level * rng.lognormal(0, 0.05, (1, 5, len(steps)))).astype(np.float32)

    def reached(loss_HSE):
        lowest = np.minimum.accumulate(ema(loss_HSE.mean(axis=(0, 1)), 0.95))
        return np.interp(-targets, -lowest, steps)

    targets = np.linspace(1.5, level[-1] * 1.1, 50)
    rounded = decode(encode(loss_HSE, "train"), "train", loss_HSE.shape)
    np.testing.assert_allclose(reached(rounded), reached(loss_HSE), rtol=0.01)


def test_those_of_this_package_are_sound():
    cells = baselines.available()
    for task, name in cells:
        found = baselines.load(task, name)
        assert np.isfinite(found.losses["train"][..., -1]).any(), (task, name)
    if cells:
        assert sum(Path(_files.path_of(_files.FOLDER, *cell)).stat().st_size for cell in cells) < 6e6
        assert baselines.about().commit


def test_those_of_this_package_are_what_this_version_would_train():
    """Where the data are: after a change of a task's version the baselines must be made anew."""
    for task, name in baselines.available():
        needed = ids_of(get_hparam_set(name).trials(task), "real")
        if needed is None:
            pytest.skip("the data are not here")
        _, facts = _files.read_cell(
            _files.FOLDER, task, name, _files.read_index(_files.FOLDER).digests[task, name]
        )
        assert needed == {one for row in facts["trial_ids"] for one in row}, (task, name)
