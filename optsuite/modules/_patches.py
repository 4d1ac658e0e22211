"""Networks on patches of images: vision transformers and MLP-Mixers.

Source: google-research, `vision_transformer/vit_jax/models_vit.py` and `models_mixer.py`; flax's layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from optsuite.modules._init import normal_, variance_scaling_, xavier_uniform_
from optsuite.modules._layers import Dense, FeedForward, LayerNorm, attend

_PATCH = 16  # pixels
_EPS = 1e-6  # flax's LayerNorm


class VisionTransformer(nn.Module):
    """A vision transformer: patches and a class token, learned positions, pre-norm blocks, norm, zero head.

    Source: Dosovitskiy et al., "An image is worth 16x16 words", 2021.
    """

    roles: ClassVar[Mapping[str, str]] = {
        "patches.weight": "input",
        "*.attention.[qkv]*.weight": "heads",
        "*.attention.[qkv]*.bias": "other",
        "head.weight": "output",
    }

    def __init__(
        self,
        image_size: int,
        num_classes: int,
        *,
        num_features: int,
        num_layers: int,
        num_heads: int,
        mlp_features: int,
    ) -> None:
        """Build and initialise.

        Args:
            image_size: Rows (= columns) of the images, a multiple of 16.
            num_classes: Number of outputs.
            num_features: Width of the residual stream.
            num_layers: Number of blocks.
            num_heads: Number of heads of each attention.
            mlp_features: Number of hidden features of each MLP.
        """
        super().__init__()
        num_tokens = 1 + (image_size // _PATCH) ** 2
        self.patches = _Patches(num_features)
        self.class_token = nn.Parameter(torch.zeros(1, 1, num_features))
        self.positions = nn.Parameter(torch.empty(1, num_tokens, num_features))
        normal_(self.positions, std=0.02)
        self.blocks = nn.ModuleList(
            _EncoderBlock(num_features, num_heads, mlp_features) for _ in range(num_layers)
        )
        self.norm = LayerNorm(num_features, dim=-1, eps=_EPS)
        self.head = Dense(num_features, num_classes)
        nn.init.zeros_(self.head.weight)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of the classes, (B, num_classes), for images (B, 3, Y, X)."""
        patches = self.patches(images)
        class_token = self.class_token.expand(len(patches), -1, -1)
        hidden = torch.cat([class_token, patches], 1) + self.positions
        for block in self.blocks:
            hidden = block(hidden)
        logits: Tensor = self.head(self.norm(hidden)[:, 0])
        return logits


class MLPMixer(nn.Module):
    """An MLP-Mixer: patches, blocks that mix tokens and then channels by MLPs, norm, mean, zero head.

    Source: Tolstikhin et al., "MLP-Mixer", 2021.
    """

    roles: ClassVar[Mapping[str, str]] = {"patches.weight": "input", "head.weight": "output"}

    def __init__(
        self,
        image_size: int,
        num_classes: int,
        *,
        num_features: int,
        num_layers: int,
        token_features: int,
        channel_features: int,
    ) -> None:
        """Build and initialise.

        Args:
            image_size: Rows (= columns) of the images, a multiple of 16.
            num_classes: Number of outputs.
            num_features: Width of the residual stream.
            num_layers: Number of blocks.
            token_features: Number of hidden features of the MLPs over tokens.
            channel_features: Number of hidden features of the MLPs over channels.
        """
        super().__init__()
        num_tokens = (image_size // _PATCH) ** 2
        self.patches = _Patches(num_features)
        self.blocks = nn.ModuleList(
            _MixerBlock(num_tokens, num_features, token_features, channel_features) for _ in range(num_layers)
        )
        self.norm = LayerNorm(num_features, dim=-1, eps=_EPS)
        self.head = Dense(num_features, num_classes)
        nn.init.zeros_(self.head.weight)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of the classes, (B, num_classes), for images (B, 3, Y, X)."""
        hidden = self.patches(images)
        for block in self.blocks:
            hidden = block(hidden)
        logits: Tensor = self.head(self.norm(hidden).mean(1))
        return logits


class _Patches(nn.Module):
    """A convolution whose stride is its width, computed as one product; its weight has the usual shape."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_features, 3, _PATCH, _PATCH))
        self.bias = nn.Parameter(torch.zeros(num_features))
        variance_scaling_(self.weight, 3 * _PATCH * _PATCH)

    def forward(self, images: Tensor) -> Tensor:
        """Map (B, 3, Y, X) to (B, tokens, num_features)."""
        rows, columns = (size // _PATCH for size in images.shape[-2:])
        tiles = images.reshape(-1, 3, rows, _PATCH, columns, _PATCH)
        pixels = tiles.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)  # (B, tokens, 3 * 16 * 16)
        return F.linear(pixels, self.weight.flatten(1), self.bias)


class _EncoderBlock(nn.Module):
    def __init__(self, num_features: int, num_heads: int, mlp_features: int) -> None:
        super().__init__()
        self.attention_norm = LayerNorm(num_features, dim=-1, eps=_EPS)
        self.attention = _SelfAttention(num_features, num_heads)
        self.mlp_norm = LayerNorm(num_features, dim=-1, eps=_EPS)
        self.mlp = FeedForward(num_features, mlp_features)
        for layer in (self.mlp.hidden, self.mlp.out):
            xavier_uniform_(layer.weight, num_features, mlp_features)
            normal_(layer.bias, std=1e-6)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map (B, tokens, num_features) to the same shape."""
        hidden = hidden + self.attention(self.attention_norm(hidden))
        grown: Tensor = hidden + self.mlp(self.mlp_norm(hidden))
        return grown


class _SelfAttention(nn.Module):
    """Attention whose weights have an axis of heads, as flax's do, since shapes matter to some optimizers."""

    def __init__(self, num_features: int, num_heads: int) -> None:
        super().__init__()
        size = num_features // num_heads
        self.query, self.key, self.value = (
            _HeadProjection((num_heads, size, num_features), (num_heads, size)) for _ in range(3)
        )
        self.out = _HeadProjection((num_features, num_heads, size), (num_features,))

    def forward(self, hidden: Tensor) -> Tensor:
        """Map (B, tokens, num_features) to the same shape."""
        query, key, value = (
            F.linear(hidden, layer.weight.flatten(0, 1), layer.bias.flatten())
            for layer in (self.query, self.key, self.value)
        )
        mixed = attend(query, key, value, num_heads=len(self.query.bias))
        return F.linear(mixed, self.out.weight.flatten(1), self.out.bias)


class _HeadProjection(nn.Module):
    """The weight and bias of a projection from or to heads."""

    def __init__(self, shape: tuple[int, ...], bias_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(shape))
        self.bias = nn.Parameter(torch.zeros(bias_shape))
        fan = bias_shape[0] if len(bias_shape) == 1 else shape[-1]  # both fans are the stream's width
        xavier_uniform_(self.weight, fan, fan)


class _MixerBlock(nn.Module):
    def __init__(
        self, num_tokens: int, num_features: int, token_features: int, channel_features: int
    ) -> None:
        super().__init__()
        self.token_norm = LayerNorm(num_features, dim=-1, eps=_EPS)
        self.token_mlp = FeedForward(num_tokens, token_features)
        self.channel_norm = LayerNorm(num_features, dim=-1, eps=_EPS)
        self.channel_mlp = FeedForward(num_features, channel_features)
        for mlp in (self.token_mlp, self.channel_mlp):
            for layer in (mlp.hidden, mlp.out):
                variance_scaling_(layer.weight, layer.weight.shape[1])

    def forward(self, hidden: Tensor) -> Tensor:
        """Map (B, tokens, num_features) to the same shape."""
        hidden = hidden + self.token_mlp(self.token_norm(hidden).mT).mT
        grown: Tensor = hidden + self.channel_mlp(self.channel_norm(hidden))
        return grown
