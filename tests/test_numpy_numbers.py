"""NumPy's numbers are numbers, of the values that they hold."""

from __future__ import annotations

import numpy as np
import pytest

from optsuite import Config, Schedule
from optsuite.errors import HParamError
from optsuite.hparam_sets import Trial
from optsuite.optimizers import check_hparams, get_optimizer

TYPES = (int, float, bool, str, tuple)


def trial(optimizer, hparams, schedule):
    return Trial("ImageMLP_FashionMnist8_Relu32", Config("x", optimizer, hparams), schedule, np.int64(1))


@pytest.mark.parametrize(
    ("optimizer", "given", "expected"),
    [
        ("Adam", {"lr": np.float64(0.1)}, {"lr": 0.1}),
        ("Adam", {"lr": np.float32(0.1)}, {"lr": 0.10000000149011612}),
        ("AdamGradAccum", {"lr": np.float16(0.5), "num_average": np.int64(4)}, {"lr": 0.5, "num_average": 4}),
        ("torch.optim:SGD", {"lr": np.float32(0.5), "maximize": np.True_}, {"lr": 0.5, "maximize": True}),
        ("torch.optim:Adam", {"betas": (np.float64(0.9), np.float32(0.5))}, {"betas": (0.9, 0.5)}),
    ],
)
def test_they_make_the_trial_of_pythons_numbers(optimizer, given, expected):
    check_hparams(optimizer, given)
    numpys = trial(optimizer, given, Schedule(np.int64(5), np.int32(1), np.int64(2), np.uint8(3)))
    assert numpys == trial(optimizer, expected, Schedule(5, 1, 2, 3))
    assert numpys.id("real") == trial(optimizer, expected, Schedule(5, 1, 2, 3)).id("real")
    for value in (*numpys.config.hparams.values(), *vars(numpys.schedule).values(), numpys.seed):
        assert type(value) in TYPES


def test_an_optimizer_takes_them():
    get_optimizer("Adam", lr=np.float32(0.1), beta1=np.float64(0.9))
    with pytest.raises(HParamError, match="got nan"):
        get_optimizer("Adam", lr=np.float32("nan"))


@pytest.mark.parametrize("value", [np.True_, np.float64(3.0), np.int64(0)])
def test_a_schedule_still_needs_integers(value):
    with pytest.raises(HParamError, match="`eval_every` must be an integer >= 1"):
        Schedule(5, eval_every=value)
