"""Checkpoints of groups: one of any optimizer is read again, and none takes more memory than its file."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils._pytree import tree_leaves

from optsuite import get_optimizer, get_task, storage
from optsuite.backends._keeper import StoreKeeper
from optsuite.sweep import GroupFile
from optsuite.trainer import Layout

TASK = "ImageMLP_FashionMnist8_Relu32"


def keeper_of(folder, num_trials):
    ids = tuple(f"{number:010x}" for number in range(num_trials))
    file = GroupFile(f"{folder}/group", "cell", ids, (), Layout(num_trials, is_compiled=False), "cpu", "")
    claim = SimpleNamespace(is_lost=False)
    return StoreKeeper(file, get_task(TASK), 1.0, SimpleNamespace(is_wished=False), (), claim)


@pytest.mark.parametrize("name", ["Adam", "SOAP", "Shampoo"])
def test_the_state_of_many_trials_is_read_again(tmp_path, name):
    params = {str(place): torch.zeros(shape) for place, shape in enumerate(get_task(TASK).param_shapes)}
    state = get_optimizer(name, lr=0.1).init(params)
    num_bytes = sum(leaf.nbytes for leaf in tree_leaves((params, state)) if isinstance(leaf, torch.Tensor))
    keeper = keeper_of(tmp_path, 60)
    keeper.save({"state": np.zeros((60, num_bytes), np.int8)})
    arrays = keeper.load()
    assert arrays is not None
    assert arrays["state"].nbytes == 60 * num_bytes


def test_a_checkpoint_that_would_take_more_memory_than_its_file_is_set_aside(tmp_path):
    keeper = keeper_of(tmp_path, 1)
    storage.write_npz(f"{tmp_path}/group.state.npz", {"state": np.zeros(2**20)})
    with pytest.warns(RuntimeWarning, match="compressed, as no checkpoint is"):
        assert keeper.load() is None
    assert [path.name for path in tmp_path.iterdir()] == ["group.state.npz.bad"]
