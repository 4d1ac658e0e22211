"""Text trains as images do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from torch import nn
from torch.nn import functional

from optsuite.data import TextSpec
from optsuite.tasks import get_task

from .runs import SHORT, adam, assert_close, train, trials_of

# The logits of the next byte are a row of a table: a model of pairs.
PAIRS = replace(
    get_task("ImageMLP_FashionMnist8_Relu32"),
    name="Pairs",
    dataset=TextSpec(dataset="lm1b_bytes", length=16),
    batch_size=8,
    build=lambda: nn.Embedding(259, 259),
    forward=lambda model, batch, key: model(batch["obs"]),
    loss_fn=lambda logits, batch: functional.cross_entropy(logits.flatten(0, 1), batch["target"].flatten()),
    metric_fns={},
)


def test_a_task_of_text_is_counted_without_data():
    assert PAIRS.num_params == 259 * 259
    assert PAIRS.activation_bytes > 0


def test_text_trains_alone_as_in_a_group():
    trials = trials_of([adam(0.03), adam(0.3)], seeds=(0, 1), task=PAIRS)
    together = train(trials, PAIRS)
    for trial in trials:
        assert_close(train([trial], PAIRS)[trial], together[trial])
        loss = together[trial]["train/loss"]
        assert len(loss) == SHORT.num_steps + 1
        assert np.mean(loss[-10:]) < loss[0] - 1
