"""Commands that list what there is: tasks, hparam sets, datasets."""

import argparse
import sys

from optsuite import data
from optsuite.cli._own_sets import add_own_sets
from optsuite.cli._text import print_table
from optsuite.hparam_sets import (
    get_hparam_set,
    list_hparam_sets,
    needs_checkpoint,
    split_name,
)
from optsuite.optimizers import WRAPPERS
from optsuite.tasks import get_task, list_tasks

_GRAMMAR = (
    "and any <RULE>LR[xWD][_WRAPPER[NUMBER]...]_<STEPS>_R<REPETITIONS>, such as "
    "AdamWLRxWD_cosine_clip0p5_2000_R2, with wrappers in this order: {}"
)


def show_tasks(args: argparse.Namespace) -> int:
    """Print the tasks that match a glob."""
    rows = [("name", "dataset", "example", "batch", "parameters", *(["MFLOP/step"] * args.operations))]
    for task in map(get_task, list_tasks(args.pattern)):
        shape, _ = next(iter(task.dataset.fields.values()))
        counts = ["x".join(map(str, shape)), str(task.batch_size), f"{task.num_params:,}"]
        if args.operations:
            counts.append("?" if task.flops_per_step < 0 else f"{task.flops_per_step / 1e6:,.0f}")
        rows.append((task.name, task.dataset.dataset, *counts))
    print_table(rows)
    return 0


def show_sets(args: argparse.Namespace) -> int:
    """Print the published hparam sets that match a glob."""
    add_own_sets(args)
    rows = [("name", "configs", "repetitions", "steps", "first and last config")]
    print_table([*rows, *map(_row_of_set, list_hparam_sets(args.pattern))])
    print(_GRAMMAR.format(", ".join(WRAPPERS)), file=sys.stderr)
    return 0


def _row_of_set(name: str) -> tuple[str, ...]:
    if needs_checkpoint(name) and (parts := split_name(name)):
        return name, "-", str(parts[2]), f"{parts[1]:,}", "needs a checkpoint: --lopt PATH"
    one = get_hparam_set(name)
    counts = (str(len(one.labels)), str(one.repetitions), f"{one.schedule.num_steps:,}")
    return one.name, *counts, f"{one.labels[0]} ... {one.labels[-1]}"


def list_data(_args: argparse.Namespace) -> int:
    """Print every dataset, and where it lies or how to get it."""
    rows = [("name", "train", "test", "shape", "classes", "where")]
    for info in data.DATASETS.values():
        found = data.find_files(info)
        where = str(found) if found else f"missing: {info.how_to_get}"
        counts = (str(info.num_train), str(info.num_test))
        rows.append((info.name, *counts, info.shape, str(info.num_outputs), where))
    print_table(rows)
    return 0


def fetch_data(args: argparse.Namespace) -> int:
    """Download datasets and print their folders."""
    infos = [data.get_dataset(name) for name in args.names]  # a misspelt name downloads nothing
    for info in infos:
        print(f"{info.name}: {data.fetch(info.name)}")
    return 0


def show_data_path(args: argparse.Namespace) -> int:
    """Print the folder of all datasets, or of one."""
    if args.name is None:
        print(data.data_dir())
    else:
        info = data.get_dataset(args.name)
        print(data.find_files(info) or data.dataset_dir(info))
    return 0
