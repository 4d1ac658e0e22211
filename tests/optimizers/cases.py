"""The table of optimizers over which every law runs: a new one costs a row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from optsuite.optimizers import LEARNED_OPTIMIZERS, Optimizer, get_optimizer, write_checkpoint


class Case(NamedTuple):
    name: str
    golden: str | None  # begins its tags in goldens/optimizers.npz
    hparams: dict[str, Any] = {}  # besides lr  # noqa: RUF012 - nobody writes to it
    golden_rtol: float = 3e-5
    descent_lr: float = 0.1  # a rate that takes a quadratic to its minimum
    descent_steps: int = 300
    drift: float = 2e-5  # relative change by ten updates at the rate 0.01 with zero gradients
    at_lr: Callable[[Any], dict[str, Any]] = lambda lr: {"lr": lr}  # what a learning rate is called

    def __str__(self) -> str:
        return self.golden or "-".join([self.name, *self.hparams])

    @property
    def has_network(self) -> bool:
        """Whether it runs a network, of float32 weights, for each of its parameters."""
        return "MLPLOpt" in self.name

    def make(self, lr) -> Optimizer:
        return get_optimizer(self.name, **self.at_lr(lr), **self.hparams)


def made_up_theta(kind, architecture):
    """A theta with which networks step along the gradient, more or less."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        theta = LEARNED_OPTIMIZERS[kind](**architecture).init()
    if weights := [tensor for tensor in theta.values() if tensor.ndim == 2]:
        for weight in weights:
            weight *= 1e-4
        first, *middle, last = weights
        first[0, :2] = torch.tensor([1.0, -1.0])  # two units hold both signs of the gradient, a feature
        for weight in middle:
            weight[:2, :2] = torch.eye(2)
        last[:2, 0] = torch.tensor([1.0, -1.0])
    return theta


def written(kind):
    """The URL of a checkpoint."""
    url = f"memory://cases/{kind}.safetensors"
    architecture = {"step_mult": 0.01} if kind.endswith("MLPLOpt") else {"initial_lr": 0.1}
    write_checkpoint(url, kind, made_up_theta(kind, architecture), architecture=architecture)
    return url


def learned_cases():
    """Every kind of learned optimizer in every way in which it is run."""
    for kind in LEARNED_OPTIMIZERS:
        given = {"golden": None, "at_lr": lambda _: {}, "descent_steps": 1000, "drift": 1e-2}
        theta = {"theta": written(kind)}
        yield Case(kind, hparams=theta, **given)
        yield Case(f"{kind}GradAccum", hparams=theta | {"num_average": 2}, **given)
        yield Case(f"{kind}GraftedShampoo", hparams=theta, **given)


CASES = [
    Case("SGD", "SGD"),
    Case("SGDM", "SGDM"),
    Case("Adam", "Adam"),
    Case("AdamW", "AdamW"),
    Case("RMSProp", "RMSProp", descent_lr=0.01, descent_steps=600),
    Case("RMSProp", "RMSProp_m0.9", {"momentum": 0.9}, descent_lr=0.001, descent_steps=600),
    Case(
        "RMSProp",
        "RMSProp_m0.9_nesterov",
        {"momentum": 0.9, "nesterov": True},
        descent_lr=0.001,
        descent_steps=600,
    ),
    Case("RAdam", "RAdam", golden_rtol=5e-5, descent_steps=600),
    Case("AdaGrad", "AdaGrad", descent_lr=1.0),
    Case("AdamSqrtDecayLR", "AdamSqrtDecayLR", descent_steps=1000),
    Case("AdamSqrtDecayLR", "Adam_LinearRampupSqrtDecay_w5", {"warmup_steps": 5}),
    Case("AdamExpDecayLR", "AdamExpDecayLR"),
    Case("AdamExpDecayLR", "Adam_ExponentialDecay_d0.1", {"decay": 0.1}, descent_lr=0.5),
    Case(
        "PiecewiseLinearAdam",
        "PiecewiseLinearAdam_t5_15",
        {"times": (5, 15)},
        at_lr=lambda lr: {"lrs": (lr, lr / 10)},
    ),
    Case("AdaBelief", "AdaBelief"),
    Case("Yogi", "Yogi", drift=1e-3),
    Case("Lamb", "Lamb", descent_lr=0.01, descent_steps=600),
    Case("Lamb", "Lamb_wd0.01", {"weight_decay": 0.01}, descent_lr=0.01, descent_steps=600, drift=0.1),
    Case("Lars", "Lars", descent_lr=1.0, descent_steps=600),
    Case("Lars", "Lars_wd0.01", {"weight_decay": 0.01}, descent_lr=1.0, descent_steps=600, drift=1e-3),
    Case("Fromage", "Fromage", golden_rtol=2e-4, descent_lr=0.01, descent_steps=600, drift=1e-3),
    Case("SM3", "SM3", descent_lr=1.0),
    Case("SM3", "SM3_b2_0.999", {"beta2": 0.999}),
    Case("Adafactor", "Adafactor"),
    Case("Adafactor", None, {"min_dim_size_to_factor": 2}),
    Case("NAdamW", "NAdamW"),
    Case("NAdamW", "NAdamW_nonesterov", {"nesterov": False}),
    Case("NAdamW", "NAdamW_wd", {"weight_decay": 0.01, "l2_weight_decay": 0.01}, drift=1.1),
    Case(
        "NAdamWCosineLR",
        "NAdamW_cosine",
        {"min_lr_mult": 0.1, "constant_fraction": 0.5, "warmup_fraction": 0.1},
    ),
    Case("AdamGradAccum", "GradAccum4_Adam", {"num_average": 4}, descent_steps=1200),
    Case("SGDGradAccum", None, {"num_average": 2}, descent_steps=600),
    Case("SGDMGradAccum", None, {"num_average": 2}, descent_steps=600),
    Case("Shampoo", "Shampoo128_SGD", {"graft_type": "SGD"}, golden_rtol=5e-3),
    Case("Shampoo", "Shampoo128_SQRT_N", {"graft_type": "SQRT_N"}, golden_rtol=5e-3, descent_lr=0.002),
    Case("Shampoo", "Shampoo128_ADAGRAD", {"graft_type": "ADAGRAD"}, golden_rtol=5e-3),
    Case(
        "Shampoo",
        "Shampoo128_ADAGRAD_NORMALIZED",
        {"graft_type": "ADAGRAD_NORMALIZED"},
        golden_rtol=5e-3,
    ),
    Case("Shampoo", "Shampoo128_RMSPROP", {"graft_type": "RMSPROP"}, golden_rtol=5e-3),
    Case(
        "Shampoo",
        "Shampoo128_RMSPROP_NORMALIZED",
        {"graft_type": "RMSPROP_NORMALIZED"},
        golden_rtol=5e-3,
        descent_lr=0.002,
    ),
    Case("Lion", None, descent_lr=0.01),
    Case("Lion", None, {"weight_decay": 0.01}, descent_lr=0.01, drift=1e-2),
    Case("Signum", None, descent_lr=0.01),
    Case("AdEMAMix", None, {"beta3": 0.99}, descent_steps=1000),
    Case("AdEMAMix", None, {"slow_warmup": 0.0, "alpha": 2.0, "beta3": 0.95}, descent_steps=1000),
    Case("MARSAdamW", None),
    Case("ADOPT", None, {"beta2": 0.99}, descent_lr=0.05),
    Case("Prodigy", None, {"d0": 0.01}, descent_lr=1.0, at_lr=lambda lr: {"lr": 10 * lr}),
    Case("ScheduleFreeAdamW", None, {"weight_decay": 0.01}, drift=1e-2, descent_steps=1000),
    Case("ScheduleFreeSGD", None, {"warmup_steps": 5.0}, descent_lr=3.0),
    Case("Muon", None, descent_lr=5.0, descent_steps=600),
    Case("Muon", None, {"scaling": "match_rms_adamw", "adam_lr_ratio": 1.0, "nesterov": False}),
    Case("SOAP", None, {"precondition_frequency": 2}, drift=2e-3),
    Case("OptList", None, {"idx": 99}, at_lr=lambda _: {}, drift=1e-3),
    *learned_cases(),
]
