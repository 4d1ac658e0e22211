"""What training is estimated to cost."""

from __future__ import annotations

import pytest
import torch
from cells import CPU, LARGE, TASK

from optsuite.hparam_sets import get_hparam_set
from optsuite.sweep import Cost, estimated_cost, measured_speed, nominal_speed
from optsuite.tasks import get_task

SPEED = nominal_speed(CPU)


def cost_of(name, set_name):
    return estimated_cost(get_task(name), get_hparam_set(set_name).trials(name), CPU, SPEED)


def test_operations_are_those_of_steps_and_evaluations():
    hparam_set = get_hparam_set("AdamLR_100_R2")
    schedule, task = hparam_set.schedule, get_task(TASK)
    batches = sum(schedule.batches_at(step) for step in schedule.eval_steps())
    passes = 101 + 3 * batches / 3  # three splits; a forward pass is a third of a step
    assert cost_of(TASK, "AdamLR_100_R2").flops == pytest.approx(30 * task.flops_per_step * passes)


def test_memory_is_that_of_the_widest_program():
    one, all_ = cost_of(TASK, "SGDLR_10_R1").memory_bytes, cost_of(TASK, "SGDLR_10_R2").memory_bytes
    assert 0 < one < all_ < cost_of(LARGE, "SGDLR_10_R2").memory_bytes


def test_a_faster_device_takes_less_time():
    trials, before = get_hparam_set("AdamLR_100_R2").trials(TASK), cost_of(TASK, "AdamLR_100_R2").seconds
    for faster in (
        SPEED._replace(flops=2 * SPEED.flops),
        SPEED._replace(bytes=2 * SPEED.bytes),
        SPEED._replace(op_seconds=SPEED.op_seconds / 2),
    ):
        assert estimated_cost(get_task(TASK), trials, CPU, faster).seconds < before


def test_speed_is_measured_and_leaves_the_threads_as_they_were():
    before = torch.get_num_threads()
    speed = measured_speed(CPU, 1)
    assert torch.get_num_threads() == before
    assert 1e8 < speed.flops < 1e14
    assert 1e8 < speed.bytes < 1e13
    assert 1e-8 < speed.op_seconds < 1e-3


@pytest.mark.parametrize("name", [TASK, LARGE])
def test_estimates_grow_with_trials_and_steps(name):
    def seconds(set_name):
        return cost_of(name, set_name).seconds

    by_steps = [seconds(f"AdamLR_{steps}_R2") for steps in (1, 10, 100, 1000)]
    by_reps = [seconds(f"AdamLR_100_R{reps}") for reps in (1, 2, 5, 50)]
    assert by_steps == sorted(set(by_steps))
    assert by_reps == sorted(set(by_reps))
    assert by_steps[0] > 0


def test_no_trials_take_no_time():
    assert estimated_cost(get_task(TASK), [], CPU, SPEED) == Cost()


def test_a_larger_task_is_estimated_to_take_longer():
    def seconds(name):
        return cost_of(name, "AdamLR_100_R2").seconds

    assert seconds(TASK) < seconds("ImageMLP_Cifar10_1024x1024_Relu") < seconds(LARGE)


def test_an_optimizer_that_works_longer_is_estimated_to_take_longer():
    def seconds(set_name):
        return cost_of(TASK, set_name).seconds

    assert seconds("Shampoo128SgdLR_200_R2") > 20 * seconds("AdamLR_200_R2")
