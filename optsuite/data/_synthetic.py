"""Stand-ins for image datasets: images generated in place of a dataset that is not on this machine.

Each dataset's stand-in has its image shape, channels and classes, and looks like natural images
as far as an optimizer can tell: power falls with frequency, so pixels are strongly correlated and
the loss is badly conditioned. An image is the sum of

- smooth random fields with a 1/f spectrum, whose coefficients scatter around one of four prototypes
  of the class: a linear model learns the prototypes' mean, a network tells them apart;
- gratings of random phase, whose energy but not whose mean depends on the class: invisible to a
  linear model, and what a convolution learns;
- a little uniform noise in each pixel, and a wrong label on 2 % of the images.

At 16 x 16 pixels a linear model reaches 42 % on CIFAR-10's stand-in, a wide network 83 % after 800
steps and 87 % after 3000.

Fields and coefficients are whole numbers so small that a float32 matrix product sums them without
rounding, in any order; so the bytes are the same on every machine.
"""

import itertools

import numpy as np
import torch

from optsuite._types import Array
from optsuite.data._formats import Arrays
from optsuite.data._kinds import ImageDataset
from optsuite.data._random import normal_int16, permutation, uniform_uint8, words

SYNTHETIC_SIZE = 64
"""Rows (= columns) of the stand-in for a dataset whose images differ in size."""

_FIELDS = 32
_GRATINGS = 16  # pairs of a cosine and a sine
_PROTOTYPES = 4  # for each digit of a class
_MAX_TRAIN_BYTES = 1 << 27
_MAX_TEST_BYTES = 1 << 25
_CHUNK = 1024  # images, so few that their float32 pixels stay in the processor's cache


def synthetic_counts(info: ImageDataset) -> tuple[int, int]:
    """Return the numbers of training and test examples of a dataset's stand-in.

    They are those of the dataset, but no more than make 128 MiB and 32 MiB of pixels, so that generating them
    takes about a second.
    """
    image_bytes = info.channels * (info.size or SYNTHETIC_SIZE) ** 2
    num_train = min(info.num_train, _MAX_TRAIN_BYTES // image_bytes)
    return num_train, min(info.num_test, _MAX_TEST_BYTES // image_bytes)


def generate(info: ImageDataset, part: str) -> Arrays:
    """Generate the stand-in's `train` or `test` examples, in random order."""
    count = synthetic_counts(info)[0 if part == "train" else 1]
    raw = words(count, "stand-in", info.name, part, "labels") >> np.uint64(32)
    true_labels = raw.astype(np.int64) % info.num_classes
    coefficients = _coefficients(info, part, true_labels)
    images = _render(info, part, coefficients)
    return Arrays(images, _with_label_noise(info, part, true_labels))


def _with_label_noise(info: ImageDataset, part: str, labels: Array) -> Array:
    count = len(labels)
    is_wrong = uniform_uint8((count,), "stand-in", info.name, part, "is wrong") < 5  # 5 / 256
    shift = words(count, "stand-in", info.name, part, "shift").astype(np.int64) % info.num_classes
    return np.where(is_wrong, (labels + shift) % info.num_classes, labels)


def _coefficients(info: ImageDataset, part: str, labels: Array) -> Array:
    """Draw the factors of the basis images of each image: float32 (M, 64), whole numbers in -170..170."""
    key = ("stand-in", info.name)
    digits, base = _digits(labels, info.num_classes)
    count, num_digits = digits.shape
    spread = normal_int16((count, _FIELDS + 2 * _GRATINGS), *key, part, "spread") // 6  # std 25

    shape = (num_digits, base, _PROTOTYPES, _FIELDS)
    prototypes = normal_int16(shape, *key, "prototypes") // (12, 8, 6)[num_digits - 1]
    which = uniform_uint8((count, num_digits), *key, part, "which prototype") % _PROTOTYPES
    column = np.arange(_FIELDS)
    digit = column % num_digits  # the digit that a field listens to
    fields = spread[:, :_FIELDS] + prototypes[digit, digits[:, digit], which[:, digit], column]

    is_loud = uniform_uint8((num_digits, base, _GRATINGS), *key, "is loud") < 128
    column = np.arange(_GRATINGS).repeat(2)  # a cosine and its sine
    digit = column % num_digits
    gains = np.where(is_loud, 10, 4).astype(np.int16)[digit, digits[:, digit], column]  # eighths
    gratings = spread[:, _FIELDS:] * gains // 8
    return np.concatenate([fields, gratings], axis=1).astype(np.float32)


def _digits(labels: Array, num_classes: int) -> tuple[Array, int]:
    """Write labels in 1, 2 or 3 digits for about 10, 100 or 1000 classes: (M, digits), and their base.

    Classes that share a digit share features, as related classes of photographs do; so a thousand
    classes can be told apart after a few examples of each.
    """
    num_digits = round(np.log10(num_classes))
    base = next(base for base in itertools.count(2) if base**num_digits >= num_classes)
    return labels[:, None] // base ** np.arange(num_digits) % base, base


def _basis(info: ImageDataset) -> Array:
    """Return the images that are mixed: float32 (64, C * Y * X), whole numbers in -127..127."""
    size = info.size or SYNTHETIC_SIZE
    fields = _smooth_fields(info, size) * 24
    gratings = _gratings(info, size)[:, None] * np.ones((1, info.channels, 1, 1))
    basis = np.concatenate([fields, gratings])
    if info.channels == 1:  # grey sets show one object on an empty ground
        window = np.sin(np.pi * (np.arange(size) + 0.5) / size) ** 0.5
        basis = basis * window[:, None] * window
    clipped: Array = np.rint(basis).clip(-127, 127).astype(np.float32)
    return clipped.reshape(len(basis), -1)


def _smooth_fields(info: ImageDataset, size: int) -> Array:
    """Return fields of unit variance with a 1/f spectrum, each mostly of one hue: (32, C, Y, X)."""
    white = normal_int16((_FIELDS, size, size), "stand-in", info.name, "fields")
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(size), np.fft.fftfreq(size)))
    frequency[0, 0] = np.inf  # no change of the mean brightness
    fields = np.fft.ifft2(np.fft.fft2(white) / frequency).real
    fields /= fields.std(axis=(1, 2), keepdims=True)
    hue = 1 + normal_int16((_FIELDS, info.channels), "stand-in", info.name, "hue") / 400
    coloured: Array = fields[:, None] * hue[:, :, None, None]
    return coloured


def _gratings(info: ImageDataset, size: int) -> Array:
    """Return pairs of a cosine and a sine of 2 to 5 periods per image: (32, Y, X)."""
    waves = [(u, v) for u in range(6) for v in range(-5, 6) if 4 <= u * u + v * v <= 25]
    order = permutation(len(waves), "stand-in", info.name, "gratings")[:_GRATINGS]
    rows, columns = np.mgrid[:size, :size] * (2 * np.pi / size)
    pairs = []
    for u, v in (waves[index] for index in order):
        phase, amplitude = u * rows + v * columns, 80 / np.hypot(u, v)
        pairs += [amplitude * np.cos(phase), amplitude * np.sin(phase)]
    return np.stack(pairs)


def _render(info: ImageDataset, part: str, coefficients: Array) -> Array:
    """Mix the basis images, with noise in each pixel: uint8 (M, C, Y, X)."""
    size = info.size or SYNTHETIC_SIZE
    shape = (len(coefficients), info.channels, size, size)
    noise = torch.from_numpy(uniform_uint8(shape, "stand-in", info.name, part, "noise"))
    images = noise.view(len(coefficients), -1)  # overwritten chunk by chunk
    basis = torch.from_numpy(_basis(info))
    scale, ground = (1 / 64, 110) if info.channels == 3 else (1 / 32, 0)
    for start in range(0, len(images), _CHUNK):
        chunk = images[start : start + _CHUNK]
        pixels = torch.from_numpy(coefficients[start : start + _CHUNK]) @ basis
        pixels.mul_(scale).add_(chunk >> 3).add_(ground - 16)
        chunk.copy_(pixels.clamp_(0, 255))
    return images.view(shape).numpy()
