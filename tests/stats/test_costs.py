import numpy as np
import pytest

from optsuite.statistics import flops_ratio, time_ratio

from .simulated import final_cell

RATIO = np.array([0.5, 0.8])


def timed(seconds, **fields):
    given = {"device": "CPU", "origin": "root/archives/Task/AdamLR_20_R2.npz"}
    return final_cell(np.ones((2, 2)), seconds_per_step=np.full((2, 2), seconds), **(given | fields))


def test_the_ratio_in_time_is_that_of_steps_times_that_of_a_step():
    other = timed(1.0, origin="root/archives/Task/MineLR_20_R2.npz")
    np.testing.assert_allclose(time_ratio(RATIO, timed(3.0), other), 3 * RATIO)


def test_steps_that_were_not_timed_do_not_count():
    one = timed(3.0)
    one.seconds_per_step[0] = [np.nan, 0.0]
    np.testing.assert_allclose(time_ratio(RATIO, one, timed(2.0)), 1.5 * RATIO)


@pytest.mark.parametrize(
    "other",
    [
        timed(1.0, device="GPU"),
        timed(1.0, origin="elsewhere/archives/Task/AdamLR_20_R2.npz"),
        timed(1.0, source="packaged", origin="made at commit 1"),
        timed(np.nan),
        final_cell(np.ones((2, 2)), device="CPU", origin="root/archives/Task/a.npz"),
    ],
)
def test_times_of_other_devices_stores_or_of_none_do_not_compare(other):
    assert time_ratio(RATIO, timed(1.0), other) is None


def test_unknown_devices_do_not_compare():
    assert time_ratio(RATIO, timed(1.0, device=""), timed(1.0, device="")) is None


def test_packaged_ones_that_were_made_together_compare():
    both = [timed(seconds, source="packaged", origin="made at commit 1") for seconds in (1.0, 2.0)]
    np.testing.assert_allclose(time_ratio(RATIO, *both), RATIO / 2)


def test_operations_compare_where_they_are_known():
    known, more = (final_cell(np.ones((1, 2)), flops_per_step=flops) for flops in (10.0, 20.0))
    np.testing.assert_allclose(flops_ratio(RATIO, more, known), 2 * RATIO)
    assert flops_ratio(RATIO, known, final_cell(np.ones((1, 2)))) is None
