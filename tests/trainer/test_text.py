"""Text trains as images do."""

from __future__ import annotations

import numpy as np

from .runs import PAIRS, SHORT, adam, assert_close, train, trials_of


def test_a_task_of_text_is_counted_without_data():
    assert PAIRS.num_params == 259 * 259
    assert PAIRS.activation_bytes > 0
    assert PAIRS.min_flops_per_step <= PAIRS.flops_per_step


def test_text_trains_alone_as_in_a_group():
    trials = trials_of([adam(0.03), adam(0.3)], seeds=(0, 1), task=PAIRS)
    together = train(trials, PAIRS)
    for trial in trials:
        assert_close(train([trial], PAIRS)[trial], together[trial])
        loss = together[trial]["train/loss"]
        assert len(loss) == SHORT.num_steps + 1
        assert np.mean(loss[-10:]) < loss[0] - 1
