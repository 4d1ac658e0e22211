"""The newer rules step as their classes in pytorch_optimizer and in the Schedule-Free authors' package do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch

from optsuite.optimizers import Optimizer, adam, cautious, get_optimizer, lion

package = pytest.importorskip("pytorch_optimizer")
schedulefree = pytest.importorskip("schedulefree")

SHAPES = {"vector": (7,), "matrix": (5, 4), "kernel": (3, 2, 3, 3), "one": (1,)}
STEPS = 60
CORRECTED = 1e-5  # that of 1 - 0.999^t, which stays float32 here


class Pair(NamedTuple):
    ours: Optimizer
    theirs: Callable[[Any], torch.optim.Optimizer]
    rtol: float = 3e-5  # of the largest move, in float32
    rtol64: float = 1e-7  # in float64, with scalars of float32


def ours(name, **hparams):
    return get_optimizer(name, **hparams)


PAIRS = {
    "Lion": Pair(
        ours("Lion", lr=0.01, weight_decay=0.1), lambda p: package.Lion(p, lr=0.01, weight_decay=0.1)
    ),
    "Signum": Pair(
        ours("Signum", lr=0.01, weight_decay=0.1),
        lambda p: package.SignSGD(p, lr=0.01, momentum=0.9, weight_decay=0.1),
    ),
    "SignSGD": Pair(
        ours("Signum", lr=0.01, momentum=0.0), lambda p: package.SignSGD(p, lr=0.01, momentum=0.0)
    ),
    "AdEMAMix": Pair(
        ours("AdEMAMix", lr=0.01, slow_warmup=0.0, weight_decay=0.1),
        lambda p: package.AdEMAMix(p, lr=0.01, weight_decay=0.1, weight_decouple=True),
        rtol64=CORRECTED,
    ),
    "AdEMAMix_warmup": Pair(  # STEPS // 2 updates of it
        ours("AdEMAMix", lr=0.01, slow_warmup=0.5, alpha=8.0),
        lambda p: package.AdEMAMix(p, lr=0.01, alpha=8.0, t_alpha_beta3=STEPS // 2),
        rtol64=CORRECTED,
    ),
    "MARSAdamW": Pair(
        ours("MARSAdamW", lr=0.01, weight_decay=0.1),
        lambda p: package.MARS(p, lr=0.01, weight_decay=0.1, optimize_1d=True),
        rtol64=CORRECTED,
    ),
    "ADOPT": Pair(
        ours("ADOPT", lr=0.01, weight_decay=0.1),
        # The authors count from the first update that moves, this package from the one before.
        lambda p: package.ADOPT(
            p, lr=0.01, weight_decay=0.1, weight_decouple=True, clip_lambda=lambda t: (t - 1) ** 0.25
        ),
    ),
    "Prodigy": Pair(
        ours("Prodigy", weight_decay=0.1, d0=1e-3),
        lambda p: package.Prodigy(p, weight_decay=0.1, d0=1e-3),
        rtol=5e-4,  # what rounding does to d comes back in the parameters, and so in d
        rtol64=5e-6,
    ),
    "Prodigy_slow": Pair(
        ours("Prodigy", lr=0.5, d0=1e-4, d_coef=2.0, growth_rate=1.05),
        lambda p: package.Prodigy(p, lr=0.5, d0=1e-4, d_coef=2.0, growth_rate=1.05),
        rtol64=5e-6,
    ),
    "ScheduleFreeAdamW": Pair(
        ours("ScheduleFreeAdamW", lr=0.01, weight_decay=0.1),
        lambda p: schedulefree.AdamWScheduleFree(p, lr=0.01, weight_decay=0.1),
        rtol64=CORRECTED,
    ),
    "ScheduleFreeAdamW_warmup": Pair(
        ours("ScheduleFreeAdamW", lr=0.01, beta1=0.95, warmup_steps=20),
        lambda p: schedulefree.AdamWScheduleFree(p, lr=0.01, betas=(0.95, 0.999), warmup_steps=20),
        rtol64=CORRECTED,
    ),
    "ScheduleFreeSGD": Pair(
        ours("ScheduleFreeSGD", lr=0.1, weight_decay=0.1),
        lambda p: schedulefree.SGDScheduleFree(p, lr=0.1, weight_decay=0.1),
    ),
    "ScheduleFreeSGD_warmup": Pair(
        ours("ScheduleFreeSGD", lr=0.1, momentum=0.8, warmup_steps=20),
        lambda p: schedulefree.SGDScheduleFree(p, lr=0.1, momentum=0.8, warmup_steps=20),
    ),
    "cautious_Lion": Pair(cautious(lion(0.01)), lambda p: package.Lion(p, lr=0.01, cautious=True)),
    "cautious_AdEMAMix": Pair(  # without the slow average, which is never masked there
        cautious(adam(0.01, eps_root=0.0)),
        lambda p: package.AdEMAMix(p, lr=0.01, alpha=0.0, cautious=True),
        rtol64=CORRECTED,
    ),
}
every_pair = pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)


def random_tree(seed, dtype):
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=generator).to(dtype) for name, shape in SHAPES.items()}


def gradient(step, params, scale):
    """A noisy one of a quadratic, so that it depends on where the parameters are."""
    noise = random_tree(100 + step, torch.float64)
    return {name: (scale * (0.5 * p + noise[name])).to(p.dtype) for name, p in params.items()}


def noise(step, params, scale):
    """One that does not, so that the largest steps stay finite."""
    return {name: (scale * g).to(params[name].dtype) for name, g in random_tree(step, torch.float64).items()}


def follow(pair, dtype, grad_of, scale_of):
    """Step both from the same start, each by gradients at its own parameters; give all four ends."""
    start = random_tree(0, dtype)
    leaves = {name: p.clone().requires_grad_() for name, p in start.items()}
    theirs, params = pair.theirs(list(leaves.values())), dict(start)
    if hasattr(theirs, "train"):
        theirs.train()
    state = pair.ours.init(params, num_steps=STEPS)
    for step in range(STEPS):
        values = {name: leaf.detach() for name, leaf in leaves.items()}
        for name, grad in grad_of(step, values, scale_of(step)).items():
            leaves[name].grad = grad
        updates, state = pair.ours.update(grad_of(step, params, scale_of(step)), state, params)
        params = {name: p + updates[name] for name, p in params.items()}
        theirs.step()
    trained = {name: leaf.detach().clone() for name, leaf in leaves.items()}
    if hasattr(theirs, "eval"):
        theirs.eval()
    return params, trained, pair.ours.evaluated(state, params), leaves, start


def assert_same(pair, dtype, rtol, atol=1e-6, grad_of=gradient, scale_of=lambda step: 1.0):
    params, trained, evaluated, leaves, start = follow(pair, dtype, grad_of, scale_of)
    for name in SHAPES:
        moved = (trained[name] - start[name]).abs().max().item()
        near = {"rtol": 0.0, "atol": atol + rtol * moved}
        torch.testing.assert_close(params[name], trained[name], **near)
        torch.testing.assert_close(evaluated[name], leaves[name].detach(), **near)


@every_pair
def test_trajectory_is_that_of_the_other_package(pair):
    assert_same(pair, torch.float32, pair.rtol)


@every_pair
def test_rule_is_the_same_in_float64(pair):
    assert_same(pair, torch.float64, pair.rtol64, atol=1e-9)


@every_pair
@pytest.mark.parametrize("scale", [1e-20, 1e15])
def test_sizes_of_gradients_at_the_ends_are_borne_alike(pair, scale):
    """Gradients of zero are among them, the first ones too."""
    scales = [0.0 if step % 7 < 2 else scale for step in range(STEPS)]
    assert_same(pair, torch.float32, 10 * pair.rtol, grad_of=noise, scale_of=scales.__getitem__)
