"""Made-up verdicts, and made-up archives to judge."""

from __future__ import annotations

import math

import numpy as np
from examples import SPLITS, make_trial

from optsuite import archives
from optsuite.archives import RecordedConfig
from optsuite.statistics import Evaluations, Interval
from optsuite.verdict import Entry, Standing, Verdict

TASKS = ("ImageMLP_FashionMnist8_Relu32", "ImageMLP_FashionMnist16_Relu32")
LRS = (0.001, 0.003, 0.01)


def evaluations(family, task=TASKS[0], lrs=LRS, seeds=5, **changes):
    """Evaluations without curves, which words do not read."""
    fields = {
        "task": task,
        "hparam_set": f"{family}_2000_R{seeds}",
        "source": "own",
        "configs": tuple(RecordedConfig(f"{family[:-2]}_lr{lr:g}", {"lr": lr}) for lr in lrs),
        "seeds": np.arange(seeds),
        "data_source": "real",
        "schedule": None,
        "num_steps": 2000,
        "xs": np.arange(0, 2001, 10),
        "losses": {},
        "accuracies": {},
        "diverged": np.zeros((len(lrs), seeds), bool),
        "seconds_per_step": None,
        "flops_per_step": None,
        "device": "",
        "origin": f"/archives/{task}/{family}_2000_R{seeds}.npz",
    }
    return Evaluations(**fields | changes)


def entry(family, ratio=None, *, task=TASKS[0], best=1, final=(0.4, 0.39, 0.41), **changes):
    """An optimizer on a task."""
    cell = changes.pop("evaluations", None) or evaluations(family, task)
    fields = {
        "task": task,
        "optimizer": family.removesuffix("LR"),
        "evaluations": cell,
        "best": None if best is None else cell.configs[best],
        "best_index": best,
        "why_no_best": "all diverged" if best is None else "",
        "edge": "",
        "final": None if best is None else Interval(*final),
        "best_of": (),
        "plateau": None,
        "steps_ratio": ratio and Interval(*ratio),
        "seconds_ratio": None,
        "flops_ratio": None,
        "notes": (),
    }
    return Entry(**fields | changes)


def standing(name, rank, ratio=None, outcome="no difference", **changes):
    """An optimizer over all tasks."""
    fields = {
        "optimizer": name,
        "num_tasks": 2,
        "steps_ratio": ratio and Interval(*ratio),
        "seconds_ratio": None,
        "score": None,
        "improvement": None,
        "rank": rank,
        "better_on": 0,
        "worse_on": 0,
        "profile": np.zeros((3, 1)),
        "outcome": outcome,
    }
    return Standing(**fields | changes)


def verdict(entries, standings, **changes):
    """A verdict on `Mine` against Adam."""
    fields = {
        "of": "Mine",
        "reference": "Adam",
        "suite": "",
        "rule": "chosen and judged by the last training loss",
        "num_steps": 2000,
        "num_seeds": 5,
        "entries": tuple(entries),
        "standings": tuple(standings),
        "scores": np.ones(1),
        "ranks_differ": None,
        "rank_groups": (),
        "missing": {},
        "notes": (),
    }
    return Verdict(**fields | changes)


def verdict_on_two(ratio, outcome, counts=(0, 0), **changes):
    """A verdict on two tasks, from the aggregated ratio."""
    entries = [
        one for task in TASKS for one in (entry("MineLR", ratio, task=task), entry("AdamLR", task=task))
    ]
    better, worse = counts
    mine = standing("Mine", 1.5, ratio, outcome, better_on=better, worse_on=worse)
    return verdict(entries, [mine, standing("Adam", 1.5)], **changes)


def archive(root, family, ends, *, task=TASKS[0], steps=100, seeds=(0, 1, 2), source="real", noise=0.02):
    """Write an archive of curves that fall to the ends of their settings; return the name of its set.

    Args:
        root: Root of the archives.
        family: Family; its settings have rising learning rates.
        ends: Loss of each setting at the last step; NaN for one that diverges.
    """
    opt = family.removesuffix("LR")
    trials = [
        [_trial(opt, h, end, seed, task, steps, source, noise) for seed in seeds]
        for h, end in enumerate(ends)
    ]
    name = f"{family}_{steps}_R{len(seeds)}"
    archives.write_archive(task, name, archives.stack_curves(trials), root)
    return name


def _trial(opt, h, end, seed, task, steps, source, noise):
    label, lr = f"{opt}_lr{10.0 ** (h - 4):g}", 10.0 ** (h - 4)
    luck = 1 + noise * np.random.default_rng([seed, h]).standard_normal()
    xs = np.arange(0, steps + 1, 10)
    curve = luck * (end + (2.3 - end) * np.exp(-xs / (steps / 6)))
    if math.isnan(end):
        curve[0] = 2.3
    return make_trial(
        label,
        {"lr": lr},
        seed,
        task_name=task,
        num_steps=steps,
        train_loss=np.interp(np.arange(steps + 1), xs, curve),
        eval_metrics={
            f"{split}/{metric}": curve for split in SPLITS for metric in ("loss", "loss_normalized")
        },
        data_source=source,
    )
