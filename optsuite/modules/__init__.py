"""Layers and networks that tasks are built from."""

from optsuite.modules._conv import Conv2d, ConvNet
from optsuite.modules._init import Draw, draws_heard, truncated_normal_
from optsuite.modules._layers import BatchNorm, Dropout, Embedding, LayerNorm, Linear
from optsuite.modules._mlp import MLP
from optsuite.modules._operator import FLOP_FORMULAS
from optsuite.modules._patches import MLPMixer, VisionTransformer
from optsuite.modules._resnet import ResNet
from optsuite.modules._rnn import GRU, IRNN, LSTM, RNNLM, VanillaRNN
from optsuite.modules._transformer import TransformerLM
