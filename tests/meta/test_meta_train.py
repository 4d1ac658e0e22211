"""Training of learned optimizers, from settings to files."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from optsuite import storage
from optsuite.errors import (
    HParamError,
    OptsuiteError,
    OutOfMemoryError,
    StorageError,
    UnknownNameError,
    UnsupportedError,
)
from optsuite.meta import Settings, _train, meta_train
from optsuite.meta._files import Files
from optsuite.optimizers import read_checkpoint, write_checkpoint

MLP, CONV = "ImageMLP_FashionMnist8_Relu32", "Conv_Cifar10_8_16x32"
TINY = Settings(
    kind="LearnableAdam", tasks=(MLP,), inner_steps=6, piece=2, problems=2, steps=8, hparams={"lr": 0.1}
)

pytestmark = pytest.mark.usefixtures("small_data")


def train(output, settings=TINY, **options):
    return meta_train(settings, str(output), **{"mode": "synthetic", "device": "cpu", **options})


def stop_at(step):
    """Interrupt a training as Ctrl-C does, after a step."""

    def tell(progress):
        if progress.step >= step:
            raise KeyboardInterrupt

    return tell


def names(folder):
    return {path.name for path in folder.iterdir()}


def test_a_training_leaves_a_checkpoint_its_losses_and_a_plot(tmp_path):
    written = train(tmp_path / "it.safetensors")
    assert names(tmp_path) == {"it.safetensors", "it.losses.csv", "it.losses.png"}
    found = read_checkpoint(str(tmp_path / "it.safetensors"))
    assert (found.kind, found.architecture, found.sha256) == ("LearnableAdam", {}, written.sha256)
    assert found.training["tasks"] == [MLP]
    assert found.training["hparams"] == {"lr": 0.1}
    assert found.training["data"] == "synthetic"
    head, *rows = (tmp_path / "it.losses.csv").read_text().splitlines()
    assert head == "step,loss"
    assert [int(row.split(",")[0]) for row in rows] == list(range(8))
    assert all(np.isfinite(float(row.split(",")[1])) for row in rows)
    assert (tmp_path / "it.losses.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("estimator", ["pes", "unroll"])
def test_training_lowers_the_loss(estimator, tmp_path):
    settings = replace(TINY, estimator=estimator, inner_steps=10, piece=None, steps=20, hparams={"lr": 0.5})
    train(tmp_path / "it.safetensors", settings)
    losses = np.loadtxt(tmp_path / "it.losses.csv", delimiter=",", skiprows=1)[:, 1]
    assert losses[-3:].mean() < losses[:3].mean() - 0.05


@pytest.mark.parametrize("kind", ["LearnableSGDM", "MLPLOpt", "AdafacMLPLOpt"])
def test_an_interrupted_training_ends_in_the_same_bits(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(_train, "_SECONDS", 0.0)  # a step at a time
    settings = replace(TINY, kind=kind, average=0.5)
    train(tmp_path / "whole" / "it.safetensors", settings)
    for step in (1, 4):
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "parts" / "it.safetensors", settings, tell=stop_at(step))
        assert names(tmp_path / "parts") == {"it.state.npz"}
    steps = []
    train(tmp_path / "parts" / "it.safetensors", settings, tell=lambda progress: steps.append(progress.step))
    assert steps == [4, 5, 6, 7, 8]
    assert (
        names(tmp_path / "parts")
        == names(tmp_path / "whole")
        == {"it.safetensors", "it.losses.csv", "it.losses.png"}
    )
    for path in (tmp_path / "whole").iterdir():
        assert path.read_bytes() == (tmp_path / "parts" / path.name).read_bytes()


def test_a_training_that_is_killed_goes_on_where_it_was_last_saved(tmp_path, monkeypatch):
    monkeypatch.setattr(_train, "_SECONDS", 0.0)

    def killed(progress):
        if progress.step == 5:
            raise SystemExit

    with pytest.raises(SystemExit):
        train(tmp_path / "it.safetensors", save_every_s=0.0, tell=killed)
    steps = []
    train(tmp_path / "it.safetensors", tell=lambda progress: steps.append(progress.step))
    assert steps[0] == 4


def test_a_training_that_is_done_is_not_done_again(tmp_path):
    first = train(tmp_path / "it.safetensors")
    told = []
    assert train(tmp_path / "it.safetensors", tell=told.append).sha256 == first.sha256
    assert not told
    assert train(tmp_path / "it.safetensors", tell=told.append, restart=True).sha256 == first.sha256
    assert told


def test_what_is_there_of_another_training_is_not_replaced_unless_told(tmp_path):
    output, other = tmp_path / "it.safetensors", replace(TINY, seed=1)
    with pytest.raises(KeyboardInterrupt):
        train(output, tell=stop_at(1))
    with pytest.raises(
        StorageError, match=r"state.npz` is of another training.*`seed` 1, got 0.*restart=True"
    ):
        train(output, other)
    train(output, other, restart=True)
    with pytest.raises(StorageError, match=r"it.safetensors` is of another training.*`seed` 0, got 1"):
        train(output)


def test_a_training_that_was_begun_anew_keeps_the_checkpoint_until_it_ends(tmp_path):
    output = tmp_path / "it.safetensors"
    old, new = train(output, replace(TINY, seed=1)), train(tmp_path / "new.safetensors")
    with pytest.raises(KeyboardInterrupt):
        train(output, restart=True, tell=stop_at(1))
    assert read_checkpoint(str(output)).sha256 == old.sha256
    steps = []
    assert train(output, tell=lambda progress: steps.append(progress.step)).sha256 == new.sha256
    assert steps[0] == 1
    assert read_checkpoint(str(output)).sha256 == new.sha256


def test_a_checkpoint_is_not_replaced_by_a_training_that_starts_from_it(tmp_path, monkeypatch):
    output = tmp_path / "it.safetensors"
    first = train(output)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link.safetensors").symlink_to(output)
    for init in ("it.safetensors", "link.safetensors", f"{output}#sha256={first.sha256}"):
        for restart in (False, True):
            with pytest.raises(
                HParamError, match=r"cannot start from .* and replace it: needed another `out"
            ):
                train(output, replace(TINY, init=init), restart=restart)
    assert read_checkpoint(str(output)).sha256 == first.sha256
    memory = "memory://same/it.safetensors"
    train(memory)
    with pytest.raises(HParamError, match="and replace it"):
        train(memory, replace(TINY, init=memory))


def test_files_of_other_things_are_left_alone(tmp_path):
    for ending in ("csv", "png"):
        (tmp_path / f"it.{ending}").write_text("mine")
    train(tmp_path / "it.safetensors")
    assert {(tmp_path / f"it.{ending}").read_text() for ending in ("csv", "png")} == {"mine"}


@pytest.mark.parametrize("content", [b"no npz", None], ids=["damaged", "of something else"])
def test_a_state_that_cannot_be_used_is_said_with_the_way_out(content, tmp_path):
    output, state = tmp_path / "it.safetensors", tmp_path / "it.state.npz"
    with pytest.raises(KeyboardInterrupt):
        train(output, tell=stop_at(1))
    if content is None:  # a training of the same settings, whose state lacks an array
        arrays = storage.read_npz(str(state))
        storage.write_npz(str(state), {name: array for name, array in arrays.items() if name != "identity"})
    else:
        state.write_bytes(content)
    with pytest.raises(StorageError, match=r"no training can go on from .*state.npz.* with `restart=True`"):
        train(output)
    train(output, restart=True)
    assert not state.exists()


def test_a_checkpoint_that_is_none_is_replaced_only_if_told(tmp_path):
    output = tmp_path / "it.safetensors"
    output.write_bytes(b"mine")
    with pytest.raises(StorageError, match=r"is not a checkpoint .* begin anew with `restart=True`"):
        train(output)
    assert output.read_bytes() == b"mine"
    train(output, restart=True)


def test_a_training_that_is_done_stays_so_with_another_version_but_none_goes_on(tmp_path, monkeypatch):
    output, other = tmp_path / "it.safetensors", tmp_path / "other.safetensors"
    first = train(output)
    with pytest.raises(KeyboardInterrupt):
        train(other, tell=stop_at(1))
    monkeypatch.setattr(_train, "package_version", lambda _: "999")
    assert train(output).sha256 == first.sha256
    with pytest.raises(StorageError, match=r"is of another training: needed one with `versions`.*999"):
        train(other)


def test_the_example_is_what_its_command_makes(tmp_path, monkeypatch):
    packaged = read_checkpoint("example")
    output = tmp_path / "example.safetensors"
    write_checkpoint(str(output), packaged.kind, packaged.theta, training=packaged.training)
    monkeypatch.setattr("optsuite.data.resolve_source", lambda *_: "real")
    decays = {"constant_fraction": 0.3, "warmup_fraction": 0.0, "min_lr_mult": 0.05}
    settings = Settings(
        kind="AdafacMLPLOpt",
        tasks=(MLP,),
        steps=2500,
        problems=24,
        optimizer="NAdamWCosineLR",
        hparams={"lr": 0.004, **decays},
        clip=1.0,
        average=0.98,
    )
    assert train(output, settings, tell=stop_at(0)).sha256 == packaged.sha256


def test_what_does_not_fit_says_what_to_make_smaller(tmp_path, monkeypatch):
    def advance(*_):
        raise torch.OutOfMemoryError

    monkeypatch.setattr("optsuite.trainer.GridRun.advance", advance)
    with pytest.raises(
        OutOfMemoryError, match=r"2 trainings of each task, 2 inner steps .* do not fit on cpu"
    ):
        train(tmp_path / "it.safetensors")


def test_the_seed_the_data_and_every_setting_decide_theta(tmp_path):
    hashes = {
        json.dumps(
            {name: tensor.tolist() for name, tensor in train(tmp_path / f"{n}.safetensors", s).theta.items()}
        )
        for n, s in enumerate(
            [
                TINY,
                replace(TINY, seed=1),
                replace(TINY, average=0.9),
                replace(TINY, clip=1e-3, optimizer="SGD"),
                replace(TINY, std=0.02),
                replace(TINY, tasks=(MLP, MLP)),
                replace(TINY, estimator="unroll", piece=None),
            ]
        )
    }
    assert len(hashes) == 7


def test_tasks_of_different_data_are_trained_together(tmp_path):
    settings = replace(TINY, tasks=(MLP, CONV), steps=3)
    assert train(tmp_path / "pes.safetensors", settings).training["tasks"] == [MLP, CONV]
    train(tmp_path / "unroll.safetensors", replace(settings, estimator="unroll", piece=None, inner_steps=3))
    first = [
        float((tmp_path / f"{name}.losses.csv").read_text().split()[1][2:]) for name in ("pes", "unroll")
    ]
    np.testing.assert_allclose(first, np.log(10), atol=0.2)


def test_a_training_starts_from_a_checkpoint(tmp_path):
    start = train(
        tmp_path / "start.safetensors", replace(TINY, kind="MLPLOpt", architecture={"hidden_size": 4})
    )
    settings = replace(
        TINY, kind="MLPLOpt", init=str(tmp_path / "start.safetensors"), steps=1, hparams={"lr": 0.0}
    )
    settings = replace(settings, optimizer="SGD")
    ended = train(tmp_path / "end.safetensors", settings)
    assert ended.architecture == {"hidden_size": 4}
    assert ended.training["init"] == start.sha256
    assert all(torch.equal(ended.theta[name], tensor) for name, tensor in start.theta.items())


def test_a_checkpoint_of_something_else_is_no_start(tmp_path):
    url = str(tmp_path / "sgd.safetensors")
    write_checkpoint(url, "LearnableSGD", {"log_lr": torch.tensor(-1.0)})
    with pytest.raises(
        HParamError, match=r"kind LearnableAdam cannot start from .*, a checkpoint of kind LearnableSGD"
    ):
        train(tmp_path / "it.safetensors", replace(TINY, init=url))
    settings = replace(TINY, kind="LearnableSGD", architecture={"initial_lr": 0.5}, init=url)
    with pytest.raises(HParamError, match=r"initial_lr 0.5 cannot start .* initial_lr 0.01:"):
        train(tmp_path / "it.safetensors", settings)


def test_defaults_that_are_given_are_defaults(tmp_path):
    by_default, given = replace(TINY, kind="MLPLOpt", steps=1), {"hidden_size": 32, "exp_mult": 0.001}
    first = train(tmp_path / "it.safetensors", by_default)
    told = []
    again = replace(by_default, architecture=given)
    assert train(tmp_path / "it.safetensors", again, tell=told.append).sha256 == first.sha256
    assert not told
    assert train(tmp_path / "again.safetensors", again).sha256 == first.sha256
    from_first = replace(again, init=str(tmp_path / "it.safetensors"))
    assert train(tmp_path / "next.safetensors", from_first).architecture == {}
    small = replace(by_default, architecture={"hidden_size": 4})
    train(tmp_path / "small.safetensors", small)
    with pytest.raises(HParamError, match=r"hidden_size 32 cannot start .* of hidden_size 4"):
        train(tmp_path / "no.safetensors", replace(from_first, init=str(tmp_path / "small.safetensors")))


def test_an_optimizer_that_is_learned_is_known_by_its_content(tmp_path):
    urls = [str(tmp_path / folder / "sgd.safetensors") for folder in "ab"]
    thetas = [write_checkpoint(url, "LearnableSGD", {"log_lr": torch.tensor(-1.0)}) for url in urls]
    settings = [replace(TINY, optimizer="LearnableSGD", hparams={"theta": url}, steps=2) for url in urls]
    first = train(tmp_path / "it.safetensors", settings[0])
    assert first.training["hparams"] == {"theta": f"sha256={thetas[0].sha256}"}
    assert train(tmp_path / "it.safetensors", settings[1], tell=stop_at(0)).sha256 == first.sha256
    write_checkpoint(urls[0], "LearnableSGD", {"log_lr": torch.tensor(-2.0)})
    with pytest.raises(StorageError, match="is of another training: needed one with `hparams`"):
        train(tmp_path / "it.safetensors", settings[0])


def test_an_account_of_unrolls_has_no_deviation(tmp_path):
    settings = replace(TINY, estimator="unroll", piece=None, steps=1)
    assert "std" not in train(tmp_path / "unroll.safetensors", settings).training
    assert train(tmp_path / "pes.safetensors", replace(TINY, steps=1)).training["std"] == 0.01


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"kind": "MLPLopt"}, UnknownNameError, "did you mean MLPLOpt"),
        ({"tasks": (f"{MLP}_",)}, UnknownNameError, f"did you mean {MLP}"),
        ({"tasks": (f"ESWrapped_1pair_{MLP}",)}, UnsupportedError, "cannot be trained within another task"),
        ({"tasks": ()}, HParamError, "`tasks` must name at least one task"),
        ({"estimator": "es"}, UnknownNameError, "unknown estimator `es`: did you mean pes"),
        ({"optimizer": "Adm"}, UnknownNameError, "did you mean Adam"),
        (
            {"optimizer": "torch.optim:NAdam"},
            UnsupportedError,
            "`torch.optim:NAdam` cannot train a learned optimizer",
        ),
        ({"hparams": {"beta3": 0.5}}, HParamError, "`Adam` has no hyperparameter `beta3`"),
        ({"clip": 0.0}, HParamError, "`clip` .* must be a finite number > 0"),
        ({"average": 1.0}, HParamError, "`average` .* must be a number in"),
        ({"kind": "MLPLOpt", "architecture": {"hidden_size": 0}}, HParamError, "`hidden_size` of `MLPLOpt`"),
        ({"kind": "MLPLOpt", "architecture": {"size": 1}}, HParamError, "size"),
        ({"piece": 7}, HParamError, "`piece` must be from 2 to `inner_steps`, 6 .got 7"),
        ({"piece": 1}, HParamError, "`piece` must be from 2 to `inner_steps`, 6 .got 1"),
        ({"inner_steps": 1, "piece": None}, HParamError, "`inner_steps` must be at least 2 with pes"),
        ({"estimator": "unroll"}, HParamError, "`piece` must be all of `inner_steps` with unroll: needed 6"),
        ({"problems": 0}, HParamError, "`problems` must be at least 1"),
        ({"steps": 0}, HParamError, "`steps` must be at least 1"),
        ({"seed": -1}, HParamError, "`seed` must be at least 0"),
        ({"seed": 2**63}, HParamError, r"`seed` must be below 2\*\*63"),
        ({"std": float("inf")}, HParamError, "`std` must be a finite number > 0"),
        ({"std": float("nan")}, HParamError, "`std` must be a finite number > 0"),
        ({"std": 0.0}, HParamError, "`std` must be a finite number > 0"),
        ({"std": 0.01, "estimator": "unroll", "piece": None}, HParamError, "`std` is of pes alone"),
        ({"clip": float("inf")}, HParamError, "`clip` .* must be a finite number > 0"),
        ({"hparams": {"lr": float("inf")}}, HParamError, "`lr` .* must be a finite number >= 0"),
        ({"hparams": {"clip": 1.0}}, HParamError, "`clip` is no hyperparameter of `Adam` here"),
        ({"hparams": {"average": 0.5}}, HParamError, "`average` is no hyperparameter of `Adam` here"),
        ({"architecture": {"initial_lr": 0}}, HParamError, "`initial_lr` of `LearnableAdam` must be"),
        ({"architecture": {"initial_beta1": 1}}, HParamError, "`initial_beta1` of `LearnableAdam` must be"),
        ({"init": "nowhere.safetensors"}, StorageError, "nowhere.safetensors"),
    ],
)
def test_what_cannot_be_trained_is_said_before_anything_is_written(change, error, words, tmp_path):
    with pytest.raises(error, match=words):
        train(tmp_path / "it.safetensors", replace(TINY, **change))
    assert not names(tmp_path)


def test_an_output_that_cannot_be_written_is_found_before_training(tmp_path):
    (tmp_path / "file").touch()
    told = []
    with pytest.raises(StorageError, match="cannot write"):
        train(tmp_path / "file" / "it.safetensors", tell=told.append)
    assert not told
    with pytest.raises(StorageError, match=r"a name that ends in `.safetensors` \(got .*it.npz"):
        train(tmp_path / "it.npz")


def test_a_training_that_diverges_writes_no_checkpoint(tmp_path):
    settings = replace(TINY, optimizer="AdamW", hparams={"lr": 1e30, "weight_decay": 1e30})
    with pytest.raises(
        OptsuiteError, match=r"diverged before outer step .*: train with a smaller learning rate"
    ):
        train(tmp_path / "it.safetensors", settings)
    assert not names(tmp_path)


def test_a_training_lies_on_any_storage():
    train("memory://meta/it.safetensors")
    assert storage.exists("memory://meta/it.losses.png")


@pytest.mark.slow
def test_a_state_larger_than_other_files_is_read_again(tmp_path):
    files = Files(str(tmp_path / "theta.safetensors"), "MLPLOpt", {}, {})
    files.save({"params": np.zeros(2**29 + 1, np.int8)})
    saved = files.saved()
    assert saved is not None
    assert saved["params"].nbytes == 2**29 + 1
