"""Commands that list tasks and datasets, and import nothing heavy."""

import argparse
import fnmatch

from optsuite import data
from optsuite._known_tasks import known_tasks
from optsuite.cli._text import print_table


def show_tasks(args: argparse.Namespace) -> int:
    """Print the tasks that match a glob."""
    rows = [("name", "dataset", "example", "batch", "parameters", *(["MFLOP/step"] * args.operations))]
    for name in sorted(fnmatch.filter(known_tasks(), args.pattern)):
        task = known_tasks()[name]
        counts = [task.example, str(task.batch_size), f"{task.num_params:,}"]
        if args.operations:
            counts.append(f"{task.flops_per_step / 1e6:,.0f}")
        rows.append((name, task.dataset, *counts))
    print_table(rows)
    return 0


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
