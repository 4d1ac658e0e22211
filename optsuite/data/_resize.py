"""Resizing and conversion to grayscale, as the reference's input pipeline does them."""

import torch
from torch import Tensor
from torch.nn import functional

_CHUNK_BYTES = 1 << 26


def resize(images: Tensor, size: int) -> Tensor:
    """Resize as `tf.image.resize` does: bilinear, half-pixel centres, no antialiasing.

    Args:
        images: (M, C, Y, X), any real dtype.
        size: Rows and columns of the result.

    Returns:
        float32 (M, C, size, size), on the scale of `images`.
    """
    return functional.interpolate(
        images.float(), (size, size), mode="bilinear", align_corners=False, antialias=False
    )


def to_spec(images: Tensor, size: int, grayscale: bool) -> Tensor:
    """Bring images to the size and the channels that a task asks for.

    This works in chunks, so that memory beyond the result stays below a few hundred MB.

    Args:
        images: uint8 (M, C, Y, X).
        size: Rows and columns of the result.
        grayscale: Whether to replace the channels by their mean.

    Returns:
        `images` itself if nothing is to change, otherwise float32 (M, C or 1, size, size) with
        values in 0..255.
    """
    num_images, channels, *native = images.shape
    has_size = native == [size, size]
    has_channels = not grayscale or channels == 1
    if has_size and has_channels:
        return images
    result = torch.empty(num_images, 1 if grayscale else channels, size, size, device="cpu")
    step = max(1, _CHUNK_BYTES // (4 * images[0].numel()))
    for start in range(0, num_images, step):
        chunk = images[start : start + step]
        resized = chunk.float() if has_size else resize(chunk, size)
        if not has_channels:
            resized = resized.mean(dim=1, keepdim=True)
        result[start : start + step] = resized
    return result
