"""--opt-preset."""

from __future__ import annotations

import pytest

from optsuite import get_hparam_set, list_hparam_sets
from optsuite.hparam_sets import needs_checkpoint

from .conftest import TASK, text

LARGE = "ImageMLP_Cifar10_16384x16384_Relu"


def sets_of(ids):
    return {name.split("-")[1] for name in ids}


def test_quick_has_one_short_set_a_family(bench):
    ids = bench.ids("--opt-preset=quick", sets=None)
    assert {tuple(name.split("_")[-2:]) for name in sets_of(ids)} == {("200", "R2")}
    assert {"AdamLR_200_R2", "SGDLR_200_R2", "TinyLR_200_R2"} <= sets_of(ids)


def test_full_has_the_published_sets_of_at_most_15_configs(bench):
    ids = bench.ids("--opt-preset=full", sets=None)
    known = [name for name in list_hparam_sets() if not needs_checkpoint(name)]
    sizes = {name: len(get_hparam_set(name).labels) for name in known}
    small = {name: size for name, size in sizes.items() if size <= 15}
    assert sets_of(ids) == set(small)
    assert len(ids) == sum(small.values())


def test_auto_is_quick_on_a_cpu(bench):
    result = bench.run("--opt-plan", "--opt-device=cpu")
    result.stdout.fnmatch_lines(["optsuite: 1 cell, preset quick: 4 trials to train*"])


def test_quick_leaves_out_what_takes_too_long_and_names_it(bench):
    result = bench.run("--opt-plan", "--opt-preset=quick", tasks="*6384x16384_Relu", sets="SGDLR_200_R2")
    assert "leaves out 1 cell that" in text(result)
    assert LARGE in text(result)
    assert "15 deselected" in text(result)


def test_full_leaves_nothing_out(bench):
    result = bench.run("--opt-plan", "--opt-preset=full", tasks="*6384x16384_Relu", sets="SGDLR_200_R2")
    assert "leaves out" not in text(result)
    result.stdout.fnmatch_lines(["optsuite: 1 cell, preset full: 30 trials to train*"])


def test_an_unknown_preset_is_a_usage_error(bench):
    result = bench.run("--opt-preset=fast")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--opt-preset: invalid choice: 'fast'*"])
    assert TASK not in text(result)
