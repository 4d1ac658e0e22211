"""Optimizer classes that are hard to step for many trials at once, as users may write them."""

from __future__ import annotations

ADVERSARIES = '''
import math
from functools import partial
from types import SimpleNamespace

import torch
from torch.optim import Optimizer

STEPS = {}


class Base(Optimizer):
    """Gradient descent, one parameter after the other."""

    def __init__(self, params, lr=0.1):
        super().__init__(params, {"lr": lr})
        self.count = 0

    @torch.no_grad()
    def step(self, closure=None):
        self.count += 1
        for group in self.param_groups:
            for p in group["params"]:
                self.update(p, p.grad, self.state[p], group["lr"])

    def params(self):
        return [p for group in self.param_groups for p in group["params"]]


class BranchesOnNorm(Base):
    def update(self, p, g, state, lr):
        norm = g.norm()
        if norm > 0.2:
            g = g * (0.2 / norm)
        p.add_(g, alpha=-lr)


class BranchesOnAgreement(Base):
    """Doubles or halves a rate of its own by the agreement of gradients, as a number."""

    def update(self, p, g, state, lr):
        rate = state.get("rate", 1.0)
        if "last" in state:
            rate = min(2.0, rate * 1.2) if (g * state["last"]).sum().item() > 0 else max(0.1, rate * 0.5)
        state["rate"], state["last"] = rate, g.clone()
        p.sub_(lr * rate * g)


class GlobalNorm(Base):
    def step(self, closure=None):
        torch.nn.utils.clip_grad_norm_(self.params(), 0.3)
        super().step()

    def update(self, p, g, state, lr):
        p.add_(g, alpha=-lr)


class DrawsNoise(Base):
    def update(self, p, g, state, lr):
        p.add_(g + 0.01 * torch.randn(p.shape), alpha=-lr)


class DropsUpdates(Base):
    def update(self, p, g, state, lr):
        if torch.rand(()) < 0.7:
            p.addcmul_(g, torch.bernoulli(torch.full_like(g, 0.5)), value=-lr)


class KeepsPast(Base):
    """Pulls to the parameters of three steps ago."""

    def update(self, p, g, state, lr):
        past = state.setdefault("past", [])
        past.append(p.clone())
        del past[:-3]
        p.add_(g, alpha=-lr).lerp_(past[0], 0.1)


class KeepsAliases(Base):
    """Keeps the parameter itself where others keep copies, so that nothing is pulled."""

    def update(self, p, g, state, lr):
        past = state.setdefault("past", [])
        past.append(p.detach())
        del past[:-3]
        p.add_(g, alpha=-lr)
        p.add_(past[0] - past[-1], alpha=0.5)


class ReadsItem(Base):
    def update(self, p, g, state, lr):
        p.sub_(g * (lr / (0.1 + g.abs().mean().item())), alpha=0.1)


class ReadsItemLate(Base):
    def update(self, p, g, state, lr):
        scale = 1.0 if self.count < 60 else 1 / (1 + g.norm().item())
        p.sub_(g, alpha=lr * scale)


class ReplacesData(Base):
    def update(self, p, g, state, lr):
        p.data = p.data - lr * torch.sign(g) * g.abs().sqrt() * 0.1


class KeyedById(Base):
    """Keeps its momenta outside of `state`."""

    def __init__(self, params, lr=0.1):
        super().__init__(params, lr)
        self.momenta = {id(p): torch.zeros_like(p) for p in self.params()}

    def update(self, p, g, state, lr):
        self.momenta[id(p)] = 0.9 * self.momenta[id(p)] + 0.1 * g
        p.sub_(lr * self.momenta[id(p)])


class KeepsGrad(Base):
    """Keeps the gradient's own memory, which the next backward pass may or may not write."""

    def update(self, p, g, state, lr):
        last = state.get("last", torch.zeros_like(g))
        state["last"] = p.grad
        p.sub_(lr * (1.5 * g - 0.5 * last))


class WritesGrad(Base):
    def update(self, p, g, state, lr):
        p.grad.mul_(0.5).add_(p, alpha=0.01)
        p.sub_(p.grad, alpha=lr)


class PlainZeros(Base):
    def update(self, p, g, state, lr):
        if not state:
            state["v"] = torch.zeros(p.shape)
            state["m"] = p.new_zeros(p.size())
        state["v"].mul_(0.9).addcmul_(g, g, value=0.1)
        state["m"].mul_(0.5).add_(g)
        p.addcdiv_(state["m"], state["v"].sqrt().add_(0.1), value=-0.1 * lr)


class OldSignatures(Base):
    def update(self, p, g, state, lr):
        p.data.add_(-lr * g.data)
        p.data.addcmul_(g.data, g.data.abs(), value=-lr)


class Foreach(Base):
    def step(self, closure=None):
        with torch.no_grad():
            params, lr = self.params(), self.param_groups[0]["lr"]
            grads = [p.grad for p in params]
            moments = [self.state[p].setdefault("m", torch.zeros_like(p)) for p in params]
            torch._foreach_lerp_(moments, grads, 0.2)
            norms = torch._foreach_norm(moments)
            scaled = torch._foreach_div(moments, torch._foreach_add(norms, 0.1))
            torch._foreach_add_(params, scaled, alpha=-lr)


class Where(Base):
    def update(self, p, g, state, lr):
        last = state.get("last", torch.zeros_like(g))
        state["last"] = torch.where(g * last >= 0, g, 0.5 * g)
        p.sub_(lr * state["last"].masked_fill(g.abs() < 1e-4, 0.0))


class IndexesByMask(Base):
    """The number of elements that it writes depends on the gradient."""

    def update(self, p, g, state, lr):
        mask = g.abs() > g.abs().mean()
        p[mask] -= lr * g[mask]


class TopK(Base):
    def update(self, p, g, state, lr):
        k = max(1, g.numel() // 2)
        index = g.abs().flatten().topk(k).indices
        p.view(-1).index_add_(0, index, g.flatten()[index], alpha=-lr)


class PythonArithmetic(Base):
    def update(self, p, g, state, lr):
        beta = min(0.9, self.count / (self.count + 5))
        rate = max(lr, 0.06) * math.sqrt(1 - beta) * (1 if lr > 0.07 else 2)
        p.sub_(g, alpha=rate)


class HoldsPartials(Base):
    """Reads its rate once, into a function."""

    def __init__(self, params, lr=0.1):
        super().__init__(params, lr)
        self.descend = partial(torch.Tensor.sub_, alpha=lr)
        self.rate = lambda: lr / math.sqrt(1 + self.count)

    def update(self, p, g, state, lr):
        self.descend(p, g)
        p.sub_(self.rate() * g)


class GlobalDict(Base):
    """Keeps its count of steps in the module, by object."""

    def update(self, p, g, state, lr):
        STEPS[self, p] = STEPS.get((self, p), 0) + 1
        p.sub_(g, alpha=lr / math.sqrt(STEPS[self, p]))


class PhaseChange(Base):
    def update(self, p, g, state, lr):
        m = state.setdefault("m", torch.zeros_like(p))
        m.mul_(0.8).add_(g, alpha=0.2)
        if self.count > 60:
            state["norm"] = m.norm()
            p.sub_(0.1 * lr * m / (0.01 + state["norm"]))
        else:
            p.sub_(m, alpha=lr)


class SwapsAverages(Base):
    """Evaluates averages, by `eval` and `train`."""

    mode = "train"

    def update(self, p, g, state, lr):
        assert self.mode == "train"
        p.sub_(g, alpha=lr)
        state.setdefault("average", p.clone()).lerp_(p, 1 / self.count)

    def swap(self, mode):
        if mode != self.mode and self.count:
            for p in self.params():
                kept = p.detach().clone()
                p.data.copy_(self.state[p]["average"])
                self.state[p]["average"].copy_(kept)
        self.mode = mode

    def train(self):
        self.swap("train")

    def eval(self):
        self.swap("eval")


class StringState(Base):
    def update(self, p, g, state, lr):
        total = self.state["total"].setdefault("square", torch.zeros(()))
        total.add_(g.square().sum())
        p.sub_(lr * g / (0.5 + total.sqrt()))


class Nested(Base):
    def update(self, p, g, state, lr):
        start = {"fast": [torch.zeros_like(p)], "slow": (torch.zeros_like(p), 0.99)}
        moments = state.setdefault("moments", start)
        moments["fast"][0].lerp_(g, 0.5)
        slow, beta = moments["slow"]
        moments["slow"] = (beta * slow + g, beta)
        p.sub_(lr * (moments["fast"][0] + 0.1 * moments["slow"][0]))


class CustomObjects(Base):
    def update(self, p, g, state, lr):
        held = state.setdefault("held", SimpleNamespace(m=torch.zeros_like(p), best=math.inf))
        held.m = 0.9 * held.m + g
        held.best = min(held.best, float(g.abs().max()))
        p.sub_(lr * held.m / (1 + held.best))


class SetsState(Base):
    def __setstate__(self, state):
        super().__setstate__(state)
        for group in self.param_groups:
            group.setdefault("momentum", 0.9)

    def update(self, p, g, state, lr):
        m = state.setdefault("m", torch.zeros_like(p))
        m.mul_(self.param_groups[0].get("momentum", 0.5)).add_(g)
        p.sub_(m, alpha=lr)


class HalfState(Base):
    def update(self, p, g, state, lr):
        m = state.get("m", torch.zeros_like(p, dtype=torch.bfloat16))
        state["m"] = (0.5 * m.float() + g).bfloat16()
        p.sub_(state["m"].float(), alpha=lr)


class ScalarState(Base):
    """A state of 0 dimensions for each parameter, stepped in place."""

    def update(self, p, g, state, lr):
        state.setdefault("t", torch.tensor(0.0)).add_(1)
        v = state.setdefault("v", torch.zeros(()))
        v.mul_(0.9).add_(0.1 * g.square().mean())
        p.sub_(lr * 0.1 * g / ((v / (1 - 0.9 ** state["t"])).sqrt() + 1e-3))


class GroupRates(Base):
    """Another rate for each tensor, halved in the group by the step."""

    def __init__(self, params, lr=0.1):
        params = list(params)
        super().__init__([{"params": [p], "lr": lr / (1 + n)} for n, p in enumerate(params)], lr)

    def step(self, closure=None):
        super().step()
        if self.count % 30 == 0:
            for group in self.param_groups:
                group["lr"] *= 0.5

    def update(self, p, g, state, lr):
        p.sub_(g, alpha=lr)


class Orthogonal(Base):
    """Matrices by a loop of products, vectors otherwise."""

    def update(self, p, g, state, lr):
        if p.ndim < 2:
            p.sub_(g, alpha=lr)
            return
        x = g / (g.norm() + 1e-7)
        tall = x.size(0) > x.size(1)
        x = x.T if tall else x
        for _ in range(3):
            x = 1.5 * x - 0.5 * x @ x.T @ x
        p.add_(x.T if tall else x, alpha=-0.1 * lr)


class SharesBetweenTensors(Base):
    """Steps a tensor by a number that the tensor before it left."""

    left = 0.0

    def update(self, p, g, state, lr):
        p.sub_(lr * g / (1 + self.left))
        self.left = g.abs().max()


class Remakes(Base):
    """Makes its moments anew every 25 steps."""

    def update(self, p, g, state, lr):
        if self.count % 25 == 1:
            state.clear()
            state["m"] = g.clone()
        state["m"].lerp_(g, 0.3)
        p.sub_(state["m"], alpha=lr)


class Lookahead(Base):
    """Goes back to slow weights every fifth step."""

    def __init__(self, params, lr=0.1):
        super().__init__(params, lr)
        self.slow = [p.detach().clone() for p in self.params()]

    def step(self, closure=None):
        super().step()
        if self.count % 5 == 0:
            for p, slow in zip(self.params(), self.slow):
                slow.lerp_(p.data, 0.5)
                p.data.copy_(slow)

    def update(self, p, g, state, lr):
        p.sub_(g, alpha=lr)


class FreezesLate(Base):
    """Leaves its first parameter where it is from step 20 on."""

    def step(self, closure=None):
        super().step()
        if self.count == 20:
            self.params()[0].requires_grad = False

    def update(self, p, g, state, lr):
        if g is not None:
            p.add_(g, alpha=-lr)


class HooksLate(Base):
    """Flips gradients from step 20 on."""

    def step(self, closure=None):
        super().step()
        if self.count == 20:
            self.params()[0].register_hook(lambda grad: -0.5 * grad)

    def update(self, p, g, state, lr):
        p.add_(g, alpha=-lr)


class ViewsPlainZeros(Base):
    """Writes once, late, through a view of memory that it has made itself."""

    def update(self, p, g, state, lr):
        pull = state.setdefault("pull", torch.zeros(p.shape))
        if self.count == 20:
            pull.view(-1).add_(g.reshape(-1))
        p.sub_(g + pull, alpha=lr)


class WritesOut(Base):
    """Keeps memory for what it computes."""

    def update(self, p, g, state, lr):
        room = state.setdefault("room", torch.empty_like(p))
        torch.mul(g, lr, out=room)
        torch.maximum(room, torch.full_like(room, -0.05), out=room)
        p.sub_(room)


class BackTracks(Base):
    """Stops as soon as the largest gradient is small: it branches for some trials and not for others."""

    def update(self, p, g, state, lr):
        while g.abs().max() > 0.05:
            g = 0.5 * g
        p.sub_(g, alpha=lr)


class CoolsLocally(Base):
    """Halves its rate late, as a number of its own in one place, and as that of a group in another."""

    def step(self, closure=None):
        super().step()
        if self.count == 20:
            self.param_groups[0]["lr"] *= 1.5
            assert self.param_groups[0]["lr"] != self.defaults["lr"]

    def update(self, p, g, state, lr):
        if self.count > 12:
            lr *= 0.5
        p.add_(g, alpha=-lr)


class LooksAtChange(Base):
    """Compares a sum in double precision with its value of before, which it has as a number."""

    def update(self, p, g, state, lr):
        total = state.setdefault("sum", torch.zeros((), dtype=torch.float64))
        before = total.item()
        total.add_(g.abs().sum().double())
        p.add_(g, alpha=-lr * (1 + (total.item() - before) / total.item()))


class TriesLate(Base):
    """Asks for a number late, and has another way if there is none."""

    def update(self, p, g, state, lr):
        if self.count == 20:
            try:
                state["scale"] = 1 / (1 + 10 * float(g.norm()))
            except Exception:
                state["scale"] = 1.0
        p.add_(g, alpha=-lr * state.get("scale", 1.0))


class AsksForTypeLate(Base):
    def update(self, p, g, state, lr):
        is_slower = self.count == 20 and isinstance(lr, float)
        p.add_(g, alpha=-lr * (0.1 if is_slower else 1.0))


class KeepsOnParameters(Base):
    """Keeps its momentum as an attribute of the parameter."""

    def update(self, p, g, state, lr):
        if not hasattr(p, "momentum"):
            p.momentum = torch.zeros_like(g)
        p.momentum.mul_(0.9).add_(g)
        p.add_(p.momentum, alpha=-0.1 * lr)


class Clock:
    """Counts, and holds nothing else."""

    def __init__(self):
        self.time = 0

    def tick(self):
        self.time += 1
        return self.time


class HasClock(Base):
    """Makes an object late, by which it slows down."""

    def step(self, closure=None):
        if self.count == 20:
            self.clock = Clock()
        if hasattr(self, "clock"):
            self.clock.tick()
        super().step()

    def update(self, p, g, state, lr):
        p.add_(g, alpha=-lr / (1 + 0.1 * (self.clock.time if hasattr(self, "clock") else 0)))


class CountsInClosure(Base):
    def __init__(self, params, lr=0.1):
        super().__init__(params, lr)
        times = [0]

        def rate(lr):
            times[0] += 1
            return lr / (1 + 0.01 * times[0])

        self.rate = rate

    def update(self, p, g, state, lr):
        p.add_(g, alpha=-self.rate(lr))


class OldQuotientLate(Base):
    """Gives its factor before the quotient, as torch once wanted it, and late."""

    def update(self, p, g, state, lr):
        square = state.setdefault("square", torch.zeros_like(p.data))
        square.mul_(0.9).addcmul_(0.1, g, g)
        if self.count > 12:
            p.data.addcdiv_(-0.01 * lr, g, square.sqrt().add_(0.01))
        else:
            p.data.add_(-lr, g)


class EveryTwenty(Base):
    """Pulls to where it was, now and then, by a buffer that it writes through a view."""

    def update(self, p, g, state, lr):
        if self.count % 20 == 1:
            state["anchor"] = torch.zeros(p.shape)
            state["anchor"].data.add_(p.data)
        p.add_(g, alpha=-lr)
        if self.count % 20 == 0:
            p.lerp_(state["anchor"], 0.5)
'''
"""A file of classes, for a folder to work in; all but `Base` are tested."""
