"""--opt-sets."""

from __future__ import annotations

import pytest

from .conftest import TASK, text
from .test_opt_preset import sets_of


def test_a_glob_narrows_the_sets_of_the_preset(bench):
    ids = bench.ids("--opt-preset=quick", sets="Adam*")
    assert sets_of(ids) == {f"Adam{f}_200_R2" for f in ("LR", "WLR", "ExpDecayLR", "SqrtDecayLR")}


def test_a_glob_matches_published_names_under_full(bench):
    ids = bench.ids("--opt-preset=full", sets="SGDLR_*")
    assert sets_of(ids) == {"SGDLR_2000_R5", "SGDLR_10000_R5"}


def test_any_set_can_be_named(bench):
    assert sets_of(bench.ids(sets="AdamLR_7_R3")) == {"AdamLR_7_R3"}


def test_a_set_of_more_than_15_configs_joins_only_by_name(bench):
    assert "ManyLR_200_R2" not in sets_of(bench.ids("--opt-preset=quick", sets=None))
    assert len(bench.ids(sets="ManyLR_200_R2")) == 16


def test_an_unknown_set_ends_the_session_with_the_nearest_names(bench):
    result = bench.run(sets="AdmLR_200_R2")
    assert "optsuite: unknown hparam set `AdmLR_200_R2`: did you mean AdamLR_200_R2" in text(result)
    assert result.ret == pytest.ExitCode.USAGE_ERROR


def test_a_misspelt_form_ends_the_session(bench):
    result = bench.run(sets="AdamLR_R2_200")
    assert "optsuite: unknown hparam set `AdamLR_R2_200`" in text(result)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert TASK not in text(result)


def test_given_twice_it_means_both(bench):
    ids = bench.ids("--opt-sets=SGDLR_7_R1", sets="AdamLR_7_R3")
    assert sets_of(ids) == {"AdamLR_7_R3", "SGDLR_7_R1"}
