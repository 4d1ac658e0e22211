"""The values that options may take, for those who declare options without importing what reads them."""

BACKENDS = ("local", "process", "dask")
"""Back ends, where jobs run: here, in processes beside this one, or on the workers of a Dask cluster."""

META_ESTIMATORS = ("pes", "unroll")
"""Gradients of a learned optimizer: persistent evolution strategies, or backpropagation through unrolls."""

MODES = ("auto", "real", "synthetic")
"""Kinds of data to ask for; `auto` takes published data where they are present and stand-ins elsewhere."""

PRECISIONS = ("float32", "tf32", "bf16")
"""Precision of a network's products and convolutions; under `bf16`, also of what autocast leaves so between.

Parameters, losses, gradients and updates are float32 in any case.
"""

PRESETS = ("auto", "quick", "full")
"""Choices of the cells in the matrix; `auto` is `full` on CUDA and `quick` elsewhere."""

RERUNS = ("missing", "failed", "all")
"""Trials that are trained: those not recorded, also those whose file cannot be read, or all of them."""

RULES = ("last", "smoothed", "validation")
"""Rules by which a verdict chooses and judges the best setting."""

SHELLS = ("bash", "zsh", "tcsh")
"""Shells that can complete the command."""
