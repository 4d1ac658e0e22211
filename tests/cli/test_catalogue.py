"""The command line, through its entry point."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest

from optsuite import hparam_sets
from optsuite.cli import main
from optsuite.data import DATASETS
from optsuite.hparam_sets import _families
from optsuite.tasks import get_task


@pytest.fixture(autouse=True)
def data_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("OPTSUITE_DATA_DIR", str(tmp_path))
    for name, info in list(DATASETS.items()):
        monkeypatch.setitem(DATASETS, name, replace(info, system_folders=()))
    return tmp_path


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise OSError("no network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def put_files(folder, name):
    for file in DATASETS[name].files:
        path = folder / name / DATASETS[name].subfolder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_data_list_shows_what_is_here_and_how_to_get_the_rest(data_folder, capsys):
    put_files(data_folder, "cifar10")
    assert main(["data", "list"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["name", "train", "test", "shape", "classes", "where"]
    by_name = {row.split()[0]: row for row in rows}
    assert list(by_name) == list(DATASETS)
    assert by_name["cifar10"].endswith(str(data_folder / "cifar10" / "cifar-10-batches-py"))
    assert "missing: run `optsuite data fetch mnist`" in by_name["mnist"]
    assert "https://image-net.org" in by_name["imagenet32"]


def test_data_path_prints_one_folder(data_folder, capsys):
    assert main(["data", "path"]) == 0
    assert main(["data", "path", "mnist"]) == 0
    assert capsys.readouterr().out.split() == [str(data_folder), str(data_folder / "mnist")]


def test_fetch_of_what_is_here_downloads_nothing(data_folder, no_network, capsys):
    put_files(data_folder, "food101")
    assert main(["data", "fetch", "food101"]) == 0
    assert capsys.readouterr().out == f"food101: {data_folder}/food101/food-101\n"


@pytest.mark.parametrize("name", [n for n, info in DATASETS.items() if getattr(info, "torchvision", None)])
def test_fetch_without_network_is_one_line(name, data_folder, no_network, capsys):
    assert main(["data", "fetch", name]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"error: cannot download {DATASETS[name].title} to {data_folder}/")
    assert "check the network" in error
    assert len(error.splitlines()) == 1


def test_fetch_of_imagenet_says_where_to_get_it(capsys):
    assert main(["data", "fetch", "imagenet64"]) == 1
    error = capsys.readouterr().err
    assert "https://image-net.org/download-images.php" in error
    assert "`optsuite data path imagenet64`" in error


def test_fetch_of_text_says_what_to_put_where(data_folder, capsys):
    assert main(["data", "fetch", "lm1b_32k"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: LM1B (32k) cannot be fetched by this command: unpack 1-billion-word-")
    assert "`optsuite data path lm1b_32k`" in error
    assert "sentencepiece.model" in error
    assert main(["data", "path", "lm1b_32k"]) == 0
    assert capsys.readouterr().out == f"{data_folder}/lm1b\n"


@pytest.mark.parametrize("command", ["fetch", "path"])
def test_unknown_dataset_is_explained(command, capsys):
    assert main(["data", command, "cifar_10"]) == 1
    assert capsys.readouterr().err == ("error: unknown dataset `cifar_10`: did you mean cifar10, cifar100\n")


@pytest.mark.parametrize("argv", [[], ["data"], ["data", "fetch"]])
def test_incomplete_command_shows_its_usage(argv, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(argv)
    assert "usage: optsuite" in capsys.readouterr().err


def test_tasks_lists_what_matches(capsys):
    assert main(["tasks", "Conv_Cifar10_8*"]) == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == ["name", "dataset", "example", "batch", "parameters"]
    assert row.split() == ["Conv_Cifar10_8_16x32", "cifar10", "3x8x8", "128", "5,418"]


def test_tasks_shows_operations_where_that_is_asked_for(capsys):
    assert main(["tasks", "Conv_Cifar10_8*", "--operations"]) == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head.split()[-1] == "MFLOP/step"
    assert row.split()[-1] == f"{get_task('Conv_Cifar10_8_16x32').flops_per_step / 1e6:,.0f}"


def test_sets_lists_what_matches(capsys):
    assert main(["sets", "AdamW*"]) == 0
    _, *rows = capsys.readouterr().out.splitlines()
    assert [row.split()[:4] for row in rows] == [["AdamWLR_10000_R5", "15", "5", "10,000"]]


def test_sets_lists_opt_list_without_its_settings(capsys, monkeypatch):
    monkeypatch.setitem(_families._FAMILIES, "OptList1k", replace(hparam_sets.get_family("OptList1k")))
    monkeypatch.setenv("OPTSUITE_OPT_LIST", "memory://nowhere")
    assert main(["sets", "OptList*"]) == 0
    _, row = capsys.readouterr().out.splitlines()
    assert row.split() == ["OptList1k_10000_R5", "1000", "5", "10,000", "OptList0", "...", "OptList999"]


def test_sets_lists_those_that_need_a_checkpoint_and_says_so(capsys, monkeypatch):
    monkeypatch.setattr(_families, "_FAMILIES", dict(_families._FAMILIES))
    assert main(["sets", "GradAccum_LOpt*"]) == 0
    _, row = capsys.readouterr().out.splitlines()
    assert row.split(maxsplit=4) == [
        *("GradAccum_LOpt_16384_R5", "-", "5", "16,384"),
        "needs a checkpoint: --lopt PATH",
    ]
    assert main(["sets", "LOpt_1000*", "--lopt", "Mine=example"]) == 0
    assert capsys.readouterr().out.split()[-3:] == ["Mine", "...", "Mine"]
    assert main(["sets"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1 + 69
