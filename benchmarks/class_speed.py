"""Trial-steps per second of optimizer classes: as the suite trains them, and beside what one writes by hand.

    python benchmarks/class_speed.py --csv speed.csv
    python benchmarks/class_speed.py --csv speed.csv --tasks ImageMLP_FashionMnist8_Relu32 --only Prodigy SOAP

Each cell is 15 learning rates x 5 seeds, with the evaluations of the default schedule, and is trained whole:
by one object a trial, in the best way that the suite takes by itself, and by the rule of the package that is
the same, compiled. Before and after them the plain loop trains one of the trials each, as one writes it with
`torch.nn` and the class; the better of the two counts. A way that takes longer than `--limit` is stopped, and
the steps that are left are taken to last as long as those since its first block. By how much the suite's
curves of these two trials differ from the plain loop's is told relative to the loss, for the first 100 steps
and for all: rounding errors grow.

A row of the table is written to the file as soon as it is measured; rows that are there are not run again.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from optsuite import Config, Schedule, Trial, get_task, train_many
from optsuite.curves import EVAL_SPLITS
from optsuite.data import IndexStream, load, resolve_source
from optsuite.hparam_sets import LEARNING_RATES
from optsuite.optimizers import import_optimizer
from optsuite.trainer import _run
from optsuite.trainer._grid import How

TASKS = ["ImageMLP_FashionMnist8_Relu32", "ImageMLP_FashionMnist_Relu128x128"]
NUM_SEEDS = 5
OWN = Path(__file__).with_name("own_classes.py")


class Row(NamedTuple):
    """A class, and the rule of this package that is the same."""

    name: str
    path: str
    twin: str
    lrs: tuple[float, float] = (1e-3, 3e-4)
    """Rates of the trials that the plain loop trains as well, with which this rule trains well."""


ROWS = [
    Row("SignMomentum", f"{OWN}:SignMomentum", "Signum", (1e-4, 3e-4)),
    Row("torch Adam", "torch.optim:Adam", "Adam"),
    Row("torch NAdam", "torch.optim:NAdam", "NAdamW"),
    Row("torch Adafactor", "torch.optim:Adafactor", "Adafactor", (1e-2, 3e-3)),
    Row("Muon and AdamW", f"{OWN}:MuonAndAdamW", "Muon", (1e-2, 3e-3)),
    Row("Lion", "pytorch_optimizer:Lion", "Lion", (1e-4, 3e-4)),
    Row("SOAP", "pytorch_optimizer:SOAP", "SOAP"),
    Row("AdEMAMix", "pytorch_optimizer:AdEMAMix", "AdEMAMix"),
    Row("ScheduleFreeAdamW", "pytorch_optimizer:ScheduleFreeAdamW", "ScheduleFreeAdamW"),
    Row("Prodigy", "pytorch_optimizer:Prodigy", "Prodigy", (1.0, 0.3)),
]

COLUMNS = [
    *("task", "class", "steps", "twin", "trained as"),
    *("plain us", "object a trial us", "suite us", "twin us"),
    *("object a trial / plain", "suite / plain", "suite / twin"),
    *("difference of first 100", "difference"),
]
"""Times are of a trial-step, ratios are of speed."""


class Measured(NamedTuple):
    """What is kept of a cell."""

    us: float
    """Microseconds of a trial-step."""
    losses: list
    """Losses of every trial, up to the step at which the first grid was stopped."""
    trained_as: str


class Ways:
    """The ways to train a cell.

    Args:
        task: The task.
        row: The class.
        schedule: The schedule of all.
        limit: Seconds after which a way is stopped.
    """

    def __init__(self, task, row, schedule, limit):
        self.task, self.row, self.schedule, self.limit = task, row, schedule, limit

    def trials(self, optimizer):
        """All of the cell, configs outermost."""
        configs = [Config(f"x_lr{lr}", optimizer, {"lr": lr}) for lr in LEARNING_RATES]
        return [Trial(self.task.name, c, self.schedule, seed) for c in configs for seed in range(NUM_SEEDS)]

    def suite(self, optimizer, **how):
        """Train the cell, each grid until the time is over: see `Measured`."""
        stops, counts, missing = [], [], []  # the last two: trial-steps; seconds of those that are left out
        began = time.perf_counter()

        def trained(run, state, *_):
            state = first = run.advance(state)  # which starts up, and compiles
            started = now = time.perf_counter()
            while not run.is_over(state) and (state is first or now < began + self.limit):
                state = run.advance(state)
                now = time.perf_counter()
            share_left = (self.schedule.num_steps + 1 - state.step) / max(1, state.step - first.step)
            share_left *= not run.is_over(state)
            stops.append(state.step)
            missing.append(share_left * (now - started))
            counts.append(state.trial_steps + share_left * (state.trial_steps - first.trial_steps))
            return run.finish(state)

        with patch.multiple(_run, _trained=trained, How=partial(How, **how)):
            curves = train_many(self.task, self.trials(optimizer))
        seconds = time.perf_counter() - began + sum(missing)
        losses = [np.asarray(curve["train/loss"])[: min(stops)] for curve in curves]
        return Measured(1e6 * seconds / sum(counts), losses, curves[0]["trained_as"])

    def plain(self, place):
        """Train one trial by hand: microseconds of a step, and the losses."""
        cls = import_optimizer(self.row.path)
        net = plain_network(self.task.module(place))
        optimizer = cls(net.parameters(), lr=self.row.lrs[place])
        train = batches_of(self.task, "train", "train", place)
        evals = [batches_of(self.task, split, f"eval/{split}", place) for split in EVAL_SPLITS]
        set_mode(optimizer, "train")
        losses, metrics, began = [], [], time.perf_counter()
        eval_steps = set(self.schedule.eval_steps())
        for step in range(self.schedule.num_steps + 1):
            if step in eval_steps:
                set_mode(optimizer, "eval")
                for batches in evals:
                    some = itertools.islice(batches, self.schedule.batches_at(step))
                    metrics += [plain_metrics(self.task, net, batch) for batch in some]
                set_mode(optimizer, "train")
            batch = next(train)
            optimizer.zero_grad()
            loss = F.cross_entropy(net(batch["image"]), batch["label"])
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            if time.perf_counter() > began + self.limit:
                break
        return 1e6 * (time.perf_counter() - began) / len(losses), np.array(losses)

    def difference(self, place, losses, suite, count):
        """The largest relative difference in the first steps of a trial; NaN where either is not finite."""
        ours = suite.losses[LEARNING_RATES.index(self.row.lrs[place]) * NUM_SEEDS + place]
        count = min(count, len(ours), len(losses))
        return float(np.max(np.abs(ours[:count] / losses[:count] - 1)))


def plain_network(module):
    """The same network in torch's own layers."""
    layers = [nn.Flatten()]
    for linear in module.linears:
        layers += [nn.Linear(*reversed(linear.weight.shape)), nn.ReLU()]
        layers[-2].load_state_dict(linear.state_dict())
    return nn.Sequential(*layers[:-1])


def batches_of(task, split, name, seed):
    """The batches of a trial, which are at hand."""
    examples = load(task.dataset, split, source=resolve_source(task.dataset.dataset, None), device="cpu")
    stream = IndexStream(len(examples), task.batch_size, seed=seed, name=name)
    start, many = 0, 50
    while True:
        for index in stream.block(start, start + many):
            yield examples.gather(index)
        start += many


def set_mode(optimizer, name):
    """Switch an optimizer that has modes."""
    getattr(optimizer, name, lambda: None)()


@torch.no_grad()
def plain_metrics(task, net, batch):
    """Loss, normalised loss and accuracy of one batch."""
    outputs = net(batch["image"])
    loss = F.cross_entropy(outputs, batch["label"])
    accuracy = (outputs.argmax(-1) == batch["label"]).float().mean()
    return loss.item(), float(task.normalizer(loss)), accuracy.item()


def measure(task, row, schedule, limit):
    """One row of the table."""
    ways = Ways(task, row, schedule, limit)
    first = ways.plain(0)
    a_trial = ways.suite(row.path, lifting="none")
    suite = ways.suite(row.path)
    twin = ways.suite(row.twin)
    both = first, ways.plain(1)
    plain = min(us for us, _ in both)
    near, far = (
        max(ways.difference(place, losses, suite, count) for place, (_, losses) in enumerate(both))
        for count in (100, len(suite.losses[0]))
    )
    times = [f"{us:.0f}" for us in (plain, a_trial.us, suite.us, twin.us)]
    ratios = [f"{ratio:.2f}" for ratio in (plain / a_trial.us, plain / suite.us, twin.us / suite.us)]
    what = [task.name, row.name, str(schedule.num_steps), row.twin, suite.trained_as]
    return dict(zip(COLUMNS, [*what, *times, *ratios, f"{near:.0e}", f"{far:.0e}"], strict=True))


def read(file):
    """The rows that were measured before."""
    return list(csv.DictReader(file.open())) if file.exists() else []


def add(file, line):
    """Write a row at the end."""
    is_new = not file.exists()
    with file.open("a", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        if is_new:
            writer.writeheader()
        writer.writerow(line)


def as_markdown(lines):
    """The table as the benchmarks' README has it."""
    rows = [COLUMNS, ["---"] * len(COLUMNS), *([line[name] for name in COLUMNS] for line in lines)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def main():
    """Measure what is not in the file yet, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--csv", type=Path, required=True, help="the file of rows, written row by row")
    parser.add_argument("--tasks", nargs="+", default=TASKS, help="image MLPs")
    parser.add_argument("--only", nargs="+", default=[row.name for row in ROWS], help="names of rows")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--limit", type=float, default=300.0, help="seconds for each way of a row")
    args = parser.parse_args()
    for task in map(get_task, args.tasks):
        for row in ROWS:
            known = {(line["task"], line["class"], line["steps"]) for line in read(args.csv)}
            if row.name in args.only and (task.name, row.name, str(args.steps)) not in known:
                line = measure(task, row, Schedule(args.steps), args.limit)
                add(args.csv, line)
                print(", ".join(f"{key}: {value}" for key, value in line.items()), flush=True)
    print(as_markdown(read(args.csv)))


if __name__ == "__main__":
    main()
