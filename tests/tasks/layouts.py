"""The way from the reference's parameters to ours and back.

The reference stores Linear as [in, out], Conv as [kh, kw, in, out] and BatchNorm as [1, .., C], flattens
images with the channels last, so that rows of the first Linear (and columns of an auto-encoder's last one)
come in another order, and has the gates of an LSTM in the order i, g, f, o.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from optsuite.tasks import get_task

from .reference import TASKS


class Counterpart(NamedTuple):
    """A parameter of the reference, seen from our side."""

    ours: str
    to_ours: Callable[[Tensor], Tensor]
    to_reference: Callable[[Tensor], Tensor]


# What the reference calls a layer, and its name in our modules, by family.
_BLOCK = r"block_group_(\d+)/~/block_(\d+)/~/"
_ENCODER = r"params/Transformer/encoderblock_(\d+)/"
_MIXER = r"params/MixerBlock_(\d+)/"
_LAYERS = {
    "conv": {r"conv2_d_(\d+)": r"convs.\1", r".*_norm_(\d+)": r"norms.\1", "linear_0": "head"},
    "resnet": {
        r"res_net/~/initial_conv": "initial_conv",
        rf"res_net/~/{_BLOCK}batchnorm_(\d)": r"groups.\1.\2.norms.\3",
        rf"res_net/~/{_BLOCK}conv_(\d)": r"groups.\1.\2.convs.\3",
        rf"res_net/~/{_BLOCK}shortcut_conv": r"groups.\1.\2.shortcut",
        r"res_net/~/final_batchnorm": "norm",
        r"res_net/~/logits": "head",
    },
    "rnn_lm": {
        "embed": "embedding",
        "linear_0": "head",
        r"(lstm/linear_0|gru|~)": "core",
        r"(irnn|vanilla_rnn)/linear_0": "core.from_input",
        r"(irnn|vanilla_rnn)/linear_1": "core.from_hidden",
    },
    "transformer_lm": {
        "transformer/embed": "embedding",
        r"transformer/h(\d+)_attn/(key|query|value)": r"blocks.\1.attention.\2",
        r"transformer/h(\d+)_attn/linear_0": r"blocks.\1.attention.out",
        r"transformer/h(\d+)_ln_1": r"blocks.\1.attention_norm",
        r"transformer/h(\d+)_ln_2": r"blocks.\1.mlp_norm",
        r"transformer/h(\d+)_mlp/linear_0": r"blocks.\1.mlp.hidden",
        r"transformer/h(\d+)_mlp/linear_1": r"blocks.\1.mlp.out",
        "transformer/h_f": "norm",
        "transformer/linear_0": "head",
    },
    "vit": {
        rf"{_ENCODER}LayerNorm_0": r"blocks.\1.attention_norm",
        rf"{_ENCODER}LayerNorm_1": r"blocks.\1.mlp_norm",
        rf"{_ENCODER}MlpBlock_0/Dense_0": r"blocks.\1.mlp.hidden",
        rf"{_ENCODER}MlpBlock_0/Dense_1": r"blocks.\1.mlp.out",
        rf"{_ENCODER}MultiHeadDotProductAttention_0/(\w+)": r"blocks.\1.attention.\2",
        "params/Transformer/encoder_norm": "norm",
        "params/embedding": "patches",
        "params/head": "head",
        r"params(/Transformer/posembed_input)?": "",
    },
    "mlp_mixer": {
        rf"{_MIXER}LayerNorm_0": r"blocks.\1.token_norm",
        rf"{_MIXER}LayerNorm_1": r"blocks.\1.channel_norm",
        rf"{_MIXER}(\w+)_mixing/Dense_0": r"blocks.\1.\2_mlp.hidden",
        rf"{_MIXER}(\w+)_mixing/Dense_1": r"blocks.\1.\2_mlp.out",
        "params/pre_head_layer_norm": "norm",
        "params/stem": "patches",
        "params/head": "head",
    },
}
_MLP_LAYERS = {r".*linear_(\d+)": r"linears.\1", r".*_norm_(\d+)": r"norms.\1"}
_LEAVES = {
    **dict.fromkeys(("w", "kernel", "scale", "embeddings"), "weight"),
    **dict.fromkeys(("b", "bias", "offset"), "bias"),
    "w_i": "input_weight",
    "w_h": "hidden_weight",
    "initial_state_0": "hidden",
    "initial_state_1": "cell",
    "cls": "class_token",
    "pos_embedding": "positions",
}


def counterpart(task_name: str, name: str) -> Counterpart:
    """The same parameter in our module."""
    if get_task(task_name).family == "lopt":
        return Counterpart(name, lambda value: value, lambda value: value)
    layer, leaf = name.rsplit("/", 1)
    shape = next(shape for row, shape, _ in TASKS[task_name]["params"] if row == name)
    ours = ".".join(filter(None, [_layer(get_task(task_name).family, layer), _LEAVES[leaf]]))
    if ours.startswith("linears."):
        return _linear(task_name, ours)
    if layer.startswith("lstm"):
        return _gates(ours)
    if leaf in ("w", "kernel", "w_i", "w_h"):
        return _permuted(ours, _axes(ours, shape))
    if leaf in ("scale", "offset"):
        return Counterpart(ours, torch.Tensor.flatten, lambda value: value.view(shape))
    return Counterpart(ours, lambda value: value, lambda value: value)


def load_parameters(task_name: str, params: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our parameters by name, from the reference's."""
    ours = {}
    for name, value in params.items():
        match = counterpart(task_name, name)
        ours[match.ours] = match.to_ours(value).contiguous()
    return ours


def _layer(family: str, layer: str) -> str:
    # haiku leaves out the number of the first layer of a kind.
    numbered = re.sub(r"\b(linear|conv2_d|(batch|layer)_norm)$", r"\1_0", layer)
    for pattern, ours in _LAYERS.get(family, _MLP_LAYERS).items():
        if match := re.fullmatch(pattern, numbered):
            return match.expand(ours)
    raise KeyError(f"{family}: {layer}")


def _axes(ours: str, shape: list[int]) -> tuple[int, ...]:
    """Outputs come first with us; an attention's projections have two axes of outputs, or of inputs."""
    if len(shape) == 3:
        return (2, 0, 1) if ours.endswith("out.weight") else (1, 2, 0)
    return (3, 2, 0, 1) if len(shape) == 4 else (1, 0)


def _permuted(ours: str, axes: tuple[int, ...]) -> Counterpart:
    inverse = tuple(torch.tensor(axes).argsort().tolist())
    return Counterpart(ours, lambda value: value.permute(axes), lambda value: value.permute(inverse))


def _gates(ours: str) -> Counterpart:
    """Ours come in the order i, f, o, g."""

    def reorder(value: Tensor, order: list[int]) -> Tensor:
        return value.unflatten(0, (4, -1))[order].flatten(0, 1)

    def to_ours(value: Tensor) -> Tensor:
        return reorder(value.mT if value.ndim == 2 else value, [0, 2, 3, 1])

    def to_reference(value: Tensor) -> Tensor:
        ordered = reorder(value, [0, 3, 1, 2])
        return ordered.mT if value.ndim == 2 else ordered

    return Counterpart(ours, to_ours, to_reference)


def _linear(task_name: str, ours: str) -> Counterpart:
    """The features of the first inputs and of an auto-encoder's last outputs are pixels."""
    task = get_task(task_name)
    last = len(task.meta_module().linears) - 1
    _, index, leaf = ours.split(".")
    pixels_first = torch.arange(math.prod(task.dataset.shape)).view(task.dataset.shape)
    order = pixels_first.permute(1, 2, 0).flatten()  # our number of each pixel of the reference
    rank = order.argsort()
    puts_out_pixels = task.family == "image_mlp_ae" and int(index) == last

    def to_reference(value: Tensor) -> Tensor:
        if int(index) == 0 and leaf == "weight":
            value = value[:, order]
        if puts_out_pixels:
            value = value[order]
        return value.mT if leaf == "weight" else value

    def to_ours(value: Tensor) -> Tensor:
        value = value.mT if leaf == "weight" else value
        if int(index) == 0 and leaf == "weight":
            value = value[:, rank]
        if puts_out_pixels:
            value = value[rank]
        return value

    return Counterpart(ours, to_ours, to_reference)
