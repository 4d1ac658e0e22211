"""Verdicts of made-up numbers."""

from __future__ import annotations

import numpy as np

from optsuite.archives import RecordedConfig
from optsuite.hparam_sets import Schedule
from optsuite.statistics import Evaluations, Interval
from optsuite.verdict import Entry, Standing, Verdict

LRS = (0.001, 0.01, 0.1)


def make_evaluations(task, name, *, loss=1.0, source="own", num_seeds=3, data_source="real"):
    """Losses that fall from 2 to one of each setting, the middle one the lowest, by 20 evaluations."""
    xs = np.arange(0, 210, 10)
    ends_H = loss * np.array([1.5, 1.0, 1.2])
    seeds_S = 1 + 0.02 * np.arange(num_seeds)
    losses = 2 + (ends_H[:, None, None] * seeds_S[:, None] - 2) * xs / xs[-1]
    return Evaluations(
        task=task,
        hparam_set=f"{name}LR_200_R{num_seeds}",
        source=source,
        configs=tuple(RecordedConfig(f"{name}_lr{lr}", {"lr": lr}) for lr in LRS),
        seeds=np.arange(num_seeds),
        data_source=data_source,
        schedule=Schedule(200, 10),
        num_steps=200,
        xs=xs,
        losses=dict.fromkeys(("train", "outer_valid", "test"), losses),
        accuracies={},
        diverged=np.zeros((3, num_seeds), bool),
        seconds_per_step=None if source == "packaged" else np.full((3, num_seeds), 0.001),
        flops_per_step=1e6,
        device="cpu",
        origin="commit 0123456 of 2026-11-29" if source == "packaged" else f"r/{task}/{name}LR_200_R3.npz",
    )


def make_entry(task, name, *, is_reference=False, words="", edge="", ratio=0.8, **changes):
    """An optimizer on a task, whose middle setting is the best."""
    evaluations = make_evaluations(task, name, **changes)
    loss = evaluations.losses["train"][1, :, -1].mean()
    steps = None if is_reference else Interval(ratio, ratio - 0.1, ratio + 0.1)
    return Entry(
        task=task,
        optimizer=name,
        evaluations=evaluations,
        best=evaluations.configs[1],
        best_index=1,
        why_no_best="",
        edge=edge,
        final=Interval(loss, loss - 0.1, loss + 0.1),
        best_of=[Interval(loss + 1 / k, loss, loss + 2) for k in (1, 2, 3)],
        plateau=(0.005, 0.02),
        steps_ratio=steps,
        seconds_ratio=None,
        flops_ratio=steps,
        notes=[words] if words else [],
    )


def make_verdict(tasks=("T", "U"), names=("Mine", "Adam", "SGD"), *, words="", packaged=(), **changes):
    """The first optimizer against the others, of which the second is the reference; best first."""
    scores = np.array([0.25, 0.5, 1.0, 2.0, 4.0])
    entries = [
        make_entry(
            task,
            name,
            is_reference=i == 1,
            ratio=(0.8, 1, 1.4)[i],
            loss=(0.5, 0.6, 0.9)[i],
            words=words,
            source="packaged" if name in packaged else "own",
            **changes,
        )
        for task in tasks
        for i, name in enumerate(names)
    ]
    standings = [
        Standing(
            optimizer=name,
            num_tasks=len(tasks),
            steps_ratio=None if i == 1 else Interval((0.8, 1, 1.4)[i], 0.7, 1.5),
            seconds_ratio=None,
            score=Interval(1.2 - 0.2 * i, 1.0, 1.3),
            improvement=None if i == 1 else Interval(0.9, 0.7, 1.0),
            rank=1.0 + i,
            better_on=len(tasks) if i == 0 else 0,
            worse_on=len(tasks) if i == 2 else 0,
            profile=np.array([[1, 1 - 0.1 * i, 0.5, 0.1, 0], [1, 0.8, 0.3, 0, 0], [1, 1, 0.7, 0.3, 0]]),
            outcome=("better", "no difference", "worse")[i],
        )
        for i, name in enumerate(names)
    ]
    return Verdict(
        of=names[0],
        reference=names[1],
        suite=words,
        rule="chosen and judged by the last training loss",
        num_steps=200,
        num_seeds=3,
        entries=entries,
        standings=standings,
        scores=scores,
        ranks_differ=0.03,
        rank_groups=(tuple(names[:2]),),
        missing={words: words} if words else {},
        notes=[words] if words else [],
    )
