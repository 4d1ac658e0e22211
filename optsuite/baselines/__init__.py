"""Baselines in the package: evaluation curves of all settings of known optimizers, on real data.

They give an optimizer company that nobody has to train. A cell is a file of its own in `data/`, and
`index.json` beside them has its digest, so that a damaged one is an error and never other numbers. All
evaluations are kept. Each is rounded, far below its noise, but for the last, by which settings are chosen:
that is as it was recorded. Steps ratios of packaged cells, and the limits of their intervals, were within 1 %
of those of the archives on each of 40 cells and by every rule, by the default one within 0.5 %.
`benchmarks/make_baselines.py` makes them.
"""

from typing import TYPE_CHECKING

from optsuite._lazy import importing
from optsuite.baselines._files import Made, about, available

if TYPE_CHECKING:
    from optsuite.baselines._pack import pack
    from optsuite.baselines._read import load
    from optsuite.baselines._rounded import ROUNDING

# Which there are is known without torch.
__getattr__ = importing(__name__, {"_pack": "pack", "_read": "load", "_rounded": "ROUNDING"})
