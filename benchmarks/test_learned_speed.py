"""Learned optimizers and the tasks that train them, against plain loops, in one run each."""

from __future__ import annotations

import time

import torch
from plain_learned import PlainMLPLOpt, PlainPES
from plain_loop import SOURCE, plain_network, plain_rate
from test_trainer_speed import CELL, steady_rates

from optsuite import Config, Schedule, Trial, get_hparam_set, get_task, register_checkpoint, train_many
from optsuite.optimizers import get_learned_optimizer, write_checkpoint

PES = "LOptPES_Adafac_Fashion_OuterBS16_Length50_Trunc10"


def test_mlp_lopt(report_line, tmp_path):
    """75 seeds of one checkpoint, once compiled, evaluations included."""
    theta = get_learned_optimizer("MLPLOpt").init()
    write_checkpoint(str(tmp_path / "Speed.safetensors"), "MLPLOpt", theta)
    register_checkpoint(str(tmp_path / "Speed.safetensors"))
    task, hparam_set = get_task(CELL), get_hparam_set("LOpt_10000_R75")
    measured = steady_rates(task, hparam_set, 100)
    shape = next(measured)

    def plain():
        return plain_rate(task, hparam_set.schedule, 100, lambda params, **_: PlainMLPLOpt(params, theta))

    pairs = [(next(measured), plain()) for _ in range(6)]
    ours, theirs = map(max, zip(*pairs, strict=True))
    report_line(
        f"MLPLOpt on {CELL}, {shape[0]} x {shape[1]}: {1e6 / ours:.0f} us a trial-step, plain loop "
        f"{1e6 / theirs:.0f} us, ratio {ours / theirs:.1f}"
    )
    assert ours > 0


def test_persistent_es(report_line):
    """Steps of Adam on a task of persistent evolution strategies, 3 trials, without evaluations."""
    task, schedule = get_task(PES), Schedule(9, eval_batches=0, last_eval_batches=0)
    trials = [Trial(PES, Config("Adam", "Adam", {"lr": 1e-3}), schedule, seed) for seed in range(3)]
    times = [
        (float(train_many(task, trials, mode=SOURCE)[0]["seconds_per_step"]), plain_pes(task))
        for _ in range(3)
    ]
    ours, plain = map(min, zip(*times, strict=True))
    report_line(
        f"{PES}: {1e3 * ours:.0f} ms a trial-step, plain loop {1e3 * plain:.0f} ms, ratio {plain / ours:.1f}"
    )
    assert ours > 0


def plain_pes(task):
    """Seconds of a step."""
    inner = get_task(CELL)
    plain = PlainPES(inner, lambda: plain_network(inner.module()), 16, 50)
    theta = {name: p.detach() for name, p in task.module().named_parameters()}
    moments = [{name: torch.zeros_like(p) for name, p in theta.items()} for _ in range(2)]
    batches = task.dataloader("train", mode=SOURCE)
    plain.estimate(theta, next(batches))
    began = time.perf_counter()
    for step in range(3):
        grads, _ = plain.estimate(theta, next(batches))
        for name, g in grads.items():
            m, v = (moment[name] for moment in moments)
            m.lerp_(g, 0.1)
            v.lerp_(g.square(), 0.001)
            scale = 1e-3 / (1 - 0.9 ** (step + 1))
            theta[name] = theta[name] - scale * m / ((v / (1 - 0.999 ** (step + 1))).sqrt() + 1e-8)
    return (time.perf_counter() - began) / 3
