"""--opt-lopt: learned optimizers from checkpoints join the matrix."""

from __future__ import annotations

import json

import pytest
from checkpoints import written

from optsuite.cli import main
from optsuite.hparam_sets import _families
from optsuite.storage import read_npz

from .conftest import TASK, text
from .test_opt_preset import sets_of


@pytest.fixture
def net(bench):
    """The option for a network, by a path relative to the folder in which pytest runs."""
    written(bench.path / "nets" / "net.safetensors", "AdafacMLPLOpt")
    return "--opt-lopt=nets/net.safetensors"


@pytest.fixture
def rate(bench):
    written(bench.path / "rate.safetensors")
    return "--opt-lopt=Rate=rate.safetensors"


def test_without_one_the_matrix_holds_none(bench):
    assert not any("LOpt" in name for name in sets_of(bench.ids("--opt-preset=quick", sets=None)))


def test_plain_ones_join_the_matrix(bench, net, rate):
    ids = bench.ids(net, rate, "--opt-preset=quick", sets=None)
    assert {"LOpt_200_R2", "AdamLR_200_R2", "TinyLR_200_R2"} <= sets_of(ids)
    assert [name.split("-", 2)[2] for name in ids if "LOpt" in name] == ["net", "Rate"]


def test_the_marker_selects_them(bench, net):
    ids = bench.ids(net, "--opt-preset=quick", "-m", "optsuite(opt='LOpt', label='net')", sets=None)
    assert sets_of(ids) == {"LOpt_200_R2"}


def test_they_train_record_and_archive(bench, net, rate):
    result = bench.run(net, rate, sets="LOpt_10_R2")
    result.assert_outcomes(passed=2)
    assert "complete cells archived: 1" in text(result)
    assert bench.labels() == {"net", "Rate"}
    told = [json.loads(str(read_npz(str(path))["gin_operative_config"])) for path in bench.curve_files]
    assert {config["optimizer"] for config in told} == {"AdafacMLPLOpt", "LearnableSGD"}
    paths = {config["hparams"]["theta"].partition("#sha256=")[0] for config in told}
    assert paths == {"nets/net.safetensors", "rate.safetensors"}


def test_what_is_recorded_is_known_by_its_content(bench, net):
    bench.run(net, sets="LOpt_10_R2").assert_outcomes(passed=1)
    (bench.path / "nets").rename(bench.path / "moved")
    again = bench.run("--opt-lopt=moved/net.safetensors", sets="LOpt_10_R2")
    assert "0 trials to train, 2 recorded already" in text(again)
    written(bench.path / "moved" / "net.safetensors", "AdafacMLPLOpt", seed=1)
    other = bench.run("--opt-lopt=moved/net.safetensors", sets="LOpt_10_R2")
    assert "2 trials to train, 0 recorded already" in text(other)


@pytest.mark.parametrize(
    ("family", "labels"),
    [
        ("LOptGradAccum10", {"GradAccum10_Rate"}),
        ("GradAccum_LOpt", {f"GradLOpt{2**n}_Rate" for n in range(12)}),
        ("GraftedShampoo_LOpt", {"GraftedShampoo_Rate"}),
    ],
)
def test_their_variants_train_where_they_are_named(bench, rate, family, labels):
    result = bench.run(rate, sets=f"{family}_3_R1")
    result.assert_outcomes(passed=len(labels))
    assert bench.labels() == labels


def test_the_ini_file_separates_them_by_spaces(bench, net, rate):
    paths = " ".join(option.removeprefix("--opt-lopt=") for option in (net, rate))
    bench.pytester.makeini(f"[pytest]\noptsuite_lopt = {paths}\n")
    ids = bench.ids("--opt-preset=quick", sets="LOpt*")
    assert [name.split("-", 2)[2] for name in ids] == ["net", "Rate"]
    ids = bench.ids("--opt-preset=quick", rate, sets="LOpt*")
    assert [name.split("-", 2)[2] for name in ids] == ["Rate"]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("nowhere.safetensors", "cannot read `nowhere.safetensors`: there is no such file"),
        ("exmple", "there is no checkpoint `exmple`: needed the path or URL of a file, or one of those that"),
        ("test_baselines.py", "`test_baselines.py` is not a checkpoint of a learned optimizer"),
        ("Rate=", "a checkpoint is [NAME=]PATH (got `Rate=`)"),
        ("GradLOpt4_a=rate.safetensors", "begins as labels of other checkpoints do: give it another one"),
    ],
)
@pytest.mark.usefixtures("rate")
def test_what_cannot_be_used_ends_the_session_in_words(bench, value, words):
    result = bench.run(f"--opt-lopt={value}")
    assert words in text(result)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert bench.results() == []


def test_a_set_that_lacks_one_says_which_option_gives_it(bench):
    result = bench.run(sets="LOpt_10_R2")
    assert "no checkpoint is there: give it with `--opt-lopt PATH`" in text(result)
    assert result.ret == pytest.ExitCode.USAGE_ERROR


def test_the_workers_of_xdist_know_them_too(bench, net, rate):
    pytest.importorskip("xdist")
    bench.run("-n1", net, rate, sets="LOpt_10_R2").assert_outcomes(passed=2)
    assert bench.labels() == {"net", "Rate"}


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["process", "dask"])
def test_the_workers_of_a_back_end_train_them(bench, net, backend):
    result = bench.run(net, f"--opt-backend={backend}", "--opt-workers=1", sets="LOpt_10_R2")
    result.assert_outcomes(passed=1)
    assert bench.labels() == {"net"}


def test_the_command_takes_them_too(bench, rate, monkeypatch, environment, capsys):
    monkeypatch.chdir(bench.path)
    monkeypatch.setattr(_families, "_FAMILIES", dict(_families._FAMILIES))
    where = ["--data=synthetic", f"--storage={bench.storage}"]
    command = [TASK, "LOpt_10_R1", *where]
    assert main(["run", *command]) == 1
    assert "give it with `--lopt PATH`" in capsys.readouterr().err
    lopt = rate.replace("--opt-lopt", "--lopt")
    assert main(["plan", *command, lopt]) == 0
    assert main(["run", *command, lopt, "--report=off"]) == 0
    assert bench.labels() == {"Rate"}
    assert main(["archive", TASK, "LOpt_10_R1", *where, lopt]) == 0
