"""Time of one training step of one trial, task x optimizer, by pytest-benchmark.

`pytest benchmarks/test_step_time.py -k FashionMnist8 --benchmark-autosave`; then with `--benchmark-compare`.
"""

from __future__ import annotations

import pytest
import torch

from optsuite import Config, Schedule, Trial, data, list_optimizers
from optsuite.trainer import resolve_device
from optsuite.trainer._grid import Grid, How, group_by_spec
from optsuite.trainer._programs import Programs


@pytest.mark.parametrize("optimizer", list_optimizers())
@torch.no_grad()
def test_step_time(task, optimizer, required_hparams, benchmark):
    """One step: batch at hand, forward, backward and update, uncompiled, waiting for the device."""
    benchmark.group = task.name
    device = resolve_device(None)
    config = Config(optimizer, optimizer, required_hparams(optimizer))
    ((spec, _),) = group_by_spec([Trial(task.name, config, Schedule(100), 0)])
    grid = Grid((0,), (config,))
    program = Programs(task, spec, device, How(is_compiled=False))(grid.shape)
    trained = program.start(grid)
    source = data.resolve_source(task.dataset.dataset, "synthetic")
    examples = data.load(task.dataset, "train", source=source, device=device)
    batch = examples.gather(torch.arange(task.batch_size)[None])
    key_S = torch.zeros(1, dtype=torch.int64, device=device)

    def step():
        _, loss = program.step(trained, program.hparams(grid), batch, key_S)
        return loss.item()

    loss = benchmark.pedantic(step, rounds=30, warmup_rounds=3)
    assert loss > 0
