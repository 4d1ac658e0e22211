"""Optimizers by the names that users give them."""

from __future__ import annotations

import pytest

from optsuite.errors import HParamError, UnknownNameError
from optsuite.hparam_sets import _families, find_family, get_family, register_untuned


@pytest.fixture(autouse=True)
def forgets(monkeypatch):
    monkeypatch.setattr(_families, "_FAMILIES", dict(_families._FAMILIES))


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("Adam", "AdamLR"),
        ("AdamLR", "AdamLR"),
        ("NAdamW", "NAdamWLR"),
        ("AdamW+cosine", "AdamWLR_cosine"),
        ("Muon_cosine_clip0p5", "MuonLR_cosine_clip0p5"),
        ("AdamWxWD", "AdamWLRxWD"),
        ("SM3beta2_999_", "SM3beta2_999_LR"),
        ("AdamLR_GradAccum", "AdamLR_GradAccum"),
    ],
)
def test_a_name_stands_for_its_grid(name, family):
    assert find_family(name) == family


def test_a_name_that_is_none_is_told_with_near_ones():
    with pytest.raises(UnknownNameError, match="unknown optimizer `Adm`: did you mean Adam"):
        find_family("Adm")
    with pytest.raises(HParamError, match=r"no hparam set|wrapper"):
        find_family("AdamW+clip+cosine")


@pytest.mark.parametrize(
    ("text", "name", "hparams"),
    [
        ("torch.optim:Adam", "AdamUntuned", {}),
        ("torch.optim:Adam(lr=0.01)", "AdamUntuned", {"lr": 0.01}),
        ("Heavy=torch.optim:SGD(lr=0.01, momentum=0.9)", "Heavy", {"lr": 0.01, "momentum": 0.9}),
        ("AdamW+cosine(lr=0.01)", "AdamW_cosineUntuned", {"lr": 0.01}),
        ("Two=torch.optim:Adam(betas=(0.9, 0.95))", "Two", {"betas": (0.9, 0.95)}),
    ],
)
def test_one_setting_is_a_family(text, name, hparams):
    assert register_untuned(text) == name
    (config,) = get_family(name).configs
    assert (config.label, dict(config.hparams)) == (name, hparams)


@pytest.mark.parametrize("text", ["torch.optim:Adam(lr=0.1|0.2)", "Adam", "torch.optim:Adam(speed=1)"])
def test_more_or_less_than_one_setting_is_refused(text):
    with pytest.raises(HParamError):
        register_untuned(text)
