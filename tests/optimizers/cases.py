"""The table of optimizers over which every law runs: a new one costs a row."""

from __future__ import annotations

from typing import NamedTuple

from optsuite.optimizers import Optimizer, get_optimizer


class Case(NamedTuple):
    name: str
    golden: str  # prefix of the tags in goldens/optimizers.npz
    hparams: dict[str, float | bool] = {}  # besides lr  # noqa: RUF012 - nobody writes to it
    golden_rtol: float = 3e-5
    descent_lr: float = 0.1  # a rate that takes a quadratic to its minimum
    descent_steps: int = 300

    def __str__(self) -> str:
        return self.golden

    def make(self, lr) -> Optimizer:
        return get_optimizer(self.name, lr=lr, **self.hparams)


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
]
