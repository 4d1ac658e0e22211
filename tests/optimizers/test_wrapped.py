"""Optimizers in wrappers step as torch's plain loop does with its own tools."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from optsuite.errors import HParamError, UnknownNameError
from optsuite.optimizers import (
    OPTIMIZERS,
    WRAPPERS,
    adam,
    check_hparams,
    get_optimizer,
    get_row,
    split_wrapped,
)
from optsuite.optimizers._wrapped_class import wrapped_class

from .test_laws import assert_trees_close, index, random_tree

STEPS = 60
TOLERANCE = {"rtol": 2e-4, "atol": 2e-6}


def problem():
    """A network and its gradients at a step, those of some steps large."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3)).double()
        inputs = torch.randn(STEPS, 16, 5, dtype=torch.float64)
        scales = torch.rand(STEPS, dtype=torch.float64) * 6

    def loss_at(step, module, params):
        outputs = torch.func.functional_call(module, params, (inputs[step],))
        return scales[step] * (outputs - inputs[step, :, :3].sin()).square().mean()

    return module, loss_at


def trained_by_us(name, **hparams):
    """The parameters after each step, and those to evaluate after each."""
    module, loss_at = problem()
    params = {key: p.detach().clone() for key, p in module.named_parameters()}
    opt = get_optimizer(name, **hparams)
    state = opt.init(params, num_steps=STEPS - 1)
    path = []
    for step in range(STEPS):
        grads = torch.func.grad(lambda p, step=step: loss_at(step, module, p))(params)
        updates, state = opt.update(grads, state, params)
        params = {key: p + updates[key] for key, p in params.items()}
        path.append((params, opt.evaluated(state, params)))
    return path


def trained_by_torch(make, factor=None, max_norm=None, ema_decay=None, accum=1, scheduler=None):
    """The same of a loop as one writes it with torch."""
    module, loss_at = problem()
    optimizer = make(module.parameters())
    scheduler = scheduler(optimizer) if scheduler else factor and LambdaLR(optimizer, factor)
    mean = ema_decay and AveragedModel(module, multi_avg_fn=get_ema_multi_avg_fn(ema_decay))
    path = []
    for step in range(STEPS):
        (loss_at(step, module, dict(module.named_parameters())) / accum).backward()
        if (step + 1) % accum == 0:
            if max_norm:
                nn.utils.clip_grad_norm_(module.parameters(), max_norm)
            optimizer.step()
            optimizer.zero_grad()
            if scheduler:
                scheduler.step()
            if mean:
                mean.update_parameters(module)
        here = {key: p.detach().clone() for key, p in module.named_parameters()}
        average = mean and {key: p.detach().clone() for key, p in mean.module.named_parameters()}
        path.append((here, average or here))
    return path


def adamw(weight_decay=0.0):
    return lambda params: torch.optim.AdamW(params, lr=0.01, weight_decay=weight_decay, eps=1e-8)


def sgdm(params):
    return torch.optim.SGD(params, lr=0.05, momentum=0.9)


def assert_same_path(ours, theirs):
    for left, right in zip(ours, theirs, strict=True):
        for one, other in zip(left, right, strict=True):
            torch.testing.assert_close(one, other, **TOLERANCE)


def factor(name, warmup=0.05, final=0.0, decay=0.2):
    """The schedule as a function of the number of updates, written without the package."""

    def at(step):
        s = min(step / (STEPS - 1), 1)
        u = (s - warmup) / (1 - warmup)
        fall = max(0, (s - (1 - decay)) / decay)
        left = {
            "warmup": lambda: 1,
            "linear": lambda: final + (1 - final) * (1 - u),
            "cosine": lambda: final + (1 - final) * (1 + math.cos(math.pi * u)) / 2,
            "wsd": lambda: final + (1 - final) * (1 - fall),
            "wsd-sqrt": lambda: final + (1 - final) * (1 - math.sqrt(fall)),
            "sqrt": lambda: math.sqrt(warmup / s),
            "exponential": lambda: final**u,
        }[name]
        return s / warmup if s < warmup else left()

    return at


@pytest.mark.parametrize(
    ("name", "hparams", "shape", "given"),
    [
        ("warmup", {}, "warmup", {}),
        ("linear", {"final_fraction": 0.25}, "linear", {"final": 0.25}),
        ("cosine", {}, "cosine", {}),
        ("cosine", {"warmup_fraction": 0.3, "final_fraction": 0.1}, "cosine", {"warmup": 0.3, "final": 0.1}),
        ("wsd", {}, "wsd", {}),
        ("wsd", {"decay_fraction": 0.5, "decay_shape": "sqrt"}, "wsd-sqrt", {"decay": 0.5}),
        ("sqrt", {"warmup_fraction": 0.1}, "sqrt", {"warmup": 0.1}),
        ("exponential", {}, "exponential", {"final": 0.01}),
    ],
)
def test_schedules_are_those_of_torch_with_a_function(name, hparams, shape, given):
    ours = trained_by_us(f"AdamW+{name}", lr=0.01, weight_decay=0.1, **hparams)
    assert_same_path(ours, trained_by_torch(adamw(0.1), factor(shape, **given)))


def test_prodigy_follows_a_schedule_in_its_estimate_too():
    package = pytest.importorskip("pytorch_optimizer")
    ours = trained_by_us("Prodigy+cosine", d0=1e-3)
    theirs = trained_by_torch(lambda params: package.Prodigy(params, d0=1e-3), factor("cosine"))
    constant = trained_by_us("Prodigy", d0=1e-3)
    for (left, _), (right, _) in zip(ours, theirs, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-3, atol=1e-4)  # rounding of d comes back in d
    moved = [path[-1][0]["0.weight"] for path in (ours, constant)]
    assert (moved[0] - moved[1]).abs().max() > 0.01


def test_cosine_without_warmup_is_torchs():
    ours = trained_by_us("SGDM+cosine", lr=0.05, warmup_fraction=0.0)
    theirs = trained_by_torch(sgdm, scheduler=lambda opt: CosineAnnealingLR(opt, STEPS - 1))
    assert_same_path(ours, theirs)


def test_clipping_is_torchs():
    assert_same_path(trained_by_us("SGDM+clip", lr=0.05, max_norm=0.5), trained_by_torch(sgdm, max_norm=0.5))


def test_decay_is_that_of_adamw():
    """The rate of the step multiplies it, from a schedule too."""
    ours = trained_by_us("Adam+cosine+wd", lr=0.01, weight_decay=0.3, eps_root=0.0)
    assert_same_path(ours, trained_by_torch(adamw(0.3), factor("cosine")))


def test_average_is_that_of_torchs_averaged_model():
    ours = trained_by_us("AdamW+ema", lr=0.01, weight_decay=0.0, ema_decay=0.9)
    assert_same_path(ours, trained_by_torch(adamw(), ema_decay=0.9))


def test_all_wrappers_together_are_the_plain_loop():
    """Mean gradients are clipped, and the schedule and the average count updates of the optimizer."""
    hparams = {"warmup_fraction": 0.0, "weight_decay": 0.2, "max_norm": 0.7, "ema_decay": 0.8}
    ours = trained_by_us("Adam+cosine+wd+clip+ema+accum", lr=0.01, eps_root=0.0, num_average=3, **hparams)
    theirs = trained_by_torch(
        adamw(0.2),
        max_norm=0.7,
        ema_decay=0.8,
        accum=3,
        scheduler=lambda opt: CosineAnnealingLR(opt, (STEPS - 1) // 3),
    )
    assert_same_path(ours[2::3], theirs[2::3])


def test_before_the_first_update_the_average_is_where_training_starts():
    params = random_tree(0)
    opt = get_optimizer("Adam+ema", lr=0.1)
    assert_trees_close(opt.evaluated(opt.init(params), params), params)


SCHEDULABLE = sorted(name for name, row in OPTIMIZERS.items() if row.is_schedulable)


def test_most_rules_take_schedules():
    assert {"Adam", "AdamW", "SGD", "SGDM", "RMSProp", "Shampoo", "Lamb"} <= set(SCHEDULABLE)
    assert not {"Fromage", "NAdamWCosineLR", "AdamExpDecayLR", "PiecewiseLinearAdam"} & set(SCHEDULABLE)


@pytest.mark.parametrize(
    "name", [name for name in SCHEDULABLE if "num_average" not in OPTIMIZERS[name].hparams]
)
def test_every_rule_with_wrappers_maps_over_trials(name):
    wd = "" if "weight_decay" in OPTIMIZERS[name].hparams else "+wd"
    whole = f"{name}+wsd{wd}+clip+ema+accum"
    lrs, norms, params = torch.tensor([1e-3, 1e-1]), torch.tensor([0.5, 5.0]), random_tree(0)
    grads = [random_tree(step) for step in range(10)]

    def trial(lr, max_norm):
        opt = get_optimizer(whole, lr=lr, max_norm=max_norm, warmup_fraction=0.2)
        at, state = params, opt.init(params, num_steps=9)
        for one in grads:
            updates, state = opt.update(one, state, at)
            at = {key: p + updates[key] for key, p in at.items()}
        return at, opt.evaluated(state, at)

    together = torch.vmap(trial)(lrs, norms)
    for n in range(2):
        assert_trees_close(index(together, n), trial(lrs[n].item(), norms[n].item()))


def test_names_are_split_behind_the_path():
    assert split_wrapped("Adam") == ["Adam"]
    assert split_wrapped("a+b/c.py:D+cosine+clip") == ["a+b/c.py:D", "cosine", "clip"]


def test_hyperparameters_of_wrappers_stand_beside_the_others():
    check_hparams("Adam+cosine+clip", {"lr": 0.1, "beta1": 0.5, "warmup_fraction": 0.1, "max_norm": 2.0})
    get_optimizer("Adam+cosine+clip", lr=0.1)
    for hparams, words in [
        ({"lr": 0.1, "max_nrom": 1.0}, "has no hyperparameter `max_nrom`: it has lr, .*, max_norm"),
        ({"lr": 0.1, "max_norm": 0.0}, "`max_norm` of `Adam.cosine.clip` must be a finite number > 0"),
        ({"lr": 0.1, "warmup_fraction": 1.0}, r"must be a number in \[0, 1\)"),
        ({}, "`Adam.cosine.clip` needs `lr`"),
    ]:
        with pytest.raises(HParamError, match=words):
            check_hparams("Adam+cosine+clip", hparams)
    with pytest.raises(HParamError, match=r"must be a number in \(0, 1\)"):
        check_hparams("Adam+sqrt", {"lr": 0.1, "warmup_fraction": 0.0})


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("Adam+cosin", UnknownNameError, "unknown wrapper of `Adam.cosin`: `cosin`: did you mean cosine"),
        ("Adam+", UnknownNameError, "valid names are"),
        ("Adm+cosine", UnknownNameError, "unknown optimizer `Adm`: did you mean Adam"),
        ("Adam+clip+cosine", HParamError, r"in the order in which they wrap: write `Adam\+cosine\+clip`"),
        ("Adam+clip+clip", HParamError, r"is written once.*write `Adam\+clip`"),
        ("Adam+warmup+cosine", HParamError, "several learning-rate schedules, warmup and cosine"),
        ("Adam+cosine+cosine", HParamError, r"is written once.*write `Adam\+cosine`"),
        ("AdamW+wd", HParamError, r"`AdamW` has `weight_decay` of its own: leave out `\+wd`"),
        ("Fromage+cosine", HParamError, r"`Fromage` takes no learning-rate schedule, which `\+cosine` needs"),
        ("AdamExpDecayLR+wd", HParamError, r"takes no learning-rate schedule, which `\+wd` needs"),
        ("AdamGradAccum+clip", HParamError, "`AdamGradAccum` accumulates gradients itself"),
        ("torch.optim:NAdam+clip+cosine", HParamError, r"write `torch.optim:NAdam\+cosine\+clip`"),
        ("torch.optim:NAdam+cosin", UnknownNameError, "`cosin`: did you mean cosine"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_does(name, kind, words):
    with pytest.raises(kind, match=words):
        get_row(name)


def test_a_schedule_needs_the_length_of_the_run():
    opt = get_optimizer("Adam+cosine", lr=0.1)
    with pytest.raises(HParamError, match="`init` needs `num_steps`"):
        opt.init(random_tree(0))


def test_rules_that_move_by_their_rate_see_it_change():
    """A step of `adam` with a schedule is a step with that rate."""
    opt, params = get_optimizer("Adam+warmup", lr=0.1, warmup_fraction=0.5), random_tree(0)
    state = opt.init(params, num_steps=4)
    first, state = opt.update(random_tree(1), state, params)
    assert all((update == 0).all() for update in first.values())
    second, _ = opt.update(random_tree(1), state, params)
    plain = adam(0.05)
    plain_state = plain.update(random_tree(1), plain.init(params), params)[1]
    assert_trees_close(second, plain.update(random_tree(1), plain_state, params)[0])


def test_every_wrapper_can_be_left_with_its_defaults():
    for name in WRAPPERS:
        get_optimizer(f"SGD+{name}", lr=0.1)


def test_cautious_is_refused_where_it_does_not_fit():
    check_hparams("Adam+cautious", {"lr": 0.1})
    with pytest.raises(HParamError, match="`cautious` needs an optimizer that is evaluated at"):
        check_hparams("ScheduleFreeSGD+cautious", {"lr": 0.1})


def test_cautious_is_refused_for_a_class_that_is_evaluated_elsewhere():
    class Averaging(torch.optim.SGD):
        def eval(self): ...

        def train(self): ...

    wrapped_class(Averaging, ("clip", "ema"))
    with pytest.raises(HParamError, match="`cautious` needs an optimizer that is evaluated at"):
        wrapped_class(Averaging, ("cautious", "clip"))


class Closed(torch.optim.SGD):
    """Takes no decay, so that its base has the default, none."""

    def __init__(self, params, lr):
        super().__init__(params, lr)


class Open(torch.optim.SGD):
    def __init__(self, params, lr, **kwargs):
        super().__init__(params, lr, **kwargs)


def test_a_hyperparameter_of_a_base_that_a_class_does_not_take_may_be_a_wrappers():
    param = nn.Parameter(torch.ones(1))
    optimizer = wrapped_class(Closed, ("wd",))([param], lr=0.1, weight_decay=0.5, num_steps=8)
    param.grad = torch.ones(1)
    optimizer.step()
    assert param.item() == pytest.approx(1 - 0.1 - 0.05)
    with pytest.raises(HParamError, match="`Open` has `weight_decay` of its own: leave out the wrapper in"):
        wrapped_class(Open, ("wd",))


@pytest.mark.parametrize("is_made_alone_first", [False, True])
@pytest.mark.parametrize("wrappers", ["clip", "cosine+cautious+wd+clip+ema+accum"])
def test_the_hooks_of_a_class_run_around_its_own_steps_and_once(wrappers, is_made_alone_first):
    """Making a class without wrappers puts the hooks into its method, which the wrapped class has too."""
    calls = []

    class Hooked(torch.optim.SGD):
        def __init__(self, params, lr):
            super().__init__(params, lr)
            self.register_step_pre_hook(lambda *_: calls.append("before"))
            self.register_step_post_hook(lambda *_: calls.append("after"))

        def step(self, closure=None):
            calls.append("step")
            for param in self.param_groups[0]["params"]:
                param.data.sub_(param.grad)

    param = nn.Parameter(torch.ones(2))
    if is_made_alone_first:
        Hooked([param], lr=0.1)
    optimizer = wrapped_class(Hooked, tuple(wrappers.split("+")))([param], lr=0.1, num_steps=8)
    Hooked([param], lr=0.1)  # afterwards does no harm either
    for _ in range(4):
        param.grad = torch.ones(2)
        optimizer.step()
    assert calls == ["before", "step", "after"] * (2 if "accum" in wrappers else 4)
