"""Measures whole cells on a GPU against the plain loop, and writes a Markdown table and a JSON file.

    python benchmarks/gpu_table.py [--out FOLDER] [--minutes 8] [--tasks A,B] [--device cuda] [--quick]

Each row is measured in a process of its own, the important ones first, until the time is up; one that fails
is a row with its error. A cell is AdamLR with 5 repetitions: 75 trials with all evaluations. A few of its
steps are trained; the seconds of the whole cell are those of the start, compilation included, and 10,001
times those of a steady step. `--device cpu --quick` shows anywhere that the script works.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

NUM_STEPS = {
    "ImageMLP_FashionMnist8_Relu32": 2000,
    "Conv_Cifar10_32x64x64": 200,
    "Resnet_MultiRuntime_0": 200,
    "TransformerLM_LM1B_MultiRuntime_0": 200,
    "RNNLM_lm1bbytes_Patch32_GRU128_Embed64": 200,
}
"""Steps that are trained of each cell."""
WAYS = ("plain", "eager", "compiled", "graphs")
PRECISIONS = ("float32", "tf32", "bf16")
CELL_STEPS = 10_000
QUICK_STEPS = 20
ROW_SECONDS = 150.0
"""Most that a row may take."""
NO_TIME = "left out: no time"
_MARK = "row: "

COLUMNS = {
    "task": "task",
    "way": "way",
    "precision": "precision",
    "width": "trials at once",
    "us": "us a trial-step",
    "ratio": "against the plain loop",
    "start_s": "start, s",
    "cell_s": "whole cell, s",
    "peak_gib": "peak, GiB",
    "peak_share": "peak / estimate",
    "time_share": "time / estimate",
    "error": "remarks",
}


def main():
    """Measure what there is time for, and write it down after every row."""
    args = arguments()
    if args.row:
        print(_MARK + json.dumps(measured(args.tasks, *args.row.split(","), args.device, args.quick)))
        return 0
    folder = Path(args.out)
    folder.mkdir(parents=True, exist_ok=True)
    until, rows = time.monotonic() + 60 * args.minutes, []
    about = machine(args.device)
    for precision, way, task in wanted(args.tasks.split(","), args.device, args.quick):
        row = {"task": task, "way": way, "precision": precision}
        left = until - time.monotonic()
        seconds = min(left, ROW_SECONDS)
        row |= in_a_process(args, task, way, precision, seconds) if left > 5 else {"error": NO_TIME}
        rows.append(row)
        print(f"{task} {way} {precision}: {row.get('us', row.get('error'))}", flush=True)
        write(folder, about, with_ratios(rows))
    print(f"{folder / 'gpu_table.md'}, {folder / 'gpu_table.json'}")
    return int(any("us" not in row and row["error"] != NO_TIME for row in rows))


def arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="gpu_results")
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--tasks", default=",".join(NUM_STEPS))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true", help="a few steps, of the first task and precision")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    return parser.parse_args()


def wanted(tasks, device, quick):
    """Give (precision, way, task) of every row, the important ones first."""
    is_cuda = device.startswith("cuda")
    ways = WAYS if is_cuda else WAYS[:2] if quick else WAYS[:3]
    precisions = PRECISIONS if is_cuda else PRECISIONS[:1] if quick else ("float32", "bf16")
    return [
        (precision, way, task)
        for precision in precisions
        for task in (tasks[:1] if quick else tasks)
        for way in ways
    ]


def in_a_process(args, task, way, precision, seconds):
    """Measure a row in a process, whatever becomes of that."""
    command = [sys.executable, __file__, "--row", f"{way},{precision}", "--tasks", task]
    command += ["--device", args.device, *(["--quick"] if args.quick else [])]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return {"error": f"took more than {seconds:.0f} s"}
    lines = [line for line in done.stdout.splitlines() if line.startswith(_MARK)]
    if done.returncode or not lines:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        return {"error": f"exit {done.returncode}: {last[:200]}"}
    return json.loads(lines[-1].removeprefix(_MARK))


def measured(task_name, way, precision, device_name, quick):
    """Measure one row in this process."""
    import torch

    from optsuite import get_task

    task, device = get_task(task_name), torch.device(device_name)
    num_steps = QUICK_STEPS if quick else NUM_STEPS.get(task_name, 200)
    if way == "plain":
        from plain_loop import plain_rate

        torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
        torch.backends.cudnn.allow_tf32 = precision == "tf32"
        rate = plain_rate(task, schedule_of(num_steps), num_steps, device=device, precision=precision)
        return {"us": 1e6 / rate}
    return of_cell(task, way, precision, device, num_steps)


def schedule_of(num_steps):
    """The schedule of a cell of that length."""
    from optsuite import get_hparam_set

    return get_hparam_set(f"AdamLR_{num_steps}_R5").schedule


def of_cell(task, way, precision, device, num_steps):
    """Train some steps of a cell and work out what the whole of it takes."""
    import torch
    from plain_loop import SOURCE, wait

    from optsuite.trainer import Unkept, make_groups, run, trial_bytes

    trials = trials_of(task, num_steps, precision)
    if way == "graphs":
        use_graphs()
    first, *_ = make_groups(task, trials, mode=SOURCE, device=device)
    group = first._replace(layout=first.layout._replace(is_compiled=way != "eager"))
    told, began = [(time.perf_counter(), 0)], time.perf_counter()

    def tell(count):
        told.append((time.perf_counter(), told[-1][1] + count))

    outcomes = list(run(task, [(group, Unkept())], mode=SOURCE, device=device, tell=tell))
    wait(device)
    if errors := [outcome.result for outcome in outcomes if isinstance(outcome.result, Exception)]:
        raise errors[0]
    seconds, width = time.perf_counter() - began, len(outcomes)
    # Two tells are steps for which all was warmed up: one a step, then one of the first block.
    start, done = told[min(3, len(told) - 2)]
    steady = (told[-1][0] - start) / (told[-1][1] - done)
    start_s = start - began - done * steady
    num_grids = -(-len(trials) // width)
    row = {
        "width": width,
        "us": 1e6 * steady,
        "start_s": start_s,
        "cell_s": start_s + num_grids * width * (CELL_STEPS + 1) * steady,
        "time_share": time_share(task, group.trials, precision, device, seconds, start_s, steady, way),
    }
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated(device) - torch.cuda.memory_allocated(device)
        row |= {"peak_gib": peak / 2**30, "peak_share": peak / (width * trial_bytes(task))}
    if way == "graphs" and (skips := skipped_graphs()):
        row["error"] = f"{skips} graphs not recorded"
    return row


def trials_of(task, num_steps, precision):
    """The trials of a cell of that length."""
    from optsuite import get_hparam_set

    trials = get_hparam_set(f"AdamLR_{num_steps}_R5").trials(task.name)
    return [replace(trial, precision=precision) for trial in trials]


def time_share(task, trials, precision, device, seconds, start_s, steady, way):
    """Measured over estimated seconds of these trials: of those steps if eager, else of 10,000."""
    import torch

    from optsuite import sweep

    speed = sweep.measured_speed(device, torch.get_num_threads())
    if way != "eager":
        kept = {trial.config.label for trial in trials}, {trial.seed for trial in trials}
        whole = trials_of(task, CELL_STEPS, precision)
        trials = [trial for trial in whole if trial.config.label in kept[0] and trial.seed in kept[1]]
        seconds = start_s + len(trials) * (CELL_STEPS + 1) * steady
    return seconds / sweep.estimated_cost(task, trials, device, speed).seconds


def use_graphs():
    """Have the compiler record CUDA graphs."""
    import torch._inductor.config as config

    config.triton.cudagraphs = True


def skipped_graphs():
    """Return the number of graphs that the compiler did not record."""
    from torch._dynamo.utils import counters

    return counters["inductor"]["cudagraph_skips"]


def machine(device):
    """Say on what all this was measured."""
    import torch

    about = {"date": datetime.now(UTC).isoformat(timespec="seconds"), "machine": platform.platform()}
    about |= {"torch": torch.__version__, "cuda": torch.version.cuda, "commit": commit(), "device": device}
    if device.startswith("cuda"):
        of_card = torch.cuda.get_device_properties(device)
        about |= {"card": of_card.name, "card_gib": round(of_card.total_memory / 2**30, 1)}
    return about


def commit():
    """The commit that is measured, or nothing outside of a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""


def with_ratios(rows):
    """Compare each row with the plain loop of the same task and precision."""
    plain = {(row["task"], row["precision"]): row.get("us") for row in rows if row["way"] == "plain"}
    for row in rows:
        beside = plain.get((row["task"], row["precision"]))
        if beside and "us" in row:
            row["ratio"] = beside / row["us"]
    return rows


def write(folder, about, rows):
    """Write what there is so far."""
    (folder / "gpu_table.json").write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n")
    lines = [", ".join(f"{key} {value}" for key, value in about.items()), ""]
    lines += ["| " + " | ".join(COLUMNS.values()) + " |", "|" + " --- |" * len(COLUMNS)]
    lines += ["| " + " | ".join(cell(row.get(key)) for key in COLUMNS) + " |" for row in rows]
    (folder / "gpu_table.md").write_text("\n".join(lines) + "\n")


def cell(value):
    """Word a value; `-` where nothing was measured."""
    if value is None:
        return "-"
    return f"{value:.3g}" if isinstance(value, float) else str(value).replace("|", "/")


if __name__ == "__main__":
    sys.exit(main())
