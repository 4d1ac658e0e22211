"""Families that nobody has registered: rules in wrappers, and with weight decays."""

from __future__ import annotations

import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from optsuite.errors import HParamError, UnknownNameError
from optsuite.hparam_sets import (
    LEARNING_RATES,
    WEIGHT_DECAYS,
    Config,
    get_family,
    get_hparam_set,
    list_families,
    register_lr_family,
)
from optsuite.hparam_sets._grammar import near_names, parts_of
from optsuite.optimizers import WRAPPERS
from optsuite.sweep import make_matrix

SCHEDULES = [name for name, wrapper in WRAPPERS.items() if wrapper.is_schedule]
OTHERS = [name for name, wrapper in WRAPPERS.items() if not wrapper.is_schedule]


def test_wrappers_follow_the_rule():
    ours = get_hparam_set("AdamWLR_cosine_clip0p5_2000_R2")
    assert (ours.opt, ours.repetitions, ours.schedule.num_steps) == ("AdamW_cosine_clip0p5", 2, 2000)
    assert len(ours.configs) == len(LEARNING_RATES)
    hparams = {"lr": 1e-3, "max_norm": 0.5}
    assert ours.configs[8] == Config("AdamW_cosine_clip0p5_lr0.001", "AdamW+cosine+clip", hparams)


def test_decays_are_crossed_with_rates():
    """They are the rule's own, where it has one."""
    configs = get_family("AdamWLRxWD").configs
    pairs = [(config.hparams["weight_decay"], config.hparams["lr"]) for config in configs]
    assert pairs == [(decay, lr) for decay in WEIGHT_DECAYS for lr in LEARNING_RATES]
    assert configs[2 * 15 + 8] == Config("AdamW_lr0.001_wd0.1", "AdamW", {"lr": 1e-3, "weight_decay": 0.1})


def test_a_rule_without_decay_gets_it_from_a_wrapper():
    config = get_family("SGDMLRxWD_wsd_clip").configs[-1]
    hparams = {"lr": 1.0, "weight_decay": 1.0}
    assert config == Config("SGDM_wsd_clip_lr1_wd1", "SGDM+wsd+wd+clip", hparams)


def test_hyperparameters_of_the_family_stay():
    config = get_family("RMSPropMomLR_cosine").configs[-1]
    assert config == Config("RMSPropMom_cosine_lr1", "RMSProp+cosine", {"lr": 1.0, "momentum": 0.9})
    assert get_family("SM3beta2_999_LR_cosine").configs[0].optimizer == "SM3+cosine"


def test_a_rule_without_a_published_family_has_one():
    assert get_family("NAdamWLR").configs[-1] == Config("NAdamW_lr1", "NAdamW", {"lr": 1.0})


def test_classes_have_wrappers_and_decays_too(monkeypatch):
    families = {name: get_family(name) for name in list_families()}
    monkeypatch.setattr("optsuite.hparam_sets._families._FAMILIES", families)
    register_lr_family("torch.optim:NAdam")
    register_lr_family("Resilient=torch.optim:Rprop")
    hparams = {"lr": 1.0, "max_norm": 0.5, "weight_decay": 1.0}
    config = get_family("NAdamLRxWD_cosine_clip0p5").configs[-1]
    assert config == Config("NAdam_cosine_clip0p5_lr1_wd1", "torch.optim:NAdam+cosine+clip", hparams)
    assert get_family("ResilientLRxWD").configs[0].optimizer == "torch.optim:Rprop+wd"


def test_registered_names_go_first():
    assert get_family("AdamLR_GradAccum").opt == "AdamGradAccum"


@given(
    rule=st.sampled_from(["SGD", "Adam", "NAdamW", "Lars"]),
    schedule=st.sampled_from(["", *SCHEDULES]),
    others=st.sets(st.sampled_from([name for name in OTHERS if name != "wd"])),
    has_decays=st.booleans(),
)
def test_every_combination_has_a_name_and_labels_of_its_own(rule, schedule, others, has_decays):
    suffix = "".join(f"_{name}" for name in [schedule, *filter(others.__contains__, OTHERS)] if name)
    name = f"{rule}LR{'xWD' * has_decays}{suffix}"
    family = get_family(name)
    assert family.name == name
    assert get_hparam_set(f"{name}_7_R3").name == f"{name}_7_R3"
    labels = family.labels
    assert len(set(labels)) == 15 * (len(WEIGHT_DECAYS) if has_decays else 1)
    assert all(label.startswith(f"{rule}{suffix}_lr") and "=" not in label for label in labels)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("AdamLR_cosin_100_R1", "AdamLR_cosine_100_R1"),
        ("AdmLR_cosine_clip2_100_R1", "AdamLR_cosine_clip2_100_R1"),
        ("AdamWLRxwd_100_R1", "AdamWLRxWD_100_R1"),
        ("SGDMLR_WSD_100_R1", "SGDMLR_wsd_100_R1"),
        ("FooBarLR_cosine_100_R1", ""),
        ("AdamW_cosine_clip0p5_20_R1", "did you mean AdamWLR_cosine_clip0p5_20_R1"),
        ("AdamW+cosine_20_R1", "did you mean AdamWLR_cosine_20_R1"),
        ("AdamWLR+cosine+clip0.5_20_R1", "did you mean AdamWLR_cosine_clip0p5_20_R1"),
        ("AdamWLR_clip0p_20_R1", "did you mean AdamWLR_clip_20_R1"),
        ("AdamWRandom5_cosin_20_R1", "did you mean AdamWRandom5_cosine_20_R1"),
        ("NAdamWLR_cosin_20_R1", "did you mean NAdamWLR_cosine_20_R1"),
        ("AdamWLR_cosine_20_R0", "did you mean AdamWLR_cosine_20_R1"),
        ("AdamWLR_cosine_0_r3", "did you mean AdamWLR_cosine_1_R3"),
    ],
)
def test_misspelt_names_get_the_nearest(name, near):
    with pytest.raises(UnknownNameError, match=rf"unknown hparam set `{re.escape(name)}`: .*{near}\b"):
        get_hparam_set(name)


@given(
    wrapper=st.sampled_from(["clip", "wsd", "ema", "accum"]),
    number=st.from_regex(r"[1-9]{1,3}|0p0{0,9}[1-9]{1,5}|[1-9]0{0,12}", fullmatch=True),
)
def test_a_number_in_a_name_is_what_it_says(wrapper, number):
    try:
        family = get_family(f"AdamWLR_{wrapper}{number}")
    except HParamError as error:
        assert "must be" in str(error)  # noqa: PT017 - out of range, and in no other way
    else:
        key = next(iter(WRAPPERS[wrapper].hparams))
        assert family.configs[0].hparams[key] == float(number.replace("p", "."))


PIECES = ["LR", "xWD", "Random5", "_cosin", "_clip0p", "+clip0.5", "_ema", "_r"]


@given(st.lists(st.sampled_from(PIECES), max_size=6))
def test_names_that_are_near_are_names_of_the_grammar(pieces):
    for name in near_names("AdamW" + "".join(pieces), ["AdamWLR", "OptList1k", "AdamWRandom5"]):
        assert parts_of(name).name == name


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("AdamLR_clip2_cosine", r"in the order in which they wrap: write `AdamLR_cosine_clip2_...`"),
        ("SGDLRxWD_ema_wsd", "write `SGDLRxWD_wsd_ema_...`"),
        ("AdamWRandom5_clip_cosine", "write `AdamWRandom5_cosine_clip_...`"),
        ("AdamLR_clip_clip2", "is written once.*write `AdamLR_clip2_...`"),
        ("AdamLR_warmup_cosine", "several learning-rate schedules"),
        ("AdamWLR_wd", "`AdamW` has `weight_decay` of its own"),
        ("AdamLRxWD_wd", "`xWD` has a weight decay already: leave out `_wd`"),
        ("FromageLR_cosine", "`Fromage` takes no learning-rate schedule"),
        ("AdamLR_clip01", "`_clip01` is written `_clip1`"),
        ("AdamLR_clip1p50", "`_clip1p50` is written `_clip1p5`"),
        ("AdamLR_cautious2", "`_cautious` takes no number"),
        ("AdamLR_clip0", "`max_norm` of `Adam.clip` must be a finite number > 0"),
        ("AdamLR_clip" + "9" * 400, "`max_norm` of `Adam.clip` must be a finite number > 0, got inf"),
        ("AdamLR_accum2p5", "`num_average` of `Adam.accum` must be a whole number"),
    ],
)
def test_wrappers_that_do_not_fit_make_no_family(name, words):
    with pytest.raises(HParamError, match=rf"no hparam set `{name}_...` can be made of `\w+`: .*{words}"):
        get_family(name)


def names_of(pattern, preset="quick"):
    matrix = make_matrix(
        preset=preset, tasks="ImageMLP_FashionMnist8_Relu32", sets=pattern, device=torch.device("cpu")
    )
    return [cell.hparam_set.name for cell in matrix.cells]


def test_a_matrix_takes_names_and_globs_of_lengths():
    assert names_of("AdamWLRxWD_cosine_50_R1") == ["AdamWLRxWD_cosine_50_R1"]
    assert names_of("AdamWLR_cosine_*") == ["AdamWLR_cosine_200_R2"]
    assert names_of("AdamWLR_cosine_*_R5", "full") == ["AdamWLR_cosine_10000_R5"]
    assert names_of("AdamW*") == ["AdamWLR_200_R2"]
    with pytest.raises(UnknownNameError, match="unknown hparam set"):
        names_of("AdamWLR_cosin_*")


def test_the_grammar_lists_nothing():
    before = list_families()
    get_family("AdamLR_cosine")
    assert list_families() == before
