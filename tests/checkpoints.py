"""Files of learned optimizers, as this package and as learned_optimization write them."""

from __future__ import annotations

import msgpack
import numpy as np
import torch

from optsuite.optimizers import LEARNED_OPTIMIZERS, write_checkpoint

SIZES = {"AdafacMLPLOpt": {"hidden_size": 3, "hidden_layers": 1}, "MLPLOpt": {"hidden_size": 5}}
"""Architectures that are not the default."""


def theta_of(kind, seed=0, **architecture):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return LEARNED_OPTIMIZERS[kind](**architecture).init()


def written(url, kind="LearnableSGD", seed=0, **architecture):
    """Write a checkpoint and return its URL."""
    theta = theta_of(kind, seed, **architecture)
    theta = {name: tensor - 1e-3 * seed for name, tensor in theta.items()}
    write_checkpoint(str(url), kind, theta, architecture=architecture)
    return str(url)


def packed_array(value, code=1):
    array = np.asarray(value)
    return msgpack.ExtType(code, msgpack.packb((array.shape, array.dtype.name, array.tobytes())))


def haiku_tree(theta):
    """Nested maps of arrays, in which a module's name may have a `/` in it."""
    tree = {}
    for name, tensor in theta.items():
        module, _, leaf = name.rpartition("/")
        parts = [module] if module.startswith("mlp/") else module.split("/") if module else []
        place = tree
        for part in parts:
            place = place.setdefault(part, {})
        place[leaf] = packed_array(tensor.numpy())
    return tree


def flax_file(theta):
    """The bytes of a `ParameterCheckpoint`."""
    return msgpack.packb({"params": haiku_tree(theta), "gen_id": "a-b", "step": packed_array(np.int32(7))})
