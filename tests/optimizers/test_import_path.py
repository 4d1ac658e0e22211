"""Optimizer classes by import path: what can be used, and what is said of the rest."""

from __future__ import annotations

import inspect
import math
import re
import sys

import pytest
import torch

from optsuite.errors import HParamError, OptsuiteError
from optsuite.optimizers import (
    argument_defaults,
    check_hparams,
    constructor_arguments,
    get_optimizer,
    get_row,
    import_optimizer,
    list_optimizers,
    parse_call,
    parse_optimizer,
    parse_value,
    takes_loss,
)

FILE = """
import torch
from torch.optim import SGD, Adam, Optimizer

class Inheriting(Adam):
    def __init__(self, params, *args, scale=1.0, **kwargs):
        super().__init__(params, *args, **kwargs)

class Demanding(SGD):
    def __init__(self, params, rho):
        super().__init__(params)

class Calling(SGD):
    def step(self, closure=None):
        return closure()

class Particular(SGD):
    def step(self, closure=None):
        assert len(self.param_groups[0]["params"]) == 4

class Silent(SGD):
    def __init__(self, params, **options):
        super().__init__(params, lr=options.pop("lr", 0.1))

class Loose(SGD):
    def __init__(*args, **kwargs):
        SGD.__init__(*args, **kwargs)

class Closed(SGD):
    def __init__(self):
        super().__init__([])

class Buggy(SGD):
    def step(self, closure=None):
        return 1 + "1"

class Learned(SGD):
    def __init__(self, params, num_steps, lr=0.1):
        super().__init__(params, lr=lr * loud(num_steps))

    def step(self, loss):
        loss.sqrt().mul_(2).item()
        return super().step()

class Planning(Learned):
    def __init__(self, params, num_steps=None, **others):
        super().__init__(params, num_steps, **others)

class Decided(Planning):
    def __init__(self, params, num_steps=50, **others):
        super().__init__(params, num_steps, **others)

class Keyword(SGD):
    def step(self, closure=None, *, loss):
        loss.item()
        super().step()

class Handing(Learned):
    def __init__(self, params, *, scale=1.0, **others):
        super().__init__(params, **others)

    def step(self, *args, **kwargs):
        return super().step(*args, **kwargs)

class Decorated(SGD):
    @torch.no_grad()
    def step(self, closure=None, loss=None):
        loss.item()
        return super().step()

class Needy(SGD):
    def step(self, loss, model): ...

class Positional(SGD):
    def step(self, loss, /): ...

class Hidden(SGD):
    def step(self, *args): return Learned.step(self, *args)

class Deriving(SGD):
    def step(self, loss):
        self.zero_grad()
        loss.backward()
        return super().step()

class Twice(SGD):
    @torch.enable_grad()
    def step(self, loss):
        params = self.param_groups[0]["params"]
        grads = torch.autograd.grad(loss, params, create_graph=True)
        torch.autograd.grad([grad.sum() for grad in grads], params)

class Floating(SGD):
    def step(self, loss=None, closure=None):
        assert isinstance(loss, float)

class Picky(SGD):
    def step(self, loss):
        loss.item() if isinstance(loss, torch.Tensor) else loss
        assert self.param_groups[0]["params"][0].numel() > 100

class Recalling(SGD):
    def step(self, loss, closure): return closure()

def loud(num_steps):
    assert isinstance(num_steps, int)
    return 1

no_class = SGD.step
"""


@pytest.fixture
def own_file(tmp_path, monkeypatch):
    """`lib/own.py` in the current folder."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "own.py").write_text(FILE)
    monkeypatch.chdir(tmp_path)


def test_an_import_path_has_a_row_for_which_nothing_is_imported():
    row = get_row("no.such:Mine")
    assert (row.program, dict(row.hparams), row.flops((2, 3)), row.is_overwritable) == ("torch", {}, 0, False)
    assert {get_row(name).program for name in list_optimizers()} == {"pure"}


def test_a_class_is_found_in_a_module():
    assert import_optimizer("torch.optim:NAdam") is torch.optim.NAdam
    assert import_optimizer("torch.optim.adam:Adam") is torch.optim.Adam


@pytest.mark.usefixtures("own_file")
def test_a_class_is_found_in_a_file_which_runs_once():
    path = "lib/own.py:Inheriting"
    assert import_optimizer(path) is import_optimizer(f"./{path}")
    assert import_optimizer(path).__name__ == "Inheriting"


def test_files_of_one_name_are_different_modules(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "own.py").write_text(FILE)
    first, second = (import_optimizer(f"{tmp_path / folder}/own.py:Demanding") for folder in ("a", "b"))
    assert first is not second


def test_a_file_that_fails_is_tried_again(tmp_path):
    file = tmp_path / "own.py"
    file.write_text("import torch\nraise ValueError('not yet')\n")
    before = set(sys.modules)
    with pytest.raises(HParamError, match=r"cannot import `.*own.py` \(ValueError: not yet\)"):
        import_optimizer(f"{file}:Inheriting")
    assert set(sys.modules) == before
    file.write_text(FILE)
    assert import_optimizer(f"{file}:Inheriting")


def test_a_script_that_exits_ends_no_session(tmp_path):
    (tmp_path / "own.py").write_text("import sys\nsys.exit(2)\n")
    with pytest.raises(HParamError, match=r"cannot import `.*own.py` \(SystemExit: 2\)"):
        import_optimizer(f"{tmp_path}/own.py:Mine")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (
            "no.such:Mine",
            "`no.such:Mine`: cannot import `no.such` (ModuleNotFoundError: No module named 'no'",
        ),
        ("lib/other.py:Mine", "cannot import `lib/other.py` (FileNotFoundError: [Errno 2] No such file"),
        (":Mine", "`:Mine`: cannot import `` (ValueError: Empty module name)"),
        ("..lib:Mine", "`..lib:Mine`: cannot import `..lib` (TypeError: "),
        ("torch.optim:Nadam", "`torch.optim:Nadam` does not exist: did you mean NAdam, Adam"),
        ("torch.optim:", "`torch.optim:` does not exist: valid names are ASGD, Adadelta, "),
        ("torch.optim:Optimizer", "`torch.optim:Optimizer` is no subclass of torch.optim.Optimizer: "),
        (
            "lib/own.py:no_class",
            "is no subclass of torch.optim.Optimizer: valid names are Adam, Buggy, Calling",
        ),
        (
            "lib/own.py:Optimiser",
            "`lib/own.py:Optimiser` does not exist: valid names are Adam, Buggy, Calling",
        ),
        ("json:loads", "`json:loads` is no subclass of torch.optim.Optimizer: there is none in `json`"),
    ],
)
@pytest.mark.usefixtures("own_file")
def test_a_path_that_leads_nowhere_says_how_far_it_led(path, words):
    with pytest.raises(HParamError, match=re.escape(words)):
        check_hparams(path, {"lr": 0.1})


NADAM = "torch.optim:NAdam"


@pytest.mark.parametrize(
    ("path", "hparams", "words"),
    [
        (
            NADAM,
            {"momentum": 0.9},
            "`torch.optim:NAdam` has no argument `momentum`: it takes lr, betas, eps, ",
        ),
        (NADAM, {"params": 1}, "`torch.optim:NAdam` has no argument `params`"),
        (NADAM, {"defaults": 1}, "`torch.optim:NAdam` has no argument `defaults`"),
        (NADAM, {"lr": -0.1}, "`lr` of `torch.optim:NAdam` must be a finite number >= 0, got -0.1 (float)"),
        (NADAM, {"lr": float("nan")}, "must be a finite number >= 0, got nan (float)"),
        (NADAM, {"lr": float("inf")}, "must be a finite number >= 0, got inf (float)"),
        (NADAM, {"lr": torch.tensor(0.1)}, "must be a finite number >= 0, got tensor(0.1000) (Tensor)"),
        (NADAM, {"lr": "0.1"}, "must be a finite number >= 0, got '0.1' (str)"),
        (
            NADAM,
            {"eps": float("inf")},
            "`eps` of `torch.optim:NAdam` must be a finite number, True, False or a",
        ),
        (
            NADAM,
            {"maximize": "no"},
            "`maximize` of `torch.optim:NAdam` must be True or False, got 'no' (str)",
        ),
        (NADAM, {"maximize": 1}, "`maximize` of `torch.optim:NAdam` must be True or False, got 1 (int)"),
        (NADAM, {"betas": (0.9, float("nan"))}, "a word, or a tuple of these, got (0.9, nan) (tuple)"),
        (NADAM, {"betas": [0.9, 0.99]}, "or a tuple of these, got [0.9, 0.99] (list)"),
        (NADAM, {"eps": -1}, "cannot be made with eps=-1 (ValueError: Invalid epsilon value: -1)"),
        (NADAM, {"betas": (2, 0.9)}, "cannot be made with betas=(2, 0.9) (ValueError: Invalid beta"),
        ("torch.optim:SGD", {"nesterov": True}, "(ValueError: Nesterov momentum requires a momentum"),
        ("lib/own.py:Demanding", {}, "`lib/own.py:Demanding` cannot be made with its defaults (TypeError: "),
        ("lib/own.py:Inheriting", {"rho": 1}, "has no argument `rho`: it takes scale, lr, betas, eps, "),
        ("lib/own.py:Demanding", {"rho": 1, "lr": 0.1}, "has no argument `lr`: it takes rho"),
        ("lib/own.py:Loose", {"rho": 1}, "has no argument `rho`: it takes lr, momentum, dampening, "),
        ("lib/own.py:Closed", {"lr": 1}, "has no argument `lr`: it takes nothing but the parameters"),
        ("lib/own.py:Closed", {}, "cannot be made with its defaults (TypeError: "),
        ("lib/own.py:Buggy", {}, "`lib/own.py:Buggy` cannot step (TypeError: unsupported operand type(s)"),
    ],
)
@pytest.mark.usefixtures("own_file")
def test_bad_arguments_say_what_is_needed_and_what_came(path, hparams, words):
    with pytest.raises(HParamError, match=re.escape(words)):
        check_hparams(path, hparams)


@pytest.mark.parametrize(
    ("path", "hparams"),
    [
        (NADAM, {}),
        (NADAM, {"lr": 0, "betas": (0, 0.99), "decoupled_weight_decay": True}),
        ("torch.optim:Muon", {"adjust_lr_fn": "match_rms_adamw"}),
        ("lib/own.py:Inheriting", {"scale": 2.0, "lr": 0.1, "amsgrad": True}),
        ("lib/own.py:Demanding", {"rho": 0.1}),
        ("lib/own.py:Loose", {"lr": 0.1}),
        ("lib/own.py:Particular", {}),
    ],
)
@pytest.mark.usefixtures("own_file")
def test_good_arguments_are_those_of_the_constructor(path, hparams):
    """Those that it hands on to its bases too; what a step of four parameters needs is not tried on one."""
    check_hparams(path, hparams)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("torch.optim:LBFGS", r"TypeError: .* missing 1 required positional argument: 'closure'"),
        ("lib/own.py:Calling", "TypeError: 'NoneType' object is not callable"),
    ],
)
@pytest.mark.usefixtures("own_file")
def test_what_needs_a_closure_is_refused(path, reason):
    words = rf"`{path}` cannot step without a closure that computes the loss \({reason}\): such optimizers"
    with pytest.raises(HParamError, match=words):
        check_hparams(path, {})


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *((name, True) for name in ("Learned", "Keyword", "Handing", "Decorated", "Needy")),
        *((name, False) for name in ("Positional", "Hidden", "Inheriting", "Calling")),
    ],
)
@pytest.mark.parametrize("is_made", [False, True])
@pytest.mark.usefixtures("own_file")
def test_a_step_takes_the_loss_if_it_has_an_argument_of_that_name(name, expected, is_made):
    """Making an object has torch wrap the step of its class."""
    cls = import_optimizer(f"lib/own.py:{name}")
    if is_made:
        cls([torch.zeros(2)], **constructor_arguments(cls, {}, 5))
    assert takes_loss(cls) is expected


@pytest.mark.parametrize("name", ["Learned", "Keyword", "Handing", "Decorated"])
@pytest.mark.usefixtures("own_file")
def test_a_class_that_needs_loss_and_horizon_is_tried_out_with_them(name):
    check_hparams(f"lib/own.py:{name}", {})


@pytest.mark.usefixtures("own_file")
def test_the_horizon_is_for_classes_that_ask_and_configs_that_are_silent():
    learned, handing = (import_optimizer(f"lib/own.py:{name}") for name in ("Learned", "Handing"))
    assert constructor_arguments(learned, {"lr": 0.1}, 7) == {"lr": 0.1, "num_steps": 7}
    assert constructor_arguments(handing, {"num_steps": 3}, 7) == {"num_steps": 3}
    assert constructor_arguments(learned, {}, 7) == {"num_steps": 7}
    for name in ("Planning", "Decided"):  # whatever the default is
        assert constructor_arguments(import_optimizer(f"lib/own.py:{name}"), {}, 7) == {"num_steps": 7}
    assert constructor_arguments(torch.optim.SGD, {"lr": 0.1}, 7) == {"lr": 0.1}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Needy", "cannot step (TypeError: Needy.step() missing 1 required positional argument: 'model')"),
        (
            "Positional",
            "missing 1 required positional argument: 'loss'): such optimizers cannot be used here",
        ),
        ("Hidden", "missing 1 required positional argument: 'loss'): such optimizers cannot be used here"),
        ("Recalling", "cannot step without a closure that computes the loss (TypeError: "),
    ],
)
@pytest.mark.usefixtures("own_file")
def test_a_step_that_needs_more_than_the_loss_is_refused(name, words):
    with pytest.raises(HParamError, match=re.escape(words)):
        check_hparams(f"lib/own.py:{name}", {})


@pytest.mark.parametrize("name", ["Deriving", "Twice", "Floating"])
@pytest.mark.usefixtures("own_file")
def test_a_step_that_needs_another_loss_is_refused(name):
    words = (
        rf"`lib/own.py:{name}` cannot step by the loss .*Error.*: `loss` is a detached 0-d tensor, so take"
    )
    with pytest.raises(HParamError, match=words):
        check_hparams(f"lib/own.py:{name}", {})


@pytest.mark.usefixtures("own_file")
def test_a_step_that_would_fail_by_any_loss_is_left_to_its_tasks():
    check_hparams("lib/own.py:Picky", {})


def test_trying_out_leaves_the_generator_alone():
    before = torch.get_rng_state()
    check_hparams(NADAM, {})
    assert torch.equal(torch.get_rng_state(), before)


def test_a_class_is_no_pair_of_pure_functions():
    with pytest.raises(OptsuiteError, match=r"`torch\.optim:NAdam` is a class, .* name it in a `Config`"):
        get_optimizer(NADAM, lr=0.1)
    with pytest.raises(HParamError, match="has no argument `momentum`"):
        get_optimizer(NADAM, momentum=0.1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("torch.optim:NAdam", ("torch.optim:NAdam", {})),
        ("torch.optim:NAdam()", ("torch.optim:NAdam", {})),
        ("a/b.py:C(d=-1e-3, e=(0.9, 0.99))", ("a/b.py:C", {"d": -1e-3, "e": (0.9, 0.99)})),
        ("a:C(d='word',e=True)", ("a:C", {"d": "word", "e": True})),
    ],
)
def test_a_call_is_a_path_and_its_arguments(text, expected):
    assert parse_call(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "NAdam",
        "",
        "a:C(0.1)",
        "a:C(d=)",
        "a:C(d=e)",
        "a:C(**d)",
        "a:C(d=1",
        "a:C(d=1)+1",
        "a:C(d=1).e()",
        "a:C(d=1, d=2)",
    ],
)
def test_what_is_no_call_is_an_error_that_shows_one(text):
    with pytest.raises(HParamError, match=r"is MODULE:CLASS or MODULE:CLASS\(ARGUMENT=VALUE, ...\) \(got `"):
        parse_call(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Adam", ("Adam", {})),
        ("Adam+cosine+clip(lr=0.1, max_norm=2)", ("Adam+cosine+clip", {"lr": 0.1, "max_norm": 2})),
        ("torch.optim:NAdam+clip", ("torch.optim:NAdam+clip", {})),
        ("a+b (c)/d:e.py:C+ema(d='word')", ("a+b (c)/d:e.py:C+ema", {"d": "word"})),
        ("Adam(theta='a:B(c=1)')", ("Adam", {"theta": "a:B(c=1)"})),
    ],
)
def test_a_name_of_any_optimizer_may_have_hyperparameters(text, expected):
    assert parse_optimizer(text) == expected
    if ":" not in expected[0]:
        with pytest.raises(HParamError, match="is MODULE:CLASS"):
            parse_call(text)


def test_a_family_of_a_class_has_wrappers_in_its_name():
    words = r"wrappers stand in the set's name, such as `RMSpropLR_cosine_clip_2000_R2`, or in a grid \(got `"
    with pytest.raises(HParamError, match=words):
        parse_call("torch.optim:RMSprop+cosine+clip(alpha=0.9)")


def test_numbers_may_be_infinite_or_nan():
    assert parse_optimizer("Prodigy(growth_rate=inf)") == ("Prodigy", {"growth_rate": math.inf})
    assert parse_value(" (0.5, -inf) ") == (0.5, -math.inf)
    assert math.isnan(parse_value("nan"))


DEEP = [pytest.param("-" * 100_000 + "1", id="signs"), pytest.param("(" * 1000 + ")" * 1000, id="brackets")]


@pytest.mark.parametrize("text", ["{[]:1}", "1e", "a", "[inf", "", *DEEP])
def test_a_value_that_cannot_be_read_is_refused_in_words(text):
    with pytest.raises(HParamError, match="is no number, bool, word in quotes or tuple of these"):
        parse_value(text)
    with pytest.raises(HParamError, match="an optimizer is NAME or NAME"):
        parse_optimizer(f"Adam(lr={text})")


@pytest.mark.parametrize("text", ["", "Adam(0.1)", "Adam(lr=a)", "Adam+", "Adam (lr=1)", "Adam(lr=1, lr=2)"])
def test_what_is_no_name_with_hyperparameters_is_an_error_that_shows_one(text):
    with pytest.raises(
        HParamError, match=r"NAME\(HPARAM=VALUE, ...\), where NAME is .* MODULE:CLASS \(got `"
    ):
        parse_optimizer(text)


def test_arguments_have_the_defaults_of_the_class_that_names_them_first():
    defaults = argument_defaults("torch.optim:NAdam+clip")
    assert (defaults["lr"], defaults["max_norm"]) == (0.002, 1.0)
    assert defaults["num_steps"] is inspect.Parameter.empty
    assert "params" not in defaults
