"""Grids and random spaces of hyperparameters become families with names of their own."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optsuite.errors import HParamError, OptsuiteError, UnknownNameError
from optsuite.hparam_sets import (
    Config,
    _families,
    get_family,
    get_hparam_set,
    list_families,
    list_hparam_sets,
    register_grid,
    register_lr_family,
)
from optsuite.hparam_sets._spaces import SPACES, configs_of, parse_space
from optsuite.optimizers import OPTIMIZERS

bounds = st.floats(1e-6, 1e6, allow_subnormal=False).map(lambda value: float(f"{value:.3g}"))


@pytest.fixture
def own_families(monkeypatch):
    monkeypatch.setattr(
        "optsuite.hparam_sets._families._FAMILIES", {name: get_family(name) for name in list_families()}
    )


@pytest.mark.usefixtures("own_families")
def test_a_grid_crosses_values_with_the_first_outermost():
    text = "Wide=AdamW+cosine(lr=log(1e-4,1)/5, weight_decay=0|0.1)"
    register_grid(text)
    register_grid(text)  # the option given twice does it
    ours = get_hparam_set("Wide_20_R3")
    values = [(c.hparams["lr"], c.hparams["weight_decay"]) for c in ours.configs]
    assert values == list(itertools.product([1e-4, 1e-3, 1e-2, 0.1, 1.0], [0, 0.1]))
    hparams = {"lr": 0.01, "weight_decay": 0.1}
    assert ours.configs[5] == Config("Wide_lr0.01_wd0.1", "AdamW+cosine", hparams)
    assert list_hparam_sets("Wide*") == ["Wide_10000_R5"]


@pytest.mark.usefixtures("own_families")
def test_values_may_be_words_bools_and_tuples_and_one_value_is_in_no_label():
    register_grid("Grow=Prodigy(growth_rate=2|inf)")
    assert [config.hparams["growth_rate"] for config in get_family("Grow").configs] == [2, float("inf")]
    assert get_family("Grow").labels == ("Grow_growth_rate2", "Grow_growth_rate_inf")
    register_grid("Words=Shampoo(lr=0.1, graft_type=SGD|SQRT_N)")
    assert get_family("Words").labels == ("Words_graft_type_SGD", "Words_graft_type_SQRT_N")
    register_grid("Class=torch.optim:Adam(lr=0.1, betas=(0.9, 0.99)|(0.5, 0.9), amsgrad=True)")
    first, second = get_family("Class").configs
    assert (first.label, second.label) == ("Class_betas_0.9-0.99", "Class_betas_0.5-0.9")
    assert second.hparams == {"lr": 0.1, "betas": (0.5, 0.9), "amsgrad": True}


@pytest.mark.usefixtures("own_families")
def test_labels_keep_the_sign():
    register_grid("Neg=torch.optim:Adafactor(lr=0.1, beta2_decay=-0.8|-0.5)")
    assert get_family("Neg").labels == ("Neg_beta2_decay_-0.8", "Neg_beta2_decay_-0.5")
    configs = configs_of(parse_space("torch.optim:Adam(betas=(0.5,0.0)|(0.9,1e-05), lr=1|0)"), "A")
    assert [one.label for one in configs][::2] == ["A_betas_0.5-0.0_lr1", "A_betas_0.9-1e-05_lr1"]


@given(low=bounds, high=bounds, num=st.integers(2, 40))
def test_ranges_rise_from_bound_to_bound_in_even_steps(low, high, num):
    text = f"SGD(lr=log({low!r},{high!r})/{num})"
    if low >= high:
        with pytest.raises(HParamError, match="needs bounds A and B with 0 < A < B"):
            parse_space(text)
        return
    values = parse_space(text).values["lr"]
    assert len(values) == num
    assert (values[0], values[-1]) == (low, high)
    for at, value in enumerate(values):
        assert value == pytest.approx(low * (high / low) ** (at / (num - 1)), rel=1e-5)


@given(low=bounds, high=bounds, num=st.integers(1, 30), more=st.integers(0, 30), seed=st.integers(0, 99))
def test_settings_are_drawn_within_bounds_and_a_smaller_space_begins_a_larger_one(low, high, num, more, seed):
    if low >= high:
        low, high = high / 2, low * 2
    high = max(high, low * 1.001)  # as many numbers of six digits as are drawn
    call = f"AdamW(lr=loguniform({low!r},{high!r}), weight_decay=0.1|0.2)"
    few, many = (configs_of(parse_space(f"{call}/{n}@{seed}"), "A") for n in (num, num + more))
    assert many[:num] == few
    assert [config.label for config in few] == [f"A_r{number}" for number in range(num)]
    for config in many:
        assert low * 0.99999 <= config.hparams["lr"] <= high * 1.00001
        assert config.hparams["weight_decay"] in (0.1, 0.2)


@given(
    optimizer=st.sampled_from(["SGD", "torch.optim:Adam", "AdamW+cosine+clip", "my/file.py:Mine+ema"]),
    choices=st.dictionaries(
        st.from_regex(r"[a-z]{1,8}[0-9]?", fullmatch=True),
        st.lists(st.floats(-1e6, 1e6) | st.integers() | st.booleans(), min_size=1, max_size=4),
        max_size=4,
    ),
)
def test_what_is_written_is_what_is_read(optimizer, choices):
    written = ", ".join(f"{name}={'|'.join(map(repr, values))}" for name, values in choices.items())
    space = parse_space(f" {optimizer}({written}) ")
    assert (space.optimizer, space.num_drawn) == (optimizer, None)
    assert {name: list(values) for name, values in space.values.items()} == choices


@pytest.mark.parametrize(
    ("path", "call"),
    [
        ("my dir (1)/a=b/my.py:Mine+clip", "(lr=0.1|1)"),
        ("C:/x (a:b(c)/my[2].py:Mine", "(lr=0.1|1)"),
        ("Größe.py:Mine", "( lr = 0.1|1 )"),
        ("a,b/my.py:Mine", "(lr=0.1|1, word=':)')"),
    ],
)
def test_the_path_of_a_file_may_have_any_letters(path, call):
    space = parse_space(path + call)
    assert (space.optimizer, space.values["lr"]) == (path, (0.1, 1))


@pytest.mark.usefixtures("own_families")
def test_a_grid_trains_a_class_in_a_folder_of_any_name(tmp_path):
    file = tmp_path / "my dir (1)" / "my.py"
    file.parent.mkdir()
    file.write_text("import torch\n\n\nclass Mine(torch.optim.SGD):\n    pass\n")
    register_grid(f"M={file}:Mine(lr=0.1|1)")
    assert [config.optimizer for config in get_family("M").configs] == [f"{file}:Mine"] * 2


@given(st.text(alphabet="AdamW:=(lr)|,/@0159.-e log uniform", max_size=40))
def test_any_other_text_is_refused_in_words(text):
    try:
        parse_space(text)
    except HParamError as error:
        words = str(error)
    else:
        words = "the grid `is one"
    assert words.startswith("the grid `")


def test_a_setting_that_was_drawn_before_is_drawn_again():
    configs = configs_of(parse_space("SGD(lr=uniform(0.100001,0.100004))/4@1"), "A")
    assert {config.hparams["lr"] for config in configs} == {0.100001, 0.100002, 0.100003, 0.100004}
    with pytest.raises(HParamError, match=r"only 4 different settings were found in it: draw 4"):
        configs_of(parse_space("SGD(lr=uniform(0.100001,0.100004))/5@1"), "A")


def test_draws_are_the_same_on_every_machine():
    """A promise: others would be other trials of the same label."""
    configs = configs_of(
        parse_space("AdamW(lr=loguniform(3e-5,1e-3), weight_decay=loguniform(5e-3,5))/2"), "A"
    )
    assert [dict(config.hparams) for config in configs] == [
        {"lr": 3.57828e-05, "weight_decay": 0.00714256},
        {"lr": 0.000674032, "weight_decay": 0.432097},
    ]


def test_another_seed_draws_others():
    one, other = (configs_of(parse_space(f"SGD(lr=uniform(0,1))/5@{seed}"), "A") for seed in (0, 1))
    assert not {config.hparams["lr"] for config in one} & {config.hparams["lr"] for config in other}


@pytest.mark.parametrize("name", sorted(SPACES.keys() & OPTIMIZERS.keys()))
def test_named_spaces_are_families_of_any_size(name):
    assert get_family(f"{name}Random5").labels == tuple(f"{name}_r{number}" for number in range(5))
    assert get_family(f"{name}Random9").configs[:5] == get_family(f"{name}Random5").configs
    wrapped = get_family(f"{name}Random5_cosine").configs[4]
    plain = get_family(f"{name}Random5").configs[4]
    assert wrapped == Config(f"{name}_cosine_r4", f"{name}+cosine", plain.hparams)
    for unknown in (f"{name}Random0", f"{name}Random5xWD", "SGDRandom5"):
        with pytest.raises(UnknownNameError):
            get_family(unknown)


@pytest.mark.usefixtures("own_families")
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("SGD(lr=0.1|1)", r"has no name: write `NAME=SGD\(lr=0.1\|1\)`"),
        ("X=SGD", r"a grid is OPTIMIZER\(HPARAM=VALUES, ...\)"),
        ("X=SGD(lr)", r"`lr` is no HPARAM=VALUES"),
        ("X=SGD(lr=0.1,lr=1)", "`lr` is given twice"),
        ("X=SGD(lr=loguniform(1e-4,1))", r"write `SGD\(lr=loguniform\(1e-4,1\)\)/50`"),
        ("X=SGD(lr=loguniform)/5", r"is no range: write it as `lr=loguniform\(1e-4,1\)`"),
        ("X=SGD(lr=loguniform(1e-4))/5", "is no range"),
        ("X=SGD(lr=loguniform(nan,1))/5", "is no range"),
        ("X=SGD(lr=loguniform(0,1))/5", "needs bounds A and B with 0 < A < B"),
        ("X=SGD(lr=uniform(1,0))/5", "needs bounds A and B with A < B"),
        ("X=SGD(lr=log(1e-4,1))", r"is no range: write it as `lr=log\(1e-4,1\)/15`"),
        ("X=SGD(lr=log(1e-4,1)/1)", "needs two values at least"),
        ("X=SGD(lr=0.1)/5", "it has no range to draw 5 settings from"),
        ("X=SGD(lr=uniform(0,1))/10001", "it makes more than 10,000 configs"),
        ("X=SGD(lr=uniform(0,1))/1" + "0" * 20, "it makes more than 10,000 configs"),
        ("X=SGD(lr=log(1e-4,1)/1" + "0" * 20 + ")", "it makes more than 10,000 configs"),
        ("X=Lars(lr=log(1e-4,1)/200, momentum=linear(0,0.9)/60)", "it makes more than 10,000 configs"),
        ("X=SGD(lr=inf)", r"`lr` of `SGD` must be a finite number >= 0, got inf \(float\)"),
        (
            "X=torch.optim:SGD(lr=0.1, momentum=nan)",
            "`momentum` of `torch.optim:SGD` must be a finite number",
        ),
        ("X=SGD(lr={[]:1})", r"`lr` of `SGD` must be a finite number >= 0, got '\{\[\]:1\}' \(str\)"),
        pytest.param("X=SGD(lr=" + "-" * 100_000 + "1)", "must be a finite number >= 0, got '--", id="deep"),
        pytest.param("X=SGD(lr=1|0x" + "f" * 999 + ")", "`lr` of `SGD` must be a finite", id="large"),
        ("X=SGD(rate=0.1)", "`SGD` has no hyperparameter `rate`"),
        ("X=SGD(lr=-1|1)", "`lr` of `SGD` must be a finite number >= 0"),
        ("X=SGD(lr=0.1|0.10)", "it makes the configs `X_lr0.1` and `X_lr0.1` alike"),
        ("X=SGD(lr=0.1|0.10000001)", "alike: leave out one value; labels show six digits"),
        ("my X=SGD(lr=0.1)", r"a grid's name is made of letters, digits and `_` \(got `my X`\)"),
        ("X=torch.optim:SGD(lr=0.1, nesterov=true|false)", "`nesterov=true` would be a word: write True or"),
        ("X=torch.optim:SGD(lr=0.1, nesterov=No)", "`nesterov=No` would be a word: write True or False"),
        (
            "X=torch.optim:SGD(lr=0.1, foreach=(off))",
            r"`foreach=\(off\)` would be a word: write True or False",
        ),
        ("X=torch.optim:SGD(lr=0.1, foreach=none)", "`foreach=none` would be a word: write True or False"),
        ("X=torch.optim:SGD(lr=0.1, nesterov=nope)", "`nesterov` of `torch.optim:SGD` must be True or False"),
        ("X=SGD+cosine+warmup(lr=0.1)", "several learning-rate schedules"),
        ("X=Fromage+cosine(lr=0.1)", "takes no learning-rate schedule"),
    ],
)
def test_a_grid_that_cannot_be_trained_makes_no_family(text, words):
    before = list_families()
    with pytest.raises(HParamError, match=words):
        register_grid(text)
    assert list_families() == before


@pytest.mark.usefixtures("own_families")
@pytest.mark.parametrize(
    "name",
    [
        *["AdamLR", "Adam", "adam", "Adam_lr1", "ADAM_LR1", "Adam_lr1_wd0", "NAdamW", "Wide", "Wide_wd0"],
        *["Adam_cosine", "adamw_cosine", "RMSPropMom_clip2_ema", "AdamW_r0", "AdamW_cosine_r17"],
    ],
)
def test_a_grid_takes_no_labels_of_other_families(name):
    register_grid("Wide=AdamW(lr=0.5,weight_decay=0|0.1)")
    with pytest.raises(OptsuiteError, match=rf"a name or labels like those of `\w+`: .* e.g. `My{name}="):
        register_grid(f"{name}=SGD(lr=0.5)")


@pytest.mark.usefixtures("own_families")
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("OptList=SGD(lr=1)", "a name or labels like those of `OptList1k`"),
        ("OptList1k=SGD(lr=1)", "a name or labels like those of `OptList1k`"),
        ("OptList7=SGD(lr=1)", "a config `OptList7`, whose folder is .* of the family `OptList1k`"),
        ("GradAccum1_adam=SGD(lr=1|2)", "a config `GradAccum1_adam_lr1`, .* family `AdamLR_GradAccum`"),
        ("LOpt=SGD(lr=1)", "the hparam set family `LOpt` is that of checkpoints"),
    ],
)
def test_a_config_takes_no_label_of_any_family(text, words, monkeypatch):
    monkeypatch.setattr(_families, "read_opt_list", None)  # which a label needs not
    before = list_families()
    with pytest.raises(OptsuiteError, match=words):
        register_grid(text)
    assert list_families() == before


@pytest.mark.usefixtures("own_families")
def test_a_family_of_rates_takes_no_label_of_a_grid():
    register_grid("NAdam=AdamW(lr=1e-3|1e-2)")
    with pytest.raises(OptsuiteError, match=r"has a config `NAdam_lr0.001`, whose folder .* `NAdam`: give"):
        register_lr_family("torch.optim:NAdam")


@pytest.mark.usefixtures("own_families")
def test_an_unknown_optimizer_of_a_grid_gets_the_nearest():
    with pytest.raises(UnknownNameError, match="unknown optimizer `AdmW`: did you mean AdamW"):
        register_grid("X=AdmW(lr=0.1)")
