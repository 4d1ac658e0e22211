"""Losses of any task on one scale: the training steps that the best baseline needs to reach them.

A normalizer is fitted to archives. Each config's training loss in evaluations, mean over seeds, is smoothed
by `ema`; the lowest over all configs of all sets is what the baselines reach by a step. A config whose loss
is not finite, of an evaluation or of a training batch, is out from that step on. Files of normalizers
are the original's JSON, `{"task": [xs, ys]}`, one task a line: `<archives root>/<name>.json`.

| name | baselines |
| --- | --- |
| `speedup_over_adam` | `AdamLR` |
| `speedup_over_multiple_baselines` | `AdamLR`, `AdamSqrtDecayLR`, `AdamExpDecayLR`, `RAdamLR` |

These are of 100,000 steps and 5 seeds; with the ending `_v2`, of 300,000. Any other length is in the name:
`speedup_over_adam_200_R2` is of 200 steps and 2 seeds. `packaged()` are those of the packaged baselines.

Source: learned_optimization, `baselines/normalizers.py`, to the bit, except that a fit is refused where the
original writes NaN or takes unequal evaluation steps for equal, that a trial whose training loss is not
finite has diverged though its evaluations are finite, and that a loss that is not finite, `-inf` too, is
always 0 steps.
"""

from optsuite.normalizers._definitions import (
    DEFINITIONS,
    Definition,
    definition_names,
    get_definition,
    packaged,
    speedup_over_adam,
    speedup_over_adam_v2,
    speedup_over_multiple_baselines,
    speedup_over_multiple_baselines_v2,
)
from optsuite.normalizers._fit import build
from optsuite.normalizers._normalizer import Normalizer, Normalizers, load, write
from optsuite.normalizers._update import Updated, load_for, update

__all__ = [
    "DEFINITIONS",
    "Definition",
    "Normalizer",
    "Normalizers",
    "Updated",
    "build",
    "definition_names",
    "get_definition",
    "load",
    "load_for",
    "packaged",
    "speedup_over_adam",
    "speedup_over_adam_v2",
    "speedup_over_multiple_baselines",
    "speedup_over_multiple_baselines_v2",
    "update",
    "write",
]
