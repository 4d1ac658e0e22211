"""Thousands of damaged and odd files of every other kind than curves: each is read, or refused in words."""

from __future__ import annotations

import json
import random
import re
import warnings

import numpy as np
import pytest
import torch
from safetensors.torch import save

from conftest import made_up_entry
from optsuite import normalizers, storage
from optsuite.errors import StorageError
from optsuite.normalizers import Normalizer
from optsuite.optimizers import _checkpoints, _opt_list, get_learned_optimizer
from optsuite.trainer import _layouts_file

ODD_JSON = (
    *(b"Infinity", b"-Infinity", b"NaN", b"1e999", b"-1e308", b"1" + b"0" * 400, b"1e-400", b"-0", b"0"),
    *(
        b"null",
        b"true",
        b"{}",
        b"[]",
        b'""',
        b'"\\ud800"',
        b'"\\u0000"',
        b"[" * 3000,
        b'{"a":' * 3000,
        b"1" * 299,
    ),
)
COUNT = 2000


def mutated(content, rng):
    """A file with one to three of its parts changed."""
    content = bytearray(content)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(content) or 1)
        end = min(len(content), at + rng.choice([1, 2, 8, 100]))
        match rng.randrange(6):
            case 0:
                content[at:end] = bytes(byte ^ 1 << rng.randrange(8) for byte in content[at:end])
            case 1:
                del content[at:end]
            case 2:
                content[at:at] = content[at:end]
            case 3:
                content[at:end] = rng.randbytes(end - at)
            case 4:
                del content[at:]
            case 5:
                tokens = list(re.finditer(rb'-?[\d.]+(?:e-?\d+)?|"[^"]*"|true|false', content))
                if tokens:
                    token = rng.choice(tokens)
                    content[token.start() : token.end()] = rng.choice(ODD_JSON)
    return bytes(content)


def flax_file():
    msgpack = pytest.importorskip("msgpack")

    def array(value):
        return msgpack.ExtType(1, msgpack.packb((value.shape, value.dtype.name, value.tobytes())))

    theta = get_learned_optimizer("MLPLOpt", hidden_size=4).init()
    tree: dict = {}
    for name, tensor in theta.items():
        *path, last = name.rsplit("/", 1)
        tree.setdefault("/".join(path), {})[last] = array(tensor.numpy())
    return msgpack.packb({"params": tree, "gen_id": "a", "step": array(np.array(3))})


def safetensors_file():
    description = {
        "version": 1,
        "kind": "LearnableSGD",
        "architecture": {"initial_lr": 0.1},
        "training": {"a": [1]},
    }
    return save({"log_lr": torch.tensor(0.5)}, {"optsuite": json.dumps(description)})


def description():
    kind = {"version": 1, "kind": "MLPLOpt", "architecture": {"hidden_size": 4, "exp_mult": 0.1}}
    return json.dumps({**kind, "training": {"a": [1]}}).encode()


def read_described(text, url):
    theta = get_learned_optimizer("MLPLOpt", hidden_size=4).init()
    _checkpoints._parse(save(theta, {"optsuite": text.decode(errors="replace")}), url)


def normalizers_file():
    url = "memory://mutated/n.json"
    normalizers.write({"A": Normalizer([0, 1, 2], [3, 2, 2]), "B": Normalizer([0, 9], [1e-3, -5])}, url)
    return storage.read_bytes(url)


def read_layouts(content, _url):
    _layouts_file.layouts_file().parent.mkdir(parents=True, exist_ok=True)
    _layouts_file.layouts_file().write_bytes(content)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "layouts that were measured before", RuntimeWarning)
        layouts = _layouts_file.read_layouts()
    assert all(1 <= layout.width <= 2**20 for layout in layouts.values())


LAYOUTS = b'{"a": {"width": 3, "is_compiled": true}, "b": {"width": 1, "is_compiled": false}}'

KINDS = {
    "normalizers": (normalizers_file, normalizers._normalizer.parse),
    "option list": (lambda: json.dumps([made_up_entry(i) for i in range(2)]).encode(), _opt_list._parse),
    "layouts": (
        lambda: b'{"a": {"width": 3, "is_compiled": true}, "b": {"width": 1, "is_compiled": false}}',
        read_layouts,
    ),
    "checkpoint": (safetensors_file, _checkpoints._parse),
    "description of a checkpoint": (description, read_described),
    "checkpoint of the original": (flax_file, _checkpoints._parse),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_mutated_file_is_read_or_refused_in_words(kind, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(_opt_list, "NUM_ENTRIES", 2)
    make, read = KINDS[kind]
    whole, rng = make(), random.Random(kind)
    read(whole, "x/whole")
    refused = accepted = 0
    for _ in range(COUNT):
        content = mutated(whole, rng)
        try:
            read(content, "x/file")
        except StorageError as error:
            words = str(error)
            refused += "x/file" in words and len(words) < 2000
        else:
            accepted += 1
    assert refused + accepted == COUNT
    assert refused > COUNT // 4 or kind == "layouts"
