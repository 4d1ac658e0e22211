"""Networks that tasks are built from; each is written for one trial and trains under `torch.func`."""

from optsuite.modules._conv import Conv2d, ConvNet
from optsuite.modules._layers import BatchNorm, Dropout, LayerNorm, Linear
from optsuite.modules._mlp import MLP

__all__ = ["MLP", "BatchNorm", "Conv2d", "ConvNet", "Dropout", "LayerNorm", "Linear"]
