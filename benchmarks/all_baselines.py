"""Trains the rules of this package on one task, each at its own learning rates, and draws them side by side.

    python benchmarks/all_baselines.py --storage baselines -o docs/figures/baselines.png

What is recorded already is not trained again, and rules without an archive are left out of the figure.
`--only` and `--draw` choose a part of the work. The rules of learned_optimization are grey, the others have
colours.
"""

from __future__ import annotations

import argparse
import colorsys
import sys
from pathlib import Path

from matplotlib import pyplot as plt

from optsuite.cli import main as optsuite
from optsuite.statistics import Results, read_results
from optsuite.vis import draw_curves, render

TASK, NUM_STEPS, NUM_SEEDS = "ImageMLP_FashionMnist_Relu128x128", 2000, 2
RATES = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0)

OLD = {
    "Adam": (1e-4, 1e-2),
    "SGD": (1e-2, 1.0),
    "SGDM": (3e-3, 0.3),
    "AdamW": (1e-4, 1e-2),
    "NAdamW": (1e-4, 1e-2),
    "RMSProp": (1e-4, 1e-2),
    "Lamb": (3e-4, 3e-2),
    "Lars": (0.1, 10.0),
    "Adafactor": (1e-3, 0.1),
    "AdaBelief": (1e-4, 1e-2),
    "Yogi": (3e-4, 3e-2),
    "RAdam": (1e-4, 1e-2),
    "SM3": (1e-2, 1.0),
    "Fromage": (1e-3, 0.1),
    "AdaGrad": (1e-2, 1.0),
    "Shampoo": (1e-4, 1e-2),
}
"""The lowest and the highest of the rates of each rule, in `RATES`."""

NEW = {
    "Muon": (3e-3, 0.3),
    "SOAP": (3e-4, 3e-2),
    "Lion": (3e-5, 3e-3),
    "Signum": (3e-5, 3e-3),
    "AdEMAMix": (1e-4, 1e-2),
    "MARSAdamW": (3e-4, 3e-2),
    "ADOPT": (1e-4, 1e-2),
    "Prodigy": (0.03, 3.0),
    "ScheduleFreeAdamW": (3e-4, 3e-2),
    "ScheduleFreeSGD": (0.1, 10.0),
    "AdamW+cosine": (3e-4, 3e-2),
    "AdamW+wsd": (3e-4, 3e-2),
    "Muon+cosine": (3e-3, 0.3),
}

ARGUMENTS = {
    "AdEMAMix": "beta3=0.999, ",  # the default remembers more steps than there are
    "Shampoo": "graft_type=rmsprop, block_size=128, ",
}


def set_of(rule: str) -> str:
    """Return the name of the set that a rule trains."""
    return f"Some{rule.replace('+', '_')}_{NUM_STEPS}_R{NUM_SEEDS}"


def train(rule: str, root: str) -> int:
    """Train a rule at its rates and archive the curves; returns the exit status."""
    low, high = {**OLD, **NEW}[rule]
    rates = "|".join(f"{rate:g}" for rate in RATES if low <= rate <= high)
    name = set_of(rule)
    grid = f"{name.removesuffix(f'_{NUM_STEPS}_R{NUM_SEEDS}')}={rule}({ARGUMENTS.get(rule, '')}lr={rates})"
    options = ["--data", "real", "--report", "off", "--storage", root]
    return optsuite(["run", TASK, name, "--grid", grid, *options])


def colors_of(results: dict[str, Results]) -> dict[str, tuple[float, ...]]:
    """Return a colour for each rule: grey for the old, as different as can be for the new ones."""
    new = [rule for rule in NEW if rule in results]
    hues = {
        rule: colorsys.hls_to_rgb(n / len(new), (0.38, 0.55)[n % 2], (0.95, 0.65)[n % 2])
        for n, rule in enumerate(new)
    }
    return {rule: hues.get(rule, (0.72, 0.72, 0.72)) for rule in results}


def draw(root: str, output: str) -> None:
    """Draw the curves of each rule's best rate, and its final losses, the lowest on top."""
    rules = {set_of(rule): rule for rule in (*OLD, *NEW)}
    read = read_results(TASK, list(rules), root)
    by_loss = sorted((cell for cell in read if isinstance(cell, Results) and cell.best is not None), key=loss)
    results = {rules[cell.hparam_set]: cell for cell in by_loss}
    colors = colors_of(results)
    grey_first = sorted(results, key=lambda rule: rule in NEW)
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(11, 7.2), width_ratios=(1.25, 1), layout="constrained"
    )
    draw_curves(
        [results[rule] for rule in grey_first],
        left,
        alpha_on_confidence=0,
        ema=0.8,
        initial_shift=20,
        legend=False,
        colors=[colors[rule] for rule in grey_first],
    )
    left.set_yscale("log")
    left.yaxis.set_major_formatter("{x:g}")
    left.yaxis.set_minor_formatter("{x:g}")
    left.grid(axis="y", which="both", color="#e4e4e8", linewidth=0.6)
    left.set_title("training loss, the best rate of each", fontsize=10)
    losses = [loss(cell) for cell in results.values()]
    right.barh(range(len(results)), losses, color=[colors[rule] for rule in results], height=0.75)
    for place, cell in enumerate(results.values()):
        finals = cell.final["eval/train/loss"][cell.best]
        right.plot(finals, [place] * len(finals), "k.", markersize=3)
        rate = cell.configs[cell.best].hparams["lr"]
        is_edge = cell.best in (0, len(cell.configs) - 1)
        words = f"{loss(cell):.3f}   lr {rate:g}{' *' * is_edge}"
        right.text(max(finals) + 0.004, place, words, va="center", fontsize=7)
    names = [rule + " (beta3 0.999)" * (rule == "AdEMAMix") for rule in results]
    right.set_yticks(range(len(results)), names, fontsize=8)
    for tick, rule in zip(right.get_yticklabels(), results, strict=True):
        tick.set_color("#666666" if rule in OLD else colors[rule])
    right.set_ylim(len(results) - 0.4, -0.6)
    right.set_xlim(0, 1.25 * max(losses))
    right.set_title(f"training loss after {NUM_STEPS:,} steps, mean of {NUM_SEEDS} seeds (dots)", fontsize=10)
    right.set_xlabel(
        "grey: rules of learned_optimization; *: the lowest or highest of the rates tried", fontsize=8
    )
    right.spines[["top", "right"]].set_visible(False)
    Path(output).write_bytes(render(figure, "svg" if output.endswith(".svg") else "png"))


def loss(cell: Results) -> float:
    """Return the final training loss of the best rate, the mean over seeds."""
    return float(cell.final["eval/train/loss"][cell.best].mean())


def main() -> int:
    """Train what is missing, and draw what is there."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--storage", required=True, help="path of the curves; archives lie beside it")
    parser.add_argument("--only", nargs="+", default=[*OLD, *NEW], help="rules to train")
    parser.add_argument("--draw", action="store_true", help="train nothing")
    parser.add_argument("-o", "--output", help="the figure, .png or .svg")
    args = parser.parse_args()
    statuses = [0] if args.draw else [train(rule, args.storage) for rule in args.only]
    if args.output:
        draw(f"{args.storage}_archives", args.output)
    return max(statuses)


if __name__ == "__main__":
    sys.exit(main())
