"""What the ids of items say."""

from __future__ import annotations

import pytest
import torch

from optsuite.plugin import CellConfig
from optsuite.plugin._ids import cell_of, config_of
from optsuite.sweep import make_matrix

NODE = "benchmarks/test_baselines.py::test_baseline"
TASK = "ImageMLP_FashionMnist8_Relu32"


@pytest.mark.parametrize("label", ["Adam_lr0.001", "SGD_lr1e-07", "a-b-c", "x_R5-y"])
@pytest.mark.parametrize("group", ["", "@group"])
def test_ids_tell_config_and_cell(label, group):
    nodeid = f"{NODE}[{TASK}-AdamLR_200_R2-{label}]{group}"
    assert config_of(nodeid) == f"{TASK}-AdamLR_200_R2-{label}"
    assert cell_of(nodeid) == f"{TASK}-AdamLR_200_R2"


@pytest.mark.parametrize("tail", ["", "[x]", "[a-b]", "[a-b-c]", "[a-b_R1]", "[a-b_R1-c]::more"])
def test_other_ids_tell_nothing(tail):
    assert config_of(NODE + tail) is cell_of(NODE + tail) is None


def test_ids_of_a_whole_matrix_differ_hold_no_equals_sign_and_tell_their_config():
    cells = make_matrix(preset="quick", device=torch.device("cpu")).cells
    ids = [CellConfig(cell, config).id for cell in cells for config in cell.hparam_set.configs]
    assert len(ids) > 1000
    assert len(set(ids)) == len(ids)
    assert not [name for name in ids if "=" in name]
    assert [config_of(f"{NODE}[{name}]") for name in ids] == ids
