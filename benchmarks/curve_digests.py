"""Digests of the curves of small cells: shows that a change alters no result, bit for bit.

    python benchmarks/curve_digests.py before.json                     # on the commit before
    python benchmarks/curve_digests.py after.json --against before.json

The cells cover every family of tasks, optimizers of every kind, evolution strategies, classes of
`torch.optim`, a grid of which most trials diverge, compiled and uncompiled programs, one grid and several.
Digests are those of one machine and one version of torch: compare files from the same one.
"""

from __future__ import annotations

import argparse
import fnmatch
import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

from optsuite import Config, Curve, Schedule, Trial, get_hparam_set, train_many

TIMES_AND_VERSIONS = {"seconds_per_step", "peak_memory_bytes", "optsuite_version", "torch_version"}
MLP, CONV = "ImageMLP_FashionMnist8_Relu32", "Conv_Cifar10_8_16x32"
BRIEF = Schedule(2, eval_every=1, eval_batches=1, last_eval_batches=1)


def hparam_set(task: str, name: str) -> Callable[[], list[Trial]]:
    """Return what gives all trials of a named set."""
    return lambda: get_hparam_set(name).trials(task)


def few(task: str, *configs: Config, seeds: int = 1, schedule: Schedule = BRIEF) -> Callable[[], list[Trial]]:
    """Return what gives trials of some configs under a schedule, configs outermost."""
    return lambda: [Trial(task, config, schedule, seed) for config in configs for seed in range(seeds)]


def adam(lr: float) -> Config:
    """Return Adam at a learning rate."""
    return Config(f"Adam_lr{lr}", "Adam", {"lr": lr})


def ragged(task: str) -> Callable[[], list[Trial]]:
    """Return what gives trials whose seeds train different configs, so that they need several grids."""
    schedule = Schedule(60)
    return lambda: [
        Trial(task, adam(lr), schedule, seed) for seed, lrs in enumerate(([1e-3, 1e-2], [1e-2])) for lr in lrs
    ]


NADAM = Config("NAdam_lr0.01", "torch.optim:NAdam", {"lr": 0.01})
ADAFACTOR = Config("Adafactor_lr0.01", "torch.optim:Adafactor", {"lr": 0.01})

CELLS: dict[str, Callable[[], list[Trial]]] = {
    "mlp-adam": hparam_set(MLP, "AdamLR_120_R2"),
    "mlp-adam-compiled": hparam_set(MLP, "AdamLR_2000_R2"),
    "mlp-sgdm-compiled-diverging": hparam_set(MLP, "SGDMLR_2500_R2"),
    "mlp-sgd-diverging": hparam_set("ImageMLP_Cifar10_128x128x128_Relu_MSE", "SGDLR_60_R2"),
    "mlp-shampoo": hparam_set(MLP, "Shampoo128RmspropLR_20_R2"),
    "mlp-adafactor": hparam_set(MLP, "AdafactorLR_60_R2"),
    "mlp-accumulation": hparam_set(MLP, "AdamLR_GradAccum_60_R1"),
    "mlp-lamb": hparam_set(MLP, "LambLR_60_R2"),
    "mlp-sm3": hparam_set(MLP, "SM3LR_60_R1"),
    "mlp-several-grids": ragged(MLP),
    "mlp-dropout": hparam_set("ImageMLP_Cifar10_128x128_Dropout05_Relu_MSE", "AdamLR_20_R2"),
    "mlp-torch-elementwise": few(MLP, NADAM, seeds=3, schedule=Schedule(60)),
    "mlp-torch-one-by-one": few(MLP, ADAFACTOR, seeds=2, schedule=Schedule(60)),
    "mlp-single": few(MLP, adam(1e-3), schedule=Schedule(60)),
    "es-adam": hparam_set(f"ESWrapped_1pair_{MLP}", "AdamLR_60_R2"),
    "es-compiled": hparam_set(f"ESWrapped_1pair_{MLP}", "SGDLR_2000_R1"),
    "es-8-pairs": few("ESWrapped_8pair_ImageMLP_Mnist_128x128x128_Relu", adam(1e-3), adam(1e-2), seeds=2),
    "es-torch": few(f"ESWrapped_1pair_{MLP}", NADAM, seeds=2, schedule=Schedule(60)),
    "conv-adam": hparam_set(CONV, "AdamLR_20_R1"),
    "autoencoder": few("ImageMLPAE_Mnist_128x32x128_bs128", adam(1e-3), adam(1e-2), seeds=2),
    "resnet": few("Resnet_MultiRuntime_0", adam(1e-3)),
    "vit": few("VIT_Cifar100_wideshallow", adam(1e-3)),
    "mixer": few("MLPMixer_Cifar100_small16", adam(1e-3)),
    "vanilla-rnn": few("RNNLM_lm1bbytes_Patch32_VanillaRNN128_Embed64", adam(1e-3), adam(1e-2), seeds=2),
    "lstm": few("RNNLM_lm1bbytes_Patch32_LSTM128_Embed64", adam(1e-3)),
    "gru": few("RNNLM_lm1bbytes_Patch32_GRU128_Embed64", adam(1e-3)),
    "transformer": few("TransformerLM_LM1B_MultiRuntime_0", adam(1e-3)),
}


def digests(curves: list[Curve]) -> dict[str, str]:
    """Return a digest of each key over all curves, times and versions left out."""
    keys = sorted({key for curve in curves for key in curve} - TIMES_AND_VERSIONS)
    return {key: _digest([curve[key] for curve in curves if key in curve]) for key in keys}


def _digest(arrays: list) -> str:
    made = hashlib.sha256()
    for array in arrays:
        made.update(f"{array.dtype}{array.shape}".encode() + array.tobytes())
    return made.hexdigest()[:16]


def differences(name: str, now: dict[str, str], before: dict[str, str]) -> list[str]:
    """Return what differs between the digests of a cell, in words."""
    changed = [key for key in sorted(now.keys() | before.keys()) if now.get(key) != before.get(key)]
    return [f"{name}: {', '.join(changed)}"] if changed else []


def main() -> int:
    """Train the cells, write their digests, and compare them with those of before."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("output", type=Path, help="the JSON file to write")
    parser.add_argument("--against", type=Path, help="a file written before, to compare with")
    parser.add_argument("--cells", default="*", help="glob that narrows the cells")
    args = parser.parse_args()
    before = json.loads(args.against.read_text()) if args.against else {}
    found, different = {}, []
    for name in fnmatch.filter(CELLS, args.cells):
        trials = CELLS[name]()
        found[name] = digests(train_many(trials[0].task_name, trials, mode="synthetic", device="cpu"))
        args.output.write_text(json.dumps(found, indent=1))
        lines = differences(name, found[name], before[name]) if name in before else []
        print(*(lines or [f"{name}: {'the same' if name in before else 'written'}"]), sep="\n", flush=True)
        different += lines
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
