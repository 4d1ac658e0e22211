"""The named hparam sets are the reference's; any steps and repetitions make a set."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optsuite.errors import HParamError, OptsuiteError, StorageError, UnknownNameError, UnsupportedError
from optsuite.hparam_sets import (
    ACCUMULATIONS,
    LEARNING_RATES,
    Config,
    Family,
    Schedule,
    Trial,
    get_family,
    get_hparam_set,
    list_families,
    list_hparam_sets,
    lr_grid,
    needs_checkpoint,
    register_family,
    register_lr_family,
    trial_id,
)
from optsuite.optimizers import read_opt_list

GOLDEN = json.loads((Path(__file__).parent / "goldens" / "hparam_sets.json").read_text())
TASK = "Conv_Cifar10_8_16x32"

RATE_FAMILIES = [name for name in list_families() if len(get_family(name).labels) == len(LEARNING_RATES)]

every_set = pytest.mark.parametrize("name", sorted(GOLDEN["sets"]))
lengths = st.integers(1, 10**7)


def test_published_sets_are_those_of_the_reference():
    assert list_hparam_sets() == sorted([*GOLDEN["sets"], *GOLDEN["learned_sets"]])
    assert len(list_hparam_sets()) == 69


def test_list_hparam_sets_takes_a_glob():
    assert list_hparam_sets("RMSProp*") == ["RMSPropLR_10000_R5", "RMSPropMomLR_10000_R5"]
    assert list_hparam_sets("rmsprop*") == []


def test_learning_rates_are_those_of_the_reference():
    assert list(LEARNING_RATES) == GOLDEN["learning_rates"]


def test_numbers_of_gradients_are_those_of_the_reference():
    assert list(ACCUMULATIONS) == GOLDEN["grad_accum_amounts"]


@every_set
def test_schedule_matches_the_reference(name):
    golden, ours = GOLDEN["sets"][name], get_hparam_set(name)
    assert ours.repetitions == golden["repetitions"]
    assert len(ours.configs) == len(ours.labels) == golden["num_configs"]
    for key in ("num_steps", "eval_every", "eval_batches", "last_eval_batches"):
        assert getattr(ours.schedule, key) == golden[key]


@pytest.mark.parametrize("name", sorted(name for name in GOLDEN["sets"] if not name.startswith("OptList")))
def test_configs_match_the_reference(name):
    """The golden has the first two and the last; labels of momentum alone are ours."""
    first, second, _, last = GOLDEN["sets"][name]["configs"]
    configs = get_hparam_set(name).configs
    words = {"learning_rate": "lr", "b2": "beta2"}
    for golden, ours in [(first, configs[0]), (second, configs[1]), (last, configs[-1])]:
        hparams = {key.split(".")[1]: value for key, value in golden["hparams"].items()}
        inner = hparams.pop("opt", None)  # of the reference's gradient accumulator
        assert ours.optimizer == (f"{inner.strip('@()')}GradAccum" if inner else golden["optimizer"])
        assert ours.hparams == {words.get(key, key): value for key, value in hparams.items()}
        if name.startswith("RMSPropMom"):
            assert ours.label == golden["opt_name"].replace("RMSProp_", "RMSPropMom_")
        else:
            assert ours.label == golden["opt_name"]


@pytest.mark.usefixtures("published_opt_list")
def test_settings_of_opt_list_have_its_labels_and_numbers():
    """Ours are by their numbers where the reference's are by their place, so that they train together."""
    first, second, _, last = GOLDEN["sets"]["OptList1k_10000_R5"]["configs"]
    configs = replace(get_family("OptList1k")).configs
    for golden, ours in [(first, configs[0]), (second, configs[1]), (last, configs[999])]:
        idx = golden["hparams"]["OptList.idx"]
        assert ours == Config(golden["opt_name"], "NAdamWCosineLR", read_opt_list()[idx])
    assert tuple(config.label for config in configs) == get_family("OptList1k").labels


@pytest.mark.parametrize("family", RATE_FAMILIES)
def test_labels_name_the_learning_rates_as_the_reference_writes_them(family):
    opt = get_family(family).opt
    rates = ["1e-07", "3e-07", "1e-06", "3e-06", "1e-05", "3e-05", "0.0001", "0.0003"]
    rates += ["0.001", "0.003", "0.01", "0.03", "0.1", "0.3", "1"]
    assert [config.label for config in get_family(family).configs] == [f"{opt}_lr{rate}" for rate in rates]


def test_labels_of_all_families_differ():
    """Two configs with one label would share a folder."""
    labels = [label for family in list_families() for label in get_family(family).labels]
    assert len(set(labels)) == len(labels)


@given(family=st.sampled_from(list_families()), num_steps=lengths, repetitions=lengths)
def test_name_to_set_to_name_is_the_identity(family, num_steps, repetitions):
    name = get_family(family).set_name(num_steps, repetitions)
    ours = get_hparam_set(name)
    assert ours.name == name == f"{family}_{num_steps}_R{repetitions}"
    assert (ours.family, ours.schedule.num_steps, ours.repetitions) == (family, num_steps, repetitions)
    assert ours.configs == get_family(family).configs
    assert get_hparam_set(name) == ours


@given(family=st.sampled_from(RATE_FAMILIES), repetitions=st.integers(1, 20))
def test_trials_are_configs_times_repetitions_with_configs_outermost(family, repetitions):
    ours = get_hparam_set(f"{family}_70_R{repetitions}")
    trials = ours.trials(TASK)
    assert [(t.config, t.seed) for t in trials] == list(itertools.product(ours.configs, range(repetitions)))
    assert {t.task_name for t in trials} == {TASK}
    assert {t.schedule for t in trials} == {ours.schedule}
    assert len(set(trials)) == len({t.id("real") for t in trials}) == 15 * repetitions
    assert ours.trials_of(ours.configs[1], TASK) == trials[repetitions : 2 * repetitions]


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("AdamLR_0_R5", "AdamLR_10"),
        ("AdamLR_1000_R0", "AdamLR_1000_R5"),
        ("AdamLR_1000", "AdamLR_1000_R5"),
        ("AdamLR_R5", "AdamLR_"),
        ("AdamLR_1000_5", "AdamLR_1000_R5"),
        ("AdamLR_01000_R5", "AdamLR_1000_R5"),
        ("AdamLR_-10_R5", "AdamLR_10000_R5"),
        ("AdamLR_1e3_R5", "AdamLR_1"),
        ("AdamLR_1000_R5\n", "AdamLR_1000_R5"),
        ("adamlr_1000_R5", "AdamLR_1000_R5"),
        ("AdamLr_500_R2", "AdamLR_500_R2"),
        ("AdanLR_500_R2", "AdamLR_500_R2"),
        ("Adam_500_R2", "AdamLR_500_R2"),
        ("AdamLR_GradAcum_16384_R5", "AdamLR_GradAccum_16384_R5"),
        ("", "AdaGradLR_10000_R5"),
    ],
)
def test_names_outside_the_grammar_are_errors_that_suggest_others(name, near):
    with pytest.raises(UnknownNameError, match=rf"unknown hparam set `{name}`: .* (?s:.)*{near}"):
        get_hparam_set(name)


def test_digits_of_other_scripts_are_outside_the_grammar():
    """They would be a second name, and a second folder, of one set."""
    with pytest.raises(UnknownNameError, match="unknown hparam set"):
        get_hparam_set("AdamLR_1\u0660_R5")


def test_unknown_family_names_the_nearest():
    with pytest.raises(UnknownNameError, match="unknown hparam set family `AdamLr`: did you mean AdamLR"):
        get_family("AdamLr")


@pytest.mark.parametrize("opt", ["Adam", "SGD", "SGDM"])
def test_accumulation_crosses_numbers_of_gradients_with_learning_rates(opt):
    configs = get_family(f"{opt}LR_GradAccum").configs
    pairs = [(config.hparams["num_average"], config.hparams["lr"]) for config in configs]
    assert pairs == list(itertools.product(ACCUMULATIONS, LEARNING_RATES))
    assert configs[5 * 15 + 8].label == f"GradAccum32_{opt}_lr0.001"


@pytest.mark.parametrize("name", GOLDEN["learned_sets"])
def test_sets_of_learned_optimizers_need_a_checkpoint(name):
    assert list_hparam_sets(name) == [name]
    assert needs_checkpoint(name)
    with pytest.raises(UnsupportedError, match="no checkpoint is there: give it with `register_checkpoint"):
        get_hparam_set(name)
    with pytest.raises(UnsupportedError, match="no checkpoint is there: give it with `register_checkpoint"):
        get_family(name.rsplit("_", 2)[0])


@pytest.fixture
def own_families(monkeypatch):
    monkeypatch.setattr(
        "optsuite.hparam_sets._families._FAMILIES", {name: get_family(name) for name in list_families()}
    )


@pytest.mark.usefixtures("own_families")
def test_registered_family_has_sets_of_any_length():
    family = Family("MyAdam_LR", "MyAdam", lr_grid("MyAdam", "Adam", beta1=0.5), ((50, 1),))
    register_family(family)
    register_family(family)  # a module that is imported twice does it
    assert list_hparam_sets("My*") == ["MyAdam_LR_50_R1"]
    config = get_hparam_set("MyAdam_LR_7_R3").configs[-1]
    assert config == Config("MyAdam_lr1", "Adam", {"lr": 1.0, "beta1": 0.5})


@pytest.mark.usefixtures("own_families")
def test_registering_a_taken_family_is_an_error():
    with pytest.raises(OptsuiteError, match="an hparam set family `AdamLR` exists already"):
        register_family(Family("AdamLR", "Adam", lr_grid("Adam", "Adam")))


@pytest.mark.usefixtures("own_families")
@pytest.mark.parametrize("name", ["ADAMLR", "adamLr"])
def test_a_family_differs_from_others_in_more_than_case(name):
    with pytest.raises(OptsuiteError, match="an hparam set family `AdamLR` exists already"):
        register_family(Family(name, "Mine", lr_grid("Mine", "Adam")))


@pytest.mark.usefixtures("own_families")
def test_families_share_a_label_for_the_same_config_only():
    shared = Config("Adam_lr1", "Adam", {"lr": 1})
    register_family(Family("OneLR", "Adam", lambda: [shared]))
    assert get_family("OneLR").configs[0] in get_family("AdamLR").configs
    for label, optimizer, lr in [("Adam_lr1", "SGD", 1), ("Adam_lr1", "Adam", 2), ("adam_LR1", "Adam", 1)]:
        other = Config(label, optimizer, {"lr": lr})
        words = rf"`OtherLR` has a config `{label}`, whose folder is .* `\w+LR`: give it another label"
        with pytest.raises(OptsuiteError, match=words):
            register_family(Family("OtherLR", "Adam", lambda other=other: [other]))


def rates(*lrs, label="Adam_lr{:.3f}"):
    """A family whose labels are written with so many digits."""
    configs = [Config(label.format(lr), "Adam", {"lr": lr}) for lr in lrs]
    return Family("RoundedLR", "Adam", lambda: configs)


TWINS = [
    (
        rates(0.0014, 0.1, 0.001449),
        r"`Adam_lr0.001` \(Adam: lr=0.0014\) and `Adam_lr0.001` \(Adam: lr=0.001449\)",
    ),
    (rates(0.1, 0.1), r"`Adam_lr0.100` \(Adam: lr=0.1\) and `Adam_lr0.100` \(Adam: lr=0.1\)"),
    (
        Family("CaseLR", "A", lambda: [Config(label, "Adam", {"lr": 0.1}) for label in ("Adam_A", "adam_a")]),
        r"`Adam_A` \(Adam: lr=0.1\) and `adam_a` \(Adam: lr=0.1\)",
    ),
]


@pytest.mark.usefixtures("own_families")
@pytest.mark.parametrize(("family", "words"), TWINS)
def test_configs_that_would_share_a_folder_make_no_family(family, words):
    """Names that differ in case only are one folder on some file systems."""
    before = list_families()
    for ask in (register_family, lambda family: family.configs, lambda family: family.labels):
        with pytest.raises(
            OptsuiteError, match=rf"the family `{family.name}` has two configs .*: {words}; give"
        ):
            ask(family)
    assert list_families() == before


@pytest.mark.parametrize("known", [("A",), ("B", "A"), ("A", "B", "C"), ("A", "b"), ()])
def test_labels_that_are_known_beforehand_are_those_of_the_configs(known):
    family = Family("F", "F", lambda: [Config(label, "SGD", {"lr": 0.1}) for label in "AB"], (), known)
    with pytest.raises(
        OptsuiteError, match=r"the family `F` has .* among its `known_labels` where its configs"
    ):
        _ = family.configs


@pytest.mark.usefixtures("own_families")
@pytest.mark.parametrize(
    ("text", "opt", "optimizer", "hparams"),
    [
        ("torch.optim:NAdam", "NAdam", "torch.optim:NAdam", {}),
        ("torch.optim:SGD(momentum=0.9)", "SGD_momentum0_9", "torch.optim:SGD", {"momentum": 0.9}),
        ("Heavy=torch.optim:SGD(momentum=0.9)", "Heavy", "torch.optim:SGD", {"momentum": 0.9}),
        (
            "torch.optim:AdamW(betas=(0.9, 0.95), eps=1e-6)",
            "AdamW_betas_0_9_0_95_eps1e_06",
            "torch.optim:AdamW",
            {"betas": (0.9, 0.95), "eps": 1e-6},
        ),
    ],
)
def test_an_optimizer_class_has_a_family_of_learning_rates(text, opt, optimizer, hparams):
    register_lr_family(text)
    register_lr_family(text)  # the option given twice does it
    ours = get_hparam_set(f"{opt}LR_20_R3")
    assert (ours.opt, len(ours.configs)) == (opt, 15)
    assert ours.configs[8] == Config(f"{opt}_lr0.001", optimizer, {"lr": 1e-3, **hparams})
    assert list_hparam_sets(f"{opt}LR*") == [f"{opt}LR_10000_R5"]


@pytest.mark.usefixtures("own_families")
@pytest.mark.parametrize("text", ["torch.optim:Adam", "adam=torch.optim:NAdam", "RMSPROP=torch.optim:NAdam"])
def test_an_optimizer_class_takes_no_name_of_another_family(text):
    """Whatever the case of its letters: some file systems would mix their folders."""
    before = list_families()
    words = r"would make the family `\w+LR`, but `\w+LR` is another optimizer's: .* e.g. `My\w+=torch.optim:"
    with pytest.raises(OptsuiteError, match=words):
        register_lr_family(text)
    assert list_families() == before


@pytest.mark.usefixtures("own_families")
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("torch.optim:NAdam(lr=0.1)", r"`torch.optim:NAdam\(lr=0.1\)` sets `lr`, which is what"),
        ("torch.optim:NAdam(rho=0.1)", "`torch.optim:NAdam` has no argument `rho`"),
        ("torch.optim:LBFGS", "cannot step without a closure"),
        ("My-Adam=torch.optim:Adam", "cannot import `My-Adam=torch.optim`"),
        ("Adam", r"an optimizer is MODULE:CLASS or MODULE:CLASS\(ARGUMENT=VALUE, ...\) \(got `Adam`\)"),
    ],
)
def test_a_class_that_cannot_be_used_makes_no_family(text, words):
    before = list_families()
    with pytest.raises(HParamError, match=words):
        register_lr_family(text)
    assert list_families() == before


@pytest.mark.parametrize(
    ("optimizer", "hparams", "message"),
    [
        ("Adam", {"lr": -1.0}, "`lr` of `Adam` must be a finite number >= 0, got -1.0"),
        ("Adam", {"lr": float("nan")}, "must be a finite number >= 0, got nan"),
        ("Adam", {"lr": "0.1"}, r"got '0.1' \(str\)"),
        ("Adam", {}, "`Adam` needs `lr`"),
        ("Adam", {"lr": 0.1, "momentum": 0.9}, "`Adam` has no hyperparameter `momentum`"),
        ("RMSProp", {"lr": 0.1, "momentum": 1.0}, "`momentum` of `RMSProp` must be"),
    ],
)
def test_bad_hyperparameters_are_an_error_of_the_config(optimizer, hparams, message):
    with pytest.raises(HParamError, match=message):
        Config("label", optimizer, hparams)


def test_a_config_needs_values_that_can_be_recorded():
    words = r"`times` of a config must be a number, a bool, a word or a tuple \(got \[0, 9\]\)"
    with pytest.raises(HParamError, match=words):
        Config("label", "PiecewiseLinearAdam", {"times": [0, 9]})


def test_unknown_optimizer_is_an_error_of_the_config():
    with pytest.raises(UnknownNameError, match="unknown optimizer `Adm`: did you mean Adam"):
        Config("label", "Adm", {"lr": 0.1})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("num_steps", -1),
        ("num_steps", 1.5),
        ("eval_every", 0),
        ("eval_batches", -1),
        ("last_eval_batches", -1),
        ("num_steps", True),
    ],
)
def test_bad_schedule_is_an_error(field, value):
    with pytest.raises(ValueError, match=rf"`{field}` must be an integer >= \d \(got {value}\)"):
        Schedule(**{"num_steps": 10, field: value})


@given(st.integers(0, 300), st.integers(1, 50), st.integers(0, 3))
def test_evaluations_begin_at_zero_and_recur(num_steps, eval_every, eval_batches):
    schedule = Schedule(num_steps, eval_every, eval_batches, 10)
    steps = list(schedule.eval_steps())
    if eval_batches == 0:
        assert steps == []
    else:
        assert steps == [step for step in range(num_steps + 1) if step % eval_every == 0]
    assert schedule.batches_at(num_steps) == 10
    assert num_steps == 0 or schedule.batches_at(0) == eval_batches


TRIAL = Trial(
    TASK, Config("RMSProp_lr0.1", "RMSProp", {"lr": 0.1, "momentum": 0.5}), Schedule(100, 10, 5, 10), 3
)


def with_config(**changes):
    return replace(TRIAL, config=replace(TRIAL.config, **changes))


def with_schedule(**changes):
    return replace(TRIAL, schedule=replace(TRIAL.schedule, **changes))


OTHERS = {
    "task": replace(TRIAL, task_name="Conv_Cifar10_32x64x64"),
    "seed": replace(TRIAL, seed=4),
    "label": with_config(label="RMSProp_other"),
    "optimizer": with_config(optimizer="SGDM"),
    "value": with_config(hparams={"lr": 0.1, "momentum": 0.6}),
    "hyperparameters": with_config(hparams={"lr": 0.1}),
    "exchanged values": with_config(hparams={"lr": 0.5, "momentum": 0.1}),
    "num_steps": with_schedule(num_steps=101),
    "eval_every": with_schedule(eval_every=11),
    "eval_batches": with_schedule(eval_batches=6),
    "last_eval_batches": with_schedule(last_eval_batches=11),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_id_changes_with_every_part_of_the_identity(other):
    assert other.id("real") != TRIAL.id("real")
    assert other != TRIAL


def test_id_changes_with_the_data_and_with_nothing_else():
    assert TRIAL.id("real") != TRIAL.id("synthetic")
    assert TRIAL.id("real") == replace(TRIAL).id("real")
    assert TRIAL.id("real") == with_config(hparams={"momentum": 0.5, "lr": 0.1}).id("real")
    one, also_one = with_config(hparams={"lr": 1}), with_config(hparams={"lr": 1.0})
    assert one.id("real") == also_one.id("real")
    assert one == also_one


def test_id_knows_tuples_and_where_a_class_is_from():
    def id_of(optimizer="torch.optim:Rprop", sizes=(1e-6, 50)):
        return replace(TRIAL, config=Config("label", optimizer, {"step_sizes": sizes})).id("real")

    assert id_of() == id_of(sizes=(1e-6, 50.0))
    assert len({id_of(), id_of(sizes=(1e-6, 60)), id_of("torch.optim.rprop:Rprop")}) == 3


def test_a_trial_id_depends_on_the_identity_alone():
    identity = {"task": "T", "lr": 1e-3, "seed": 0}
    assert trial_id(identity) == trial_id(dict(reversed(identity.items())))
    assert trial_id(identity) == "bec20f8b5d"  # a new value would orphan every recorded file
    assert trial_id({"lr": 1}) == trial_id({"lr": 1.0}) != trial_id({"lr": "1"})
    others = [{**identity, "seed": 1}, {**identity, "lr": 1.001e-3}, {**identity, "task": "t"}]
    assert len({trial_id(other) for other in [identity, *others]}) == 4


def test_id_is_the_same_on_every_machine():
    """A promise: another value would train every recorded trial once more."""
    assert TRIAL.id("synthetic") == "b33379f41a"
    assert get_hparam_set("AdamLR_10000_R5").trials(TASK)[0].id("synthetic") == "4ee998447b"


@pytest.mark.parametrize("label", ["", "..", "a/b"])
def test_a_label_must_be_the_name_of_a_folder(label):
    with pytest.raises(StorageError, match="cannot name a folder"):
        register_family(Family("MineLR", "Mine", lambda: [Config(label, "SGD", {"lr": 0.1})]))
