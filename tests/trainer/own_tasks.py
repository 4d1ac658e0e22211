"""Tasks as users may write them: a network of two layers, and what lies between these."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from .runs import TINY


class Net(nn.Module):
    """Two layers, the first made by an argument, and something done to what is between them."""

    def __init__(self, first=lambda: nn.Linear(64, 32), between=lambda: nn.ReLU()):
        super().__init__()
        self.first, self.between, self.second = first(), between(), nn.Linear(32, 10)

    def forward(self, images):
        return self.second(self.between(self.first(images.flatten(1))))


class Between(nn.Module):
    """A layer of a function of (layer, hidden), made by a function of the layer."""

    def __init__(self, make, fn):
        super().__init__()
        make(self)
        self.fn = fn

    def forward(self, hidden):
        return self.fn(self, hidden).relu()


def own(build, **changes):
    forward = changes.pop("forward", lambda model, batch, _: model(batch["image"]))
    return replace(TINY, name="Own", build=build, forward=forward, batch_size=16, **changes)


def between(make, fn):
    return own(lambda: Net(between=lambda: Between(make, fn)))
