"""Adam with a piecewise linear learning rate."""

from __future__ import annotations

from collections.abc import Sequence

from optsuite.optimizers._adam import adam
from optsuite.optimizers._base import Optimizer, Scalar
from optsuite.optimizers._schedules import piecewise_linear


def piecewise_linear_adam(
    times: Sequence[Scalar] = (10_000, 20_000),
    lrs: Sequence[Scalar] = (1e-4, 1e-5),
    *,
    beta1: Scalar = 0.9,
    beta2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    eps_root: Scalar = 1e-8,
) -> Optimizer:
    """Make `adam` with the learning-rate schedule `piecewise_linear`.

    Args:
        times: Rising numbers of updates, one for each of `lrs`.
        lrs: Learning rates at `times`, each >= 0.
        beta1: As in `adam`.
        beta2: As in `adam`.
        eps: As in `adam`.
        eps_root: As in `adam`.

    Raises:
        HParamError: There are not as many `times` as `lrs`.

    Source: `learned_optimization/optimizers/optax_opts.py: PiecewiseLinearAdam`.

    Example:
        >>> opt = piecewise_linear_adam(times=(0, 1000), lrs=(1e-3, 1e-5))
    """
    schedule = piecewise_linear(times, lrs)
    return adam(schedule, beta1=beta1, beta2=beta2, eps=eps, eps_root=eps_root)
