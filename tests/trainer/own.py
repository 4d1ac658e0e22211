"""Optimizer classes as users may write them."""

from __future__ import annotations

from optsuite.hparam_sets import Config

OWN = '''
import torch
from torch.optim import Optimizer


class Rebinding(Optimizer):
    """Gradient descent that does not write into its parameters."""

    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})

    def step(self):
        for group in self.param_groups:
            for param in group["params"]:
                self.update(param, group["lr"])

    def update(self, param, lr):
        param.data = param.data - lr * param.grad


class Global(Rebinding):
    """Divides by a norm over all parameters, remembered by the object."""

    def __init__(self, params, lr):
        super().__init__(params, lr)
        self.sum = 0.0

    def step(self):
        grads = [param.grad for param in self.param_groups[0]["params"]]
        self.sum = self.sum + torch.stack([grad.square().sum() for grad in grads]).sum()
        super().step()

    def update(self, param, lr):
        param.data.add_(param.grad / self.sum.sqrt(), alpha=-lr)


class Own(torch.optim.Adam):
    """Not of torch, though it looks like it."""

    def step(self, closure=None):
        assert {param.ndim for param in self.param_groups[0]["params"]} == {1, 2}
        return super().step(closure)


class Scribbling(Rebinding):
    """Decays the weights in the gradient itself."""

    def update(self, param, lr):
        param.grad.add_(param.detach(), alpha=0.1)
        param.data.add_(param.grad, alpha=-lr)


class Noisy(Rebinding):
    def update(self, param, lr):
        param.data.add_(param.grad + 0.1 * torch.randn_like(param), alpha=-lr)


class Averaging(Rebinding):
    """Evaluates the average of all parameters so far."""

    is_training = False

    def step(self):
        assert self.is_training
        super().step()

    def update(self, param, lr):
        param.add_(param.grad, alpha=-lr)
        average, count = self.state[param].get("average", (torch.zeros_like(param), 0))
        self.state[param]["average"] = average + (param - average) / (count + 1), count + 1

    def eval(self):
        self.is_training = False
        self.swap()

    def train(self):
        if self.is_training:
            return
        self.is_training = True
        self.swap()

    def swap(self):
        for param in self.param_groups[0]["params"]:
            if "average" in self.state[param]:
                average, count = self.state[param]["average"]
                self.state[param]["average"] = param.clone(), count
                param.data = average


class Fragile(Rebinding):
    """Raises for some rates, in its third step; and for numbers that are not finite."""

    steps = 0

    def step(self):
        self.steps += 1
        lr = self.param_groups[0]["lr"]
        for param in self.param_groups[0]["params"]:
            if not param.grad.isfinite().all():
                raise ArithmeticError("what is this")
        if lr == 0.25 and self.steps == 3:
            raise ArithmeticError("not a quarter")
        super().step()


class Ending(Rebinding):
    """Ends the process for some rates, in a step later than those of the try-out."""

    steps = 0

    def step(self):
        self.steps += 1
        if self.param_groups[0]["lr"] == 0.25 and self.steps == 6:
            raise SystemExit(3)
        super().step()


class Half(Rebinding):
    """Keeps moments in half precision, and things that are the same in every object."""

    def __init__(self, params, lr):
        super().__init__(params, lr)
        self.norm, self.dtype, self.history = torch.linalg.vector_norm, torch.bfloat16, []

    def update(self, param, lr):
        state = self.state[param]
        moment = state.get("moment", torch.zeros_like(param, dtype=self.dtype))
        moment = (0.9 * moment + param.grad / (1 + self.norm(param.grad))).to(self.dtype)
        state["flat"] = moment.view(-1)
        state["moment"] = state["flat"].view(moment.shape)
        self.state["steps"] = self.state.get("steps", 0) + 1
        self.history.append((float(param.grad.sum()), self.state["steps"]))
        param.data.sub_(state["moment"].float(), alpha=lr)


class OnParameters(Rebinding):
    """Keeps its momentum as an attribute of the parameter."""

    def update(self, param, lr):
        if not hasattr(param, "momentum"):
            param.momentum = torch.zeros_like(param.grad)
        param.momentum.mul_(0.9).add_(param.grad)
        param.data.add_(param.momentum, alpha=-0.1 * lr)


class Picky(Rebinding):
    """Takes a few parameters only."""

    def __init__(self, params, lr):
        params = list(params)
        if len(params) > 3:
            raise ValueError("too many")
        super().__init__(params, lr)


class Hungry(Rebinding):
    """Finds no memory once."""

    was_hungry = False

    def step(self):
        if not Hungry.was_hungry and len(self.param_groups[0]["params"]) > 1:
            Hungry.was_hungry = True
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        super().step()
'''
"""A file of classes, for the fixture `own_file`."""


def configs_of(path, hparams, *lrs):
    """A config for each rate."""
    return [Config(f"x_lr{lr}", path, {"lr": lr, **hparams}) for lr in lrs]


def own(name, *lrs):
    """Configs of a class of that file."""
    return configs_of(f"own.py:{name}", {}, *lrs)
