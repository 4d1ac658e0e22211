"""Two optimizers are the same if they take the same steps from the same gradients."""

from __future__ import annotations

import math

import pytest
import torch

from optsuite import verification, verify
from optsuite.errors import HParamError, OptsuiteError, UnknownNameError
from optsuite.noise import generator_states

OWN = """
import torch
from torch.optim import SGD


class Forgetful(SGD):
    '''Leaves out the momentum after its first step.'''

    def step(self):
        super().step()
        self.state.clear()


class Failing(SGD):
    count = None

    def step(self):
        self.count = (self.count or 0) + 1
        if self.count == 3:
            raise ValueError("no more")
        super().step()


class Ending(SGD):
    count = None

    def step(self):
        self.count = (self.count or 0) + 1
        if self.count == 6:
            raise SystemExit(3)
        super().step()


class Single(SGD):
    '''Steps float32 alone.'''

    def step(self):
        if self.param_groups[0]["params"][0].dtype == torch.float64:
            raise TypeError("float32 is needed")
        super().step()


class Halving(SGD):
    '''Halves gradients by hooks.'''

    def __init__(self, params, lr):
        super().__init__(params, lr)
        for param in self.param_groups[0]["params"]:
            param.register_hook(lambda grad: grad / 2)


class Elsewhere(SGD):
    '''Is evaluated at other parameters.'''

    @torch.no_grad()
    def eval(self):
        for param in self.param_groups[0]["params"]:
            param.add_(1)

    @torch.no_grad()
    def train(self):
        pass


class Noisy(SGD):
    @torch.no_grad()
    def step(self):
        for param in self.param_groups[0]["params"]:
            param.sub_(self.param_groups[0]["lr"] * torch.rand_like(param) * param.grad)


class Overflowing(SGD):
    '''Cannot bear large gradients.'''

    @torch.no_grad()
    def step(self):
        for param in self.param_groups[0]["params"]:
            param.sub_(self.param_groups[0]["lr"] * (param.grad * 1e30 * 1e-30))


class Learned(SGD):
    '''Steps by the loss, along a schedule.'''

    def __init__(self, params, lr, num_steps):
        super().__init__(params, lr)
        self.left = num_steps

    def step(self, loss):
        assert self.left > 0 and loss.ndim == 0
        self.left -= 1
        super().step()
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "own.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)


def differing(result):
    return {one.case for one in result.comparisons if one.first}


def steps(result):
    return {one.first.step for one in result.comparisons if one.first}


@pytest.mark.parametrize(
    ("optimizer", "against"),
    [
        ("torch.optim:Adam", "Adam(eps_root=0.0)"),
        ("torch.optim:AdamW", "AdamW(weight_decay=0.01)"),
        ("torch.optim:SGD(momentum=0.9)", "SGDM"),
        ("torch.optim:NAdam+clip(max_norm=0.5)", "torch.optim:NAdam+clip(max_norm=0.5)"),
        ("torch.optim:Adam+cosine+accum(num_average=3)", "Adam+cosine+accum(eps_root=0.0, num_average=3)"),
        ("torch.optim:SGD+ema(ema_decay=0.5)", "SGD+ema(ema_decay=0.5)"),
        ("torch.optim:SGD(lr=1e4)", "SGD"),  # which diverges
    ],
)
def test_the_same_rule_is_the_same_from_elsewhere(optimizer, against):
    result = verify(optimizer, against, num_steps=12)
    assert result.is_same, str(result)
    assert len(result.comparisons) == 14
    assert result.notes == ()


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("pytorch_optimizer:Lion", "Lion"),
        ("pytorch_optimizer:Prodigy", "Prodigy"),
        ("schedulefree:AdamWScheduleFree", "ScheduleFreeAdamW"),
    ],
)
def test_rules_of_other_packages_are_the_same(theirs, ours):
    pytest.importorskip(theirs.partition(":")[0])
    assert verify(theirs, ours, num_steps=12).is_same


def test_what_adam_adds_under_the_root_shows_with_tiny_gradients_alone():
    result = verify("torch.optim:Adam", "Adam", num_steps=3)
    assert not result.is_same
    assert differing(result) == {"tiny"}
    assert steps(result) == {1}
    assert str(result).endswith(
        "they differ in 1 of 7 cases; look first at eps, also under the root, where Adam adds 1e-8 here, "
        "0 in torch"
    )


def test_a_decay_below_rounding_shows_in_float64():
    result = verify("torch.optim:AdamW(weight_decay=1e-6)", "AdamW(weight_decay=0.0)", num_steps=3)
    parted = {one.precision for one in result.comparisons if one.first}
    assert parted == {"float64"}
    assert "look first at weight decay" in str(result)
    assert result.notes == ("hyperparameters that differ: weight_decay (1e-06 and 0.0)",)


def test_the_first_step_that_differs_is_named_with_its_share():
    result = verify("torch.optim:SGD(lr=0.101)", "SGD(lr=0.1)", num_steps=2)
    assert steps(result) == {1}
    assert differing(result) == {one.case for one in result.comparisons} - {"zeros"}
    for one in result.comparisons:
        if one.first:
            assert one.first.share == pytest.approx(0.001 / 0.101, rel=0.01)
    assert verify("torch.optim:SGD(lr=0.101)", "SGD(lr=0.1)", num_steps=2, rtol=0.02).is_same


@pytest.mark.usefixtures("own")
def test_a_rule_that_forgets_differs_from_its_second_step_on():
    result = verify("own.py:Forgetful(momentum=0.9)", "SGDM", num_steps=4)
    by_case = {one.case: one.first for one in result.comparisons if one.precision == "float32"}
    assert by_case["zeros"] is None
    assert by_case["random"].step == by_case["quadratic"].step == 2
    assert f"random      {by_case['random']}" in str(result)
    assert str(by_case["random"]).startswith("from step 2 by 0.")


@pytest.mark.usefixtures("own")
def test_parameters_to_evaluate_are_compared():
    result = verify("own.py:Elsewhere", "SGD", num_steps=2)
    assert steps(result) == {None}
    assert "when evaluated by " in str(result)


@pytest.mark.usefixtures("own")
def test_a_class_steps_as_in_a_plain_loop():
    assert verify("own.py:Halving(lr=0.2)", "SGD(lr=0.1)", num_steps=3).is_same
    assert verify("own.py:Learned", "SGD", num_steps=3).is_same


@pytest.mark.usefixtures("own")
def test_what_diverges_in_one_alone_differs():
    result = verify("own.py:Overflowing", "SGD", num_steps=2)
    (at,) = (one.first for one in result.comparisons if (one.case, one.precision) == ("huge", "float32"))
    assert (at.step, at.share) == (1, float("inf"))


@pytest.mark.usefixtures("own")
def test_what_a_class_draws_is_the_same_for_both():
    before = generator_states()
    assert verify("own.py:Noisy", "own.py:Noisy", num_steps=3).is_same
    assert not verify("own.py:Noisy", "SGD", num_steps=3).is_same
    assert generator_states() == before


@pytest.mark.usefixtures("own")
def test_a_class_that_fails_is_named_with_its_error():
    with pytest.raises(OptsuiteError) as caught:
        verify("own.py:Failing", "SGD")
    assert str(caught.value) == (
        "`own.py:Failing(lr=0.001)` fails at step 3 of zeros gradients in float32 (ValueError: no more)"
    )
    with pytest.raises(OptsuiteError, match=r"fails at step 6 .* \(SystemExit: 3\)"):
        verify("own.py:Ending", "SGD")


@pytest.mark.usefixtures("own")
def test_a_class_without_float64_is_compared_in_float32():
    result = verify("own.py:Single", "SGD", num_steps=2)
    assert result.is_same
    assert {one.precision for one in result.comparisons} == {"float32"}
    (note,) = result.notes
    assert note.startswith(
        "not compared in float64, in which nothing trains: `own.py:Single(lr=0.001)` fails"
    )
    assert note in str(result)


def test_hyperparameters_of_one_name_are_compared_where_trajectories_differ():
    result = verify("torch.optim:NAdam+clip(max_norm=0.1)", "torch.optim:Adam+clip", num_steps=2)
    assert result.notes == ("hyperparameters that differ: max_norm (0.1 and 1.0)",)
    assert result.notes[0] in str(result)
    assert verify("Adam(beta1=0.5)", "Adam(beta1=0.9)", num_steps=1).notes == ()  # after one step the same


def test_a_class_of_matrices_is_compared_on_matrices():
    result = verify("torch.optim:Muon", "torch.optim:Muon(weight_decay=0.0)", num_steps=2)
    assert result.notes[0] == "on matrices alone, all that `torch.optim:Muon` takes"
    assert {one.first.parameter for one in result.comparisons if one.first} <= {"tall matrix", "wide matrix"}
    assert verify("torch.optim:Muon", "torch.optim:Muon", num_steps=2).is_same


@pytest.mark.parametrize(
    ("optimizer", "against", "rates"),
    [
        ("SGD", "SGD", (0.001, 0.001)),
        ("Adam", "torch.optim:NAdam", (0.002, 0.002)),
        ("torch.optim:NAdam", "Adam(lr=0.1)", (0.1, 0.1)),
        ("Adam(lr=0.1)", "Adam(lr=0.2)", (0.1, 0.2)),
    ],
)
def test_a_rate_that_is_not_given_is_that_of_the_other(optimizer, against, rates):
    result = verify(optimizer, against, num_steps=1)
    for call, rate in zip((result.optimizer, result.against), rates, strict=True):
        assert f"(lr={rate}" in call


def test_bad_arguments_are_explained():
    with pytest.raises(UnknownNameError, match="did you mean Adam"):
        verify("Adm", "Adam")
    with pytest.raises(HParamError, match="an optimizer is NAME or NAME"):
        verify("Adam(0.1)", "Adam")
    with pytest.raises(HParamError, match="`momentum`"):
        verify("Adam(momentum=0.9)", "Adam")
    for num_steps, rtol in [(0, 1e-4), (10**9, 1e-4), (1, -1.0), (1, math.inf), (1, math.nan)]:
        words = rf"num_steps from 1 to 100,000 and a finite rtol >= 0 \(got {num_steps} and {rtol}\)"
        with pytest.raises(HParamError, match=words):
            verify("Adam", "Adam", num_steps=num_steps, rtol=rtol)
    with pytest.raises(HParamError, match="neither optimizer moves any parameter: give a larger `lr`"):
        verify("Adam", "SGD(lr=0.0)", num_steps=2)


def test_the_gradients_are_what_they_are_called():
    """As an optimizer sees them, here one that steps by them at the rate 1."""
    seen = {}
    starts, noises = verification._drawn(verification._SHAPES, 4)
    for case in verification._CASES:
        way = verification._Side("SGD", {"lr": 1.0}).follow(case, "float64", starts, noises)
        moves = way["matrix from 0"].diff(dim=0)[:3]
        seen[case] = moves.abs().max().item(), (moves == 0).double().mean().item(), moves.sign()
    assert seen["zeros"][0] == 0
    assert 1e-21 < seen["tiny"][0] < 1e-19
    assert 1e14 < seen["huge"][0] < 1e16
    assert 0.7 < seen["sparse"][1] < 0.95
    assert torch.equal(seen["sign flips"][2][0], -seen["sign flips"][2][1])
