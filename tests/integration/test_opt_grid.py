"""--opt-grid: grids and random spaces join the matrix; families of the grammar need no option."""

from __future__ import annotations

import pytest

from optsuite.cli import main
from optsuite.hparam_sets import _families

from .conftest import text
from .test_opt_preset import sets_of

NARROW = "--opt-grid=Narrow=AdamW+cosine(lr=0.01|0.1, weight_decay=0|0.1)"
WIDE = "--opt-grid=Wide=AdamW(lr=loguniform(3e-5,1e-3))/20"


def test_a_grid_joins_the_matrix(bench):
    ids = bench.ids(NARROW, "--opt-preset=quick", sets=None)
    assert {"Narrow_200_R2", "AdamLR_200_R2"} <= sets_of(ids)
    labels = [name.split("-", 2)[2] for name in ids if "-Narrow_" in name]
    assert labels[:4] == [f"Narrow_lr{lr}_wd{decay}" for lr in (0.01, 0.1) for decay in (0, 0.1)]


def test_a_wide_one_joins_where_it_is_named(bench):
    assert "Wide_200_R2" not in sets_of(bench.ids(WIDE, "--opt-preset=quick", sets=None))
    ids = bench.ids(WIDE, NARROW, sets="Wide_7_R1")
    assert sets_of(ids) == {"Wide_7_R1"}
    assert len(ids) == 20


def test_the_ini_file_may_have_grids(bench):
    bench.pytester.makeini("[pytest]\noptsuite_grid = 'Ini=SGD(lr=0.1|1)' 'Two=SGD(lr=0.2|2)'\n")
    assert sets_of(bench.ids(sets="Two_7_R1")) == {"Two_7_R1"}


def test_a_family_of_the_grammar_trains_and_is_recorded(bench):
    result = bench.run("-k", "lr0.01", sets="SGDMLR_wsd_clip1_3_R1")
    result.assert_outcomes(passed=1)
    assert list(bench.path.rglob("SGDM_wsd_clip1_lr0.01"))  # the folder of its curves


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--opt-grid=X=AdamW(lr=loguniform(0,1))/5", "needs bounds A and B with 0 < A < B"),
        ("--opt-grid=X=AdamW(rate=0.1)", "`AdamW` has no hyperparameter `rate`"),
        ("--opt-grid=AdamW(lr=0.1)", "has no name: write `NAME=AdamW(lr=0.1)`"),
    ],
)
def test_a_grid_that_cannot_be_trained_ends_the_session_first(bench, option, words):
    result = bench.run(option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert words in text(result)


def test_the_command_line_has_grids_too(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(_families, "_FAMILIES", dict(_families._FAMILIES))
    where = ["--data=synthetic", "--device=cpu", "--storage", str(tmp_path / "curves")]
    command = ["run", "ImageMLP_FashionMnist8_Relu32", "Two_2_R1", "--grid=Two=SGD+cosine(lr=0.1|1)"]
    assert main([*command, *where, "--report=off"]) == 0
    assert "2 of 2 trials trained" in capsys.readouterr().out
