"""Trains the baselines that come with optsuite, and packs them.

    python benchmarks/make_baselines.py --storage baselines --archives baselines_archives

What is recorded already is not trained again, so an interrupted run goes on. Everything takes hours on two
cores. `--pack` trains nothing and packs the cells that are complete. Commit what it writes:
`optsuite/baselines/data`, and the normalizers in `optsuite/normalizers`.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

from optsuite import baselines, normalizers
from optsuite.archives import list_hparam_sets_for_task
from optsuite.cli import main as optsuite
from optsuite.errors import OptsuiteError
from optsuite.suites import get_suite

ROOT = Path(__file__).parents[1] / "optsuite"

F8, F16, F32 = (f"ImageMLP_FashionMnist{size}_Relu32" for size in (8, 16, 32))
SMALL = get_suite("cpu-small")
*_, LARGER, AUTOENCODER, STRATEGIES = SMALL.tasks

RULES = (
    *("Adam", "SGD", "SGDM", "AdamW", "NAdamW", "Muon", "Lion", "RMSProp", "RMSPropMom", "Adafactor"),
    *("AdaBelief", "Yogi", "RAdam", "SM3", "Fromage", "AdaGrad", "Lamb", "Lars", "SM3beta2_999_", "Signum"),
    *("AdEMAMix", "MARSAdamW", "ADOPT", "Prodigy", "ScheduleFreeAdamW", "ScheduleFreeSGD"),
)
FAMILIES = (*(f"{rule}LR" for rule in RULES), "AdamWLR_cosine", "AdamWLR_wsd", "MuonLR_cosine")
ORIGINAL = (
    *("AdaBelief", "AdaGrad", "Adafactor", "Adam", "AdamW", "Fromage", "Lamb", "Lars", "RAdam", "RMSProp"),
    *("RMSPropMom", "SGD", "SGDM", "SM3", "SM3beta2_999_", "Yogi"),
)
"""Rules whose example sets of 10,000 steps learned_optimization published."""

ADAM = "AdamLR_2000_R5"

CELLS = (
    *((task, f"{family}_2000_R5") for family in FAMILIES for task in (F8, F16, F32)),
    *((task, "SOAPLR_2000_R5") for task in (F8, F16)),
    (F16, "ShampooLR_2000_R5"),
    *((task, f"{family}_2000_R5") for task in (LARGER, STRATEGIES) for family in SMALL.families),
    (AUTOENCODER, "AdamLR_2000_R5"),
    *((F8, f"{rule}LR_10000_R5") for rule in ORIGINAL),
)
"""(task, set) of each, the more wanted first."""


def train(args: argparse.Namespace) -> int:
    """Train what is not recorded; returns the largest exit status."""
    places = ("--storage", args.storage, "--archives", args.archives)
    return max(optsuite(["run", *cell, "--data", "real", "--report", "off", *places]) for cell in CELLS)


def pack(args: argparse.Namespace) -> None:
    """Pack the cells that have an archive, and the normalizers of their tasks."""
    tasks = dict.fromkeys(task for task, _ in CELLS)
    there = {(task, name) for task in tasks for name in list_hparam_sets_for_task(task, args.archives)}
    cells = [cell for cell in CELLS if cell in there]
    folder = str(ROOT / "baselines" / "data")
    baselines.pack(cells, args.archives, folder, commit=args.commit or commit(), device=args.device)
    fitted = {t: normalizers.build(t, [ADAM], root=args.archives) for t in tasks if (t, ADAM) in there}
    normalizers.write(fitted, str(ROOT / "normalizers" / f"speedup_over_adam{ADAM[6:]}.json"), overwrite=True)
    size = sum(path.stat().st_size for path in Path(folder).rglob("*.npz"))
    print(f"packed {len(cells)} of {len(CELLS)} cells, {size / 1e6:.2f} MB")
    for task, name in (cell for cell in CELLS if cell not in there):
        print(f"not trained yet: {task} {name}")


def commit() -> str:
    """Return the commit of this checkout."""
    command = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def device() -> str:
    """Return this machine in words."""
    cpu_info = Path("/proc/cpuinfo")
    named = re.search(r"model name\s*: (.*)", cpu_info.read_text() if cpu_info.is_file() else "")
    return f"{os.cpu_count()} cores ({named[1] if named else platform.processor() or platform.machine()})"


def main() -> int:
    """Train and pack."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--storage", required=True, help="path of the curves")
    parser.add_argument("--archives", required=True, help="path of the archives")
    parser.add_argument("--pack", action="store_true", help="train nothing")
    parser.add_argument("--commit", help="commit that trained them (default: of this checkout)")
    parser.add_argument("--device", default=device(), help="machine that trained them (default: this one)")
    args = parser.parse_args()
    status = 0 if args.pack else train(args)
    try:
        pack(args)
    except OptsuiteError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return status


if __name__ == "__main__":
    sys.exit(main())
