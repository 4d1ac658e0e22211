"""meta-train, through the entry point."""

from __future__ import annotations

import os
import re
import signal

import pytest

from optsuite.cli import _meta_train, main
from optsuite.optimizers import read_checkpoint

TASK = "ImageMLP_FashionMnist8_Relu32"
BRIEF = ("--inner-steps=6", "--piece=2", "--problems=2", "--steps=4", "--data=synthetic", "--device=cpu")

pytestmark = pytest.mark.usefixtures("small_data")


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run the command in an empty folder: its status, and what it printed."""
    monkeypatch.chdir(tmp_path)

    def run(*args):
        capsys.readouterr()
        status = main(["meta-train", *args, *BRIEF])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def test_it_trains_tells_how_far_it_is_and_names_the_checkpoint(run, tmp_path):
    status, out, err = run("LearnableAdam", TASK)
    assert (status, out) == (0, "LearnableAdam.safetensors\n")
    assert re.fullmatch(
        r"training 4 outer steps, on synthetic data, on cpu\n"
        r"step 4 of 4: meta-loss \d\.\d{4}, [\d.e-]+ s a step\n",
        err,
    ), err
    assert {path.name for path in tmp_path.iterdir()} == {
        f"LearnableAdam.{ending}" for ending in ("safetensors", "losses.csv", "losses.png")
    }


def test_every_option_reaches_the_training(run, tmp_path):
    other = "ImageMLP_Cifar10_8_Relu32"
    status, out, err = run(
        *("MLPLOpt", TASK, other, "--architecture=hidden_size=8", "-o", "there/it.safetensors"),
        *("--optimizer=AdamW", "--lr=0.02", "--hparam=beta2=0.9", "--hparam=weight_decay=1e-4"),
        *("--clip=1", "--average=0.5", "--std=0.02", "--seed=3"),
    )
    assert (status, out) == (0, "there/it.safetensors\n"), err
    found = read_checkpoint(str(tmp_path / "there" / "it.safetensors"))
    assert (found.kind, found.architecture) == ("MLPLOpt", {"hidden_size": 8})
    versions = found.training.pop("versions")
    assert versions.keys() == {"optsuite", "torch"}
    assert found.training == {
        "tasks": [TASK, other],
        "init": None,
        "estimator": "pes",
        "inner_steps": 6,
        "piece": 2,
        "problems": 2,
        "std": 0.02,
        "steps": 4,
        "optimizer": "AdamW",
        "hparams": {"lr": 0.02, "beta2": 0.9, "weight_decay": 1e-4},
        "clip": 1.0,
        "average": 0.5,
        "seed": 3,
        "data": "synthetic",
        "device": "cpu",
    }


def test_a_process_that_is_ended_leaves_what_a_second_run_goes_on_from(run, tmp_path, monkeypatch):
    shown = _meta_train._Display.show

    def show(display, progress):
        if progress.step == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        shown(display, progress)

    handler = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as context:
        context.setattr(_meta_train._Display, "show", show)
        status, out, err = run("LearnableSGD", TASK)
    assert (status, out) == (130, "")
    assert "a second run goes on from there" in err
    assert [path.name for path in tmp_path.iterdir()] == ["LearnableSGD.state.npz"]
    assert signal.getsignal(signal.SIGTERM) is handler
    status, out, err = run("LearnableSGD", TASK)
    assert (status, out) == (0, "LearnableSGD.safetensors\n")
    assert err.startswith("going on from step 1 of 4 outer steps, on synthetic data, on cpu\n")


def test_an_error_is_told_in_options_of_the_command(run):
    run("LearnableSGD", TASK)
    status, _, err = run("LearnableSGD", TASK, "--lr=0.1")
    assert status == 1
    assert "choose another output, or begin anew with `--restart`" in err
    assert run("LearnableSGD", TASK, "--lr=0.1", "--restart")[0] == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ("--lr=0.1", "--hparam=lr=0.2"),
            "`lr` is given twice by --hparam or --lr: needed one value, got 0.1 ",
        ),
        (("--hparam=eps=0.1", "--hparam=eps=0.1"), "`eps` is given twice"),
        (
            ("--architecture=initial_lr=1", "--architecture=initial_lr=2"),
            "`initial_lr` is given twice by --arch",
        ),
        (("--hparam=clip=1",), "`clip` is no hyperparameter of `Adam` here: give it by `--clip`"),
        (("--architecture=initial_lr=-1",), "`initial_lr` of `LearnableSGD` must be a finite number > 0"),
        (("--std=inf",), "`--std` must be a finite number > 0"),
        (("--estimator=unroll",), "`--piece` must be all of `--inner-steps` with unroll: needed 6, got 2"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options, words, run, tmp_path):
    status, out, err = run("LearnableSGD", TASK, *options)
    assert (status, out) == (1, "")
    assert words in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--steps=0", "a whole number of at least 1 is needed"),
        ("--architecture=8", "NAME=VALUE is needed (got '8')"),
        ("--estimator=es", "invalid choice"),
        ("--save-every=5", "a time such as 90s"),
    ],
)
def test_options_are_checked_as_they_are_parsed(option, words, capsys):
    with pytest.raises(SystemExit):
        main(["meta-train", "LearnableSGD", TASK, option])
    assert words in capsys.readouterr().err
