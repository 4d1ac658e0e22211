"""Optimizer classes as one writes them oneself, for `class_speed.py`."""

from __future__ import annotations

import torch
from torch.optim import Optimizer


class SignMomentum(Optimizer):
    """Steps by the sign of a moving average of gradients."""

    def __init__(self, params, lr=1e-3, momentum=0.9):
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self):
        """Step by the gradients at the parameters."""
        for group in self.param_groups:
            for param in group["params"]:
                state = self.state[param]
                if not state:
                    state["average"] = torch.zeros_like(param)
                average = state["average"]
                average.mul_(group["momentum"]).add_(param.grad, alpha=1 - group["momentum"])
                param.add_(average.sign(), alpha=-group["lr"])


class MuonAndAdamW(Optimizer):
    """Steps matrices by torch's Muon and all else by torch's AdamW."""

    def __init__(self, params, lr=0.02, adam_lr_ratio=0.015):
        params = list(params)
        super().__init__(params, {"lr": lr})
        matrices = [param for param in params if param.ndim == 2]
        others = [param for param in params if param.ndim != 2]
        self.parts = [
            torch.optim.Muon(matrices, lr=lr, weight_decay=0.0),
            torch.optim.AdamW(others, lr=lr * adam_lr_ratio, weight_decay=0.0),
        ]

    def step(self):
        """Step both."""
        for part in self.parts:
            part.step()
