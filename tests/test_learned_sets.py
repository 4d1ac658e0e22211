"""Sets that train with learned optimizers: a registered checkpoint has configs in each of four families."""

from __future__ import annotations

import json
import pickle
import re
from dataclasses import replace
from pathlib import Path

import pytest
from cells import CPU, TASK, run, tables  # noqa: F401 - a fixture
from checkpoints import flax_file, theta_of, written

from optsuite import archives, storage, sweep
from optsuite.errors import (
    HParamError,
    OptsuiteError,
    StorageError,
    UnknownNameError,
    UnsupportedError,
    in_face,
)
from optsuite.hparam_sets import (
    ACCUMULATIONS,
    Config,
    Family,
    Schedule,
    Trial,
    _families,
    get_family,
    get_hparam_set,
    list_families,
    list_hparam_sets,
    needs_checkpoint,
    register_checkpoint,
    register_family,
    register_lr_family,
)
from optsuite.storage import Store
from optsuite.sweep import Cell
from optsuite.tasks import get_task
from optsuite.trainer import train_many

GOLDEN = json.loads((Path(__file__).parent / "goldens" / "hparam_sets.json").read_text())
LEARNED = ("GradAccum_LOpt", "GraftedShampoo_LOpt", "LOpt", "LOptGradAccum10")
HASH = re.compile(r"#sha256=([0-9a-f]{64})$")


@pytest.fixture
def a(tmp_path):
    return written(tmp_path / "a.safetensors", "AdafacMLPLOpt")


@pytest.fixture
def b(tmp_path):
    return written(tmp_path / "b.safetensors", seed=1)


def labels_of(family):
    return [config.label for config in get_family(family).configs]


# Sets


def test_a_checkpoint_is_in_each_family_in_order_of_registration(a, b):
    register_checkpoint(f"Net={a}")
    register_checkpoint(b)
    assert labels_of("LOpt") == ["Net", "b"]
    assert labels_of("LOptGradAccum10") == ["GradAccum10_Net", "GradAccum10_b"]
    assert labels_of("GraftedShampoo_LOpt") == ["GraftedShampoo_Net", "GraftedShampoo_b"]
    named = [f"GradLOpt{amount}_{name}" for name in ("Net", "b") for amount in ACCUMULATIONS]
    assert labels_of("GradAccum_LOpt") == named
    optimizers = {config.optimizer for family in LEARNED for config in get_family(family).configs}
    kinds = {"AdafacMLPLOpt", "LearnableSGD"}
    assert optimizers == kinds | {f"{k}{how}" for k in kinds for how in ("GradAccum", "GraftedShampoo")}
    amounts = [config.hparams["num_average"] for config in get_family("LOptGradAccum10").configs]
    assert amounts == [10, 10]


@pytest.mark.parametrize("name", GOLDEN["learned_sets"])
def test_published_sets_have_the_lengths_of_the_reference(name, a):
    register_checkpoint(a)
    _, num_steps, repetitions = name.rsplit("_", 2)
    ours = get_hparam_set(name)
    assert not needs_checkpoint(name)
    assert (ours.schedule, ours.repetitions) == (Schedule(int(num_steps)), int(repetitions[1:]))
    assert len(ours.configs) == (12 if name.startswith("GradAccum_") else 1)


def test_registering_changes_no_published_set_and_adds_four_families(a):
    sets, families = list_hparam_sets(), list_families()
    register_checkpoint(a)
    assert list_hparam_sets() == sets
    assert list_families() == sorted([*families, *LEARNED])


def test_labels_of_all_families_differ_with_checkpoints_too(a, b):
    register_checkpoint(a)
    register_checkpoint(b)
    labels = [
        label for family in list_families() if family != "TinyLR" for label in get_family(family).labels
    ]
    assert len({label.casefold() for label in labels}) == len(labels)


# Names


@pytest.mark.parametrize(
    ("path", "name"),
    [("a-1.2.safetensors", "a_1_2"), ("params_0", "params_0"), (".hidden", "hidden"), ("é.x", "é")],
)
def test_the_name_is_the_files_made_a_word(path, name, tmp_path):
    register_checkpoint(written(tmp_path / path))
    assert labels_of("LOpt") == [name]


def test_a_checkpoint_without_a_name_asks_for_one(tmp_path):
    url = written(tmp_path / "-.safetensors")
    with pytest.raises(HParamError, match=r"has no name of a file in it: give one, NAME="):
        register_checkpoint(url)
    register_checkpoint(f"Mine={url}")
    assert labels_of("LOpt") == ["Mine"]


@pytest.mark.parametrize("text", ["", "Mine="])
def test_a_text_without_a_path_is_refused(text):
    with pytest.raises(HParamError, match=re.escape(f"a checkpoint is [NAME=]PATH (got `{text}`)")):
        register_checkpoint(text)


def test_the_same_name_and_content_again_changes_nothing(a, tmp_path):
    register_checkpoint(f"Net={a}")
    before = get_family("LOpt")
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(Path(a).read_bytes())
    register_checkpoint(f"Net={a}")
    register_checkpoint(f"Net={copy}")
    assert get_family("LOpt") is before


@pytest.mark.parametrize("name", ["Net", "NET"])
def test_one_name_for_two_contents_is_an_error(name, a, b):
    register_checkpoint(f"Net={a}")
    with pytest.raises(OptsuiteError, match=rf"would have the name `{name}`, but `Net` is `.*a.safetensors"):
        register_checkpoint(f"{name}={b}")
    assert labels_of("LOpt") == ["Net"]


@pytest.mark.parametrize("name", ["GradLOpt4_x", "gradlopt4_x", "GradAccum10_x", "GraftedShampoo_x"])
def test_a_name_that_begins_as_a_label_is_refused(name, a):
    with pytest.raises(OptsuiteError, match=f"the name `{name}` of .* begins as labels of other checkpoints"):
        register_checkpoint(f"{name}={a}")
    assert "LOpt" not in list_families()


@pytest.mark.parametrize("name", ["Adam_lr1", "adam_LR1", "OptList7"])
def test_a_name_that_is_the_label_of_another_config_is_refused(name, a):
    with pytest.raises(OptsuiteError, match=f"`{name}` of .* would make the folder of .* of the family"):
        register_checkpoint(f"{name}={a}")


def test_a_family_of_the_users_does_not_take_the_folder_of_a_checkpoint(a):
    register_checkpoint(f"Net={a}")
    mine = Family("Mine", "Mine", lambda: [Config("graftedshampoo_net", "SGD", {"lr": 0.1})])
    with pytest.raises(
        OptsuiteError, match=r"`graftedshampoo_net`, whose folder is .* `GraftedShampoo_LOpt`"
    ):
        register_family(mine)
    with pytest.raises(OptsuiteError, match="`LOpt` is that of checkpoints: choose another name"):
        register_family(replace(mine, name="LOpt"))
    register_checkpoint(f"Rprop_lr1={a}")
    with pytest.raises(OptsuiteError, match=r"`Rprop_lr1`, whose folder is .* `LOpt`"):
        register_lr_family("torch.optim:Rprop")


# Configs and trials


def config_of(url, label="Net", optimizer="AdafacMLPLOpt"):
    return Config(label, optimizer, {"theta": url})


def id_of(config):
    return Trial(TASK, config, Schedule(10), 0).id("real")


def test_a_config_names_path_and_content(a):
    theta = config_of(a).hparams["theta"]
    assert theta.startswith(f"{a}#sha256=")
    assert HASH.search(theta)
    assert config_of(theta).hparams["theta"] == theta


def test_a_trial_is_named_by_the_content_and_not_by_the_path(a, tmp_path):
    copy = tmp_path / "deep" / "copy"
    storage.write_bytes(str(copy), Path(a).read_bytes())
    first, second = config_of(a), config_of(str(copy))
    assert id_of(first) == id_of(second)
    assert id_of(first) != id_of(config_of(written(tmp_path / "c", "AdafacMLPLOpt", seed=1)))


def test_the_content_travels_with_a_config(a):
    """A process to which it is sent reads nothing, so it can be sent before the file is there."""
    config = config_of(a)
    Path(a).unlink()
    sent = pickle.loads(pickle.dumps(config))  # noqa: S301 - made here
    assert sent == config
    assert id_of(sent) == id_of(config)
    assert replace(config, label="Other").hparams == config.hparams


def test_a_config_of_a_bad_checkpoint_is_not_made(tmp_path):
    (tmp_path / "bad").write_text("text")
    for path in ("bad", "nowhere"):
        with pytest.raises(StorageError, match=f"{path}`"):
            config_of(str(tmp_path / path))
    with pytest.raises(HParamError, match="`AdafacMLPLOpt` needs `theta`: the path or URL of a checkpoint"):
        Config("Net", "AdafacMLPLOpt", {})


# Training


def train(*configs, seeds=(0,), steps=3):
    trials = [Trial(TASK, config, Schedule(steps), seed) for config in configs for seed in seeds]
    return train_many(TASK, trials, mode="synthetic", device="cpu")


def test_training_refuses_a_file_that_has_changed(a):
    config = config_of(a)
    written(a, "AdafacMLPLOpt", seed=1)
    with pytest.raises(StorageError, match=r"a.safetensors` has changed: needed a file whose sha256 is"):
        train(config)


def test_a_curve_names_path_and_content_of_its_checkpoint(a):
    (curve,) = train(config_of(a))
    hparams = json.loads(str(curve["gin_operative_config"]))["hparams"]
    assert hparams == config_of(a).hparams


@pytest.mark.filterwarnings("ignore:.*which are assumed")
def test_a_trained_theta_can_be_of_the_original(a, tmp_path):
    (tmp_path / "params_0").write_bytes(flax_file(theta_of("AdafacMLPLOpt")))
    (ours,), (original,) = train(config_of(a)), train(config_of(str(tmp_path / "params_0")))
    assert (ours["train/loss"] == original["train/loss"]).all()
    assert ours["train/loss"][-1] < ours["train/loss"][0]


def test_a_cell_of_several_checkpoints_trains_and_is_recorded(a, b, root):
    register_checkpoint(f"Net={a}")
    register_checkpoint(b)
    for family in LEARNED[1:]:
        cell = Cell(TASK, get_hparam_set(f"{family}_2_R2"))
        curves = run(cell, (root, None))
        assert {trial.config.label for trial in curves} == set(labels_of(family))
        assert all(not isinstance(curve, Exception) for curve in curves.values())
        assert not sweep.prepare(cell, cell.hparam_set.configs, roots=(root, None), mode="synthetic")[
            0
        ].trials


def test_an_archive_that_loses_a_checkpoint_says_which(a, b, root, monkeypatch):
    store = Store.at(f"{root}/curves", f"{root}/archives", "synthetic", "float32")
    families = dict(_families._FAMILIES)
    register_checkpoint(f"Net={a}")
    register_checkpoint(b)
    both = Cell(TASK, get_hparam_set("LOpt_2_R1"))
    run(both, (f"{root}/curves", None))
    assert archives.build_archive(TASK, both.hparam_set, store.curves, store.archives)
    monkeypatch.setattr(_families, "_FAMILIES", families)
    register_checkpoint(b)
    with pytest.warns(UserWarning, match="held Net too, which `LOpt_2_R1` has not now: register all of them"):
        archives.build_archive(TASK, get_hparam_set("LOpt_2_R1"), store.curves, store.archives)


def test_numbers_of_gradients_share_a_program(a):
    register_checkpoint(a)
    configs = get_family("GradAccum_LOpt").configs
    curves = train(*configs, seeds=(0, 1), steps=4)
    assert {str(curve["trained_as"]) for curve in curves} == {"2 seeds x 12 configs, eager"}


# The matrix


def sets_of(**options):
    return {cell.hparam_set.name for cell in sweep.make_matrix(tasks=TASK, device=CPU, **options).cells}


@pytest.mark.parametrize("preset", ["quick", "full"])
def test_only_plain_learned_optimizers_join_the_matrix(preset, a):
    before = sets_of(preset=preset)
    assert not any("LOpt" in name for name in before)
    register_checkpoint(a)
    added = sets_of(preset=preset) - before
    published = {name for name in GOLDEN["learned_sets"] if name.startswith("LOpt_")}
    assert added == (published if preset == "full" else {"LOpt_200_R2"})


@pytest.mark.parametrize("family", LEARNED)
def test_each_family_joins_by_its_name(family, a):
    register_checkpoint(a)
    assert sets_of(sets=f"{family}_3_R1") == {f"{family}_3_R1"}
    assert sets_of(preset="quick", sets=f"{family}_*") == {f"{family}_200_R2"}


@pytest.mark.parametrize("sets", ["LOpt_3_R1", "LOpt_1000_R5", "LOpt*", "*_LOpt_*"])
def test_sets_that_lack_a_checkpoint_say_how_to_give_one(sets):
    with pytest.raises(UnsupportedError) as caught:
        sets_of(sets=sets)
    assert "give it with `--opt-lopt PATH`, a file, a URL, or a name that" in in_face(caught.value, "pytest")
    assert "give it with `--lopt PATH`" in in_face(caught.value, "cli")
    assert 'give it with `register_checkpoint("PATH")`' in str(caught.value)


def test_a_glob_over_others_too_is_not_said_to_lack_a_checkpoint():
    with pytest.raises(UnknownNameError, match=r"unknown hparam set `\*_16384_R5`"):
        sets_of(sets="*_16384_R5", preset="quick")


def test_the_time_of_an_update_grows_with_its_network(a, b, tmp_path):
    def seconds(url, optimizer):
        trials = [Trial(TASK, config_of(url, optimizer=optimizer), Schedule(1), 0)]
        cost = sweep.estimated_cost(get_task(TASK), trials, CPU, sweep.nominal_speed(CPU))
        assert cost.is_known
        return cost.seconds

    large = written(tmp_path / "large", "AdafacMLPLOpt", hidden_size=64)
    assert seconds(b, "LearnableSGD") < seconds(a, "AdafacMLPLOpt") < seconds(large, "AdafacMLPLOpt")
    assert seconds(a, "AdafacMLPLOpt") < seconds(a, "AdafacMLPLOptGraftedShampoo")
